"""Queries of lists are parsed or refused as the service does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dlt_dbtcloud.emulator.api.queries import (
    ENVIRONMENTS,
    JOBS,
    RUNS,
    Listing,
    Query,
    included,
    parse,
    select,
)
from dlt_dbtcloud.emulator.errors import ApiError

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def _run(number: int, **fields: Any) -> tuple[dict[str, Any], int]:
    row = {
        "id": number,
        "job_definition_id": 7,
        "project_id": 1,
        "environment_id": 2,
        "status": 10,
        "dbt_version": "1.11.0",
        "deferring_run_id": None,
        "has_docs_generated": False,
        "has_sources_generated": False,
        "created_at": NOON + timedelta(minutes=number),
        "finished_at": NOON + timedelta(hours=number),
    }
    return {**row, **fields}, number


RUNS_OF_A_DAY = [
    _run(1, status=20, job_definition_id=8, has_docs_generated=True),
    _run(2, project_id=9, dbt_version="1.5.0"),
    _run(3, environment_id=3, has_sources_generated=True, deferring_run_id=1),
    _run(4, status=3, finished_at=None),
    _run(5, status=1, finished_at=None),
]


def _select(query: str, rows: Any = None, listing: Listing = RUNS) -> list[int]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    parameters = Query((key, value) for key, _, value in pairs)
    return select(parse(parameters, listing), rows or RUNS_OF_A_DAY).items


def test_filters() -> None:
    for query, found in [
        ("", [1, 2, 3, 4, 5]),
        ("pk=3", [3]),
        ("pk__in=[5,1,77]", [1, 5]),
        ("pk__in=[]", []),
        ("id__gt=3", [4, 5]),
        ("job_definition_id=8", [1]),
        ("project_id=9", [2]),
        ("project_id__in=[1, 9]", [1, 2, 3, 4, 5]),
        ("environment_id=3", [3]),
        ("status=10", [2, 3]),
        ("status__in=[1,2,3]", [4, 5]),
        ("status=10&project_id=9", [2]),
        ("dbt_version=1.5.0", [2]),
        ('dbt_version__in=["1.5.0"]', [2]),
        ("deferring_run_id=1", [3]),
        ("has_docs_generated=true", [1]),
        ("has_sources_generated=False", [1, 2, 4, 5]),
        ("account_id=1", [1, 2, 3, 4, 5]),
        ("state=all", [1, 2, 3, 4, 5]),
        ("include_related=trigger", [1, 2, 3, 4, 5]),
        ('created_at__range=["2026-01-31T12:02:00Z","2026-01-31T12:03:00+00:00"]', [2, 3]),
        ('created_at__range=["2026-01-31 12:04:59.123","2026-02-01"]', [5]),
        ('created_at__range=["2026-01-31T14:03:00.000000+02:00","2026-01-31T12:03:00"]', [3]),
        # with an offset, the service ignores the time of the start
        ('finished_at__range=["2026-01-31T15:00:00+00:00","2026-01-31T15:00:00"]', [1, 2, 3]),
        ('finished_at__range=["2026-01-31T15:00:00Z","2099-01-01"]', [1, 2, 3]),
        ('finished_at__range=["2026-01-31T15:00:00","2099-01-01T00:00:00+00:00"]', [3]),
        ('finished_at__range=["2026-01-31T15:00:00","2099-01-01T00:00:00.1234567Z"]', [3]),
    ]:
        assert _select(query) == found


def test_order_and_pages() -> None:
    for query, found in [
        ("order_by=id", [1, 2, 3, 4, 5]),
        ("order_by=-id", [5, 4, 3, 2, 1]),
        ("order_by=-created_at&limit=2", [5, 4]),
        ("order_by=created_at&offset=3", [4, 5]),
        ("order_by=finished_at", [1, 2, 3, 4, 5]),
        ("order_by=-finished_at", [5, 4, 3, 2, 1]),
        ("limit=2&offset=1", [2, 3]),
        ("limit=100&offset=99", []),
    ]:
        assert _select(query) == found


def test_a_page_has_the_total_count() -> None:
    page = select(parse(Query({"limit": "2", "status__in": "[1,10]"}), RUNS), RUNS_OF_A_DAY)
    assert (page.items, page.total_count) == ([2, 3], 3)


def test_parsed_filters_are_echoed() -> None:
    selection = parse(Query({"status__in": "[1,2]", "limit": "5", "project_id": "9"}), RUNS)
    echo = selection.echo()
    assert echo == {"state": "all", "limit": 5, "offset": 0, "status__in": [1, 2], "project_id": 9}
    for state in ("active", "1"):
        assert parse(Query({"state": state}), JOBS).echo()["state"] == "active"
    assert parse(Query({"state": "2"}), JOBS).echo()["state"] == "deleted"
    assert parse(Query(), JOBS).echo()["state"] == "active"
    dates = Query({"created_at__range": '["2026-01-31", "2026-02-01"]'})
    assert parse(dates, RUNS).echo()["created_at__range"][0] == "2026-01-31T00:00:00+00:00"


def test_a_limit_above_100_is_lowered_to_100() -> None:
    rows = [({"id": number}, number) for number in range(150)]
    selection = parse(Query({"limit": "250"}), RUNS)
    assert len(select(selection, rows).items) == 100
    assert selection.echo()["limit"] == 100


def test_deleted_objects_are_listed_on_request() -> None:
    rows = [({"id": 1, "state": 1}, 1), ({"id": 2, "state": 2}, 2)]
    assert _select("", rows, JOBS) == [1]
    assert _select("state=deleted", rows, JOBS) == [2]
    assert _select("state=2", rows, JOBS) == [2]
    assert _select("state=all", rows, JOBS) == [1, 2]


def test_names_are_searched_without_regard_to_case() -> None:
    rows = [({"id": 1, "name": "Nightly"}, 1), ({"id": 2, "name": "Hourly"}, 2)]
    assert _select("name__icontains=NIGHT", rows, JOBS) == [1]
    assert _select("name=Hourly", rows, ENVIRONMENTS) == [2]


def test_an_invalid_query_answers_400() -> None:
    for query, data in [
        ("foo=1", "Additional properties are not allowed ('foo' was unexpected)"),
        ("foo=1&bar=", "Additional properties are not allowed ('bar', 'foo' were unexpected)"),
        ("id__in=[1]", "Additional properties are not allowed ('id__in' was unexpected)"),
        ("status__in[]=1", "Additional properties are not allowed ('status__in[]' was unexpected)"),
        ("status__in=1,2", {"status__in": "'1,2' is not valid under any of the given schemas"}),
        ("status__in=1", {"status__in": "'1' is not valid under any of the given schemas"}),
        ('pk__in=["1"]', {"pk__in": "'[\"1\"]' is not valid under any of the given schemas"}),
        ("pk__in=[true]", {"pk__in": "'[true]' is not valid under any of the given schemas"}),
        (
            "status__in=1&status__in=2",
            {"status__in": "['1', '2'] is not valid under any of the given schemas"},
        ),
        (
            "pk__in=" + "[" * 9999,
            {"pk__in": f"'{'[' * 9999}' is not valid under any of the given schemas"},
        ),
        ("status=x", {"status": "'x' is not of type 'integer'"}),
        ("status=", {"status": "'' is not of type 'integer'"}),
        ("pk=1.5", {"pk": "'1.5' is not of type 'integer'"}),
        ("has_docs_generated=7", {"has_docs_generated": "'7' is not of type 'boolean'"}),
        ("limit=0", {"limit": "0 is less than the minimum of 1"}),
        ("offset=-1", {"offset": "-1 is less than the minimum of 0"}),
        ("state=3", {"state": "'3' is not one of ['1', '2', 'active', 'all', 'deleted']"}),
        ("order_by=x", {"order_by": "'x' is not one of ['created_at', 'finished_at', 'id']"}),
        ("order_by=--id", {"order_by": "'--id' is not one of ['created_at', 'finished_at', 'id']"}),
        (
            "created_at__range=[1, 2]",
            {"created_at__range": "'[1, 2]' is not valid under any of the given schemas"},
        ),
        ('created_at__range=["x", "y"]', {"created_at__range": "'x' is not a 'date-time'"}),
        (
            'created_at__range=["2026-01-01"]',
            {"created_at__range": "['2026-01-01'] needs two items"},
        ),
    ]:
        with pytest.raises(ApiError) as refused:
            _select(query)
        assert (refused.value.code, refused.value.data) == (400, data)


def test_include_related_is_read_in_every_form() -> None:
    for values in [
        ["trigger,job"],
        ["trigger", "job"],
        ['["trigger", "job"]'],
        ["['trigger','job',]"],
        [",trigger,,job,", "", "[]"],
    ]:
        assert included(Query([("include_related", value) for value in values])) == {
            "trigger",
            "job",
        }
        assert included(Query()) == frozenset()
