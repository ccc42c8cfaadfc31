"""The table of routes that each client calls."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.emulator.http import RecordedRequest
from tests.interop.routes import Route, documented, parse, render, route_of
from tests.interop.run import CLIENTS


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/api/v2/accounts/", Route("GET", "v2 accounts/")),
        ("GET", "/api/v2/accounts/1/", Route("GET", "v2 accounts/{account_id}/")),
        ("GET", "/api/v3/accounts/1/projects/", Route("GET", "v3 projects/")),
        ("POST", "/api/v2/accounts/1/jobs/2/run/", Route("POST", "v2 jobs/{id}/run/")),
        (
            "GET",
            "/api/v2/accounts/1/runs/2/artifacts/compiled/a.sql",
            Route("GET", "v2 runs/{id}/artifacts/{name}"),
        ),
        ("GET", "/api/v2/accounts/1/jobs", None),
        ("GET", "/api/v9/accounts/1/jobs/", None),
        ("PATCH", "/api/v2/accounts/1/jobs/", None),
    ],
)
def test_a_request_has_the_route_that_answers_it(
    method: str, path: str, route: Route | None
) -> None:
    assert route_of(RecordedRequest(method, path, {}, None, 200)) == route


def test_a_rendered_table_is_read_as_it_was_written() -> None:
    calls = {
        "one": frozenset({Route("GET", "v2 jobs/"), Route("POST", "v2 jobs/{id}/run/")}),
        "two": frozenset({Route("GET", "v2 jobs/")}),
    }
    lines = render(calls)
    assert lines == [
        "| route | one | two |",
        "| --- | :-: | :-: |",
        "| `GET v2 jobs/` | x | x |",
        "| `POST v2 jobs/{id}/run/` | x |  |",
    ]
    assert parse(lines) == calls


def test_the_documented_table_has_a_column_for_each_client() -> None:
    assert list(parse(documented())) == [client.name for client in CLIENTS]
