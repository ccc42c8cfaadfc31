"""A missing artifact is distinguished from an outage, whatever server responds."""

from __future__ import annotations

import json

import pytest
from pytest_httpserver import HTTPServer

from dlt_dbtcloud import DBTCloudAPIError, DBTCloudClientV2
from dlt_dbtcloud.artifacts.download import OUTAGE, RunArtifacts
from dlt_dbtcloud.dbt import Result, Results
from dlt_dbtcloud.typing import Run, RunStep
from tests.support.clock import FakeClock

PAGE = "<html><body><h1>Down for maintenance</h1></body></html>"
MISSING = {"status": {"code": 404, "is_success": False, "user_message": "Not found."}, "data": None}
RESULTS = {"results": [{"unique_id": "model.shop.orders", "status": "success"}]}
READ = Results((Result("model.shop.orders", "success"),))
STEP = RunStep(index=4, status=10)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def artifacts(httpserver: HTTPServer, clock: FakeClock) -> RunArtifacts:
    client = DBTCloudClientV2("t", 1, httpserver.url_for("/"), clock=clock)
    run = Run(id=5, finished_at="2026-01-31 06:00:00.000000+00:00")
    return RunArtifacts(client.patient(OUTAGE), run)


def respond(httpserver: HTTPServer, status: int, body: str, kind: str) -> None:
    path = "/api/v2/accounts/1/runs/5/artifacts/run_results.json"
    httpserver.expect_request(path).respond_with_data(body, status, content_type=kind)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(MISSING), "application/json"),
        ('{"detail": "Not found."}', "application/json"),
        ("{}", "text/html"),
        ("", "text/plain"),
    ],
)
def test_a_missing_file_is_none(
    httpserver: HTTPServer, artifacts: RunArtifacts, clock: FakeClock, body: str, kind: str
) -> None:
    respond(httpserver, 404, body, kind)
    assert artifacts.find_results(STEP) is None
    assert (len(httpserver.log), clock.sleeps) == (1, [])


def test_a_missing_file_is_requested_again_until_it_was_awaited(httpserver: HTTPServer) -> None:
    with DBTCloudClientV2("t", 1, httpserver.url_for("/"), clock=FakeClock()) as client:
        artifacts = RunArtifacts(client, Run(id=5, finished_at="2026-01-31 06:00:00.000000+00:00"))
        respond(httpserver, 404, json.dumps(MISSING), "application/json")
        for requests, is_expected in ((1, False), (2, False), (3, True), (3, False), (3, True)):
            assert artifacts.find_results(STEP, is_expected=is_expected) is None
            assert len(httpserver.log) == requests


def test_another_client_reads_only_what_is_not_read_yet(httpserver: HTTPServer) -> None:
    respond(httpserver, 200, json.dumps(RESULTS), "application/json")
    with DBTCloudClientV2("t", 1, httpserver.url_for("/")) as client:
        artifacts = RunArtifacts(client, Run(id=5))
        assert artifacts.find_results(STEP) == READ
        assert artifacts.read_by(client.patient(0)).find_results(STEP) == READ
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, PAGE, "text/html"),
        (200, "", "text/html; charset=utf-8"),
        (404, PAGE, "text/html"),
        (404, "default backend - 404", "text/plain"),
        (503, PAGE, "text/html"),
    ],
)
def test_a_page_in_a_files_place_is_an_outage(
    httpserver: HTTPServer,
    artifacts: RunArtifacts,
    clock: FakeClock,
    status: int,
    body: str,
    kind: str,
) -> None:
    respond(httpserver, status, body, kind)
    with pytest.raises(DBTCloudAPIError, match=f"status {status}") as caught:
        artifacts.find_results(STEP)
    assert caught.value.may_have_arrived
    assert clock.now == 60


def test_a_truncated_file_is_requested_again(
    httpserver: HTTPServer, artifacts: RunArtifacts
) -> None:
    path = "/api/v2/accounts/1/runs/5/artifacts/run_results.json"
    whole = json.dumps(RESULTS)
    httpserver.expect_ordered_request(path).respond_with_data(whole[:20])
    httpserver.expect_ordered_request(path).respond_with_data(whole)
    assert artifacts.read_results(STEP) == READ


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "text/html", "x"])
def test_a_file_is_read_whatever_its_content_type_is(
    httpserver: HTTPServer, artifacts: RunArtifacts, kind: str
) -> None:
    respond(httpserver, 200, f"\n{json.dumps(RESULTS)}", kind)
    assert artifacts.read_results(STEP) == READ
