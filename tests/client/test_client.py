"""Each method of the client returns the API's payload."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlt.helpers.dbt_cloud.client import DBTCloudClientV2 as TheirClient
from pytest_httpserver import HTTPServer

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    DBTCloudServerError,
    DBTCloudTransportError,
    InvalidCredentialsException,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import RunStatus
from tests.support.servers.wire import WireServer

RESULTS = {"results": [{"unique_id": "model.flights.dim_planes", "status": "success"}]}


@pytest.fixture
def job(cloud: DBTCloudEmulator) -> int:
    return cloud.create_job("Nightly", artifacts={"run_results.json": RESULTS, "a b.sql": b"\xff"})


def test_a_run_is_triggered_with_its_overrides(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, job: int
) -> None:
    run_id = client.trigger_job_run(job, {"cause": "a test", "steps_override": ["dbt run"]})
    (run,) = cloud.runs
    assert run["id"] == run_id
    trigger = run["trigger"] or {}
    assert (trigger["cause"], trigger["steps_override"]) == ("a test", ["dbt run"])


def test_a_trigger_without_data_has_a_cause(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, job: int
) -> None:
    run = client.start_job_run(str(job))
    assert run["status_humanized"] == "Queued"
    assert (cloud.runs[0]["trigger"] or {})["cause"] == "Triggered via API"


def test_a_run_includes_related_objects(client: DBTCloudClientV2, job: int) -> None:
    run_id = client.trigger_job_run(job)
    assert not client.get_run_status(run_id).get("run_steps")
    run = client.get_run_status(run_id, include_related=["trigger", "run_steps"])
    assert (run["trigger"] or {})["cause"] == "Triggered via API"
    assert run["run_steps"][0]["index"] == 1


def test_lists_are_read_from_all_pages_with_encoded_filters(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, job: int
) -> None:
    ids = [client.trigger_job_run(job) for _ in range(7)]
    before = len(cloud.requests)
    assert [run["id"] for run in client.list_runs(limit=3)] == ids
    assert len(cloud.requests) - before == 3
    newest = client.list_runs(order_by="-id", job_definition_id=job)
    assert next(newest)["id"] == ids[-1]
    assert [run["id"] for run in client.list_runs(pk__in=[ids[1], ids[2]])] == ids[1:3]
    done = client.list_runs(status__in=[RunStatus.SUCCESS, RunStatus.ERROR])
    assert len(list(done)) == 7
    assert list(client.list_runs(status=RunStatus.QUEUED)) == []
    assert list(client.list_runs(id__gt=ids[5], include_related=["trigger", "job"])) != []


def test_an_unknown_filter_raises_the_services_message(client: DBTCloudClientV2) -> None:
    with pytest.raises(DBTCloudAPIError, match="colour") as caught:
        list(client.list_runs(colour="red"))
    assert caught.value.status_code == 400


def test_jobs_are_listed_and_retrieved(client: DBTCloudClientV2, job: int) -> None:
    assert [found["name"] for found in client.list_jobs(name__icontains="night")] == ["Nightly"]
    assert client.get_job(job)["name"] == "Nightly"


def test_the_account_is_retrieved(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    assert client.get_account()["id"] == cloud.account_id


def test_a_run_is_cancelled(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run_id = client.trigger_job_run(cloud.create_job("Long", duration=None))
    client.cancel_run(run_id)
    assert cloud.wait_for_run(run_id)["is_cancelled"]


def test_a_run_that_did_not_fail_is_not_retried(client: DBTCloudClientV2, job: int) -> None:
    run_id = client.trigger_job_run(job)
    with pytest.raises(DBTCloudAPIError) as caught:
        client.retry_run(run_id)
    assert caught.value.status_code == 400


def test_a_failed_run_is_retried_as_a_new_one(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    failed = client.trigger_job_run(cloud.create_job("Flaky", outcome="error"))
    assert client.retry_run(failed)["retrying_run_id"] == failed


def test_artifacts_are_listed_and_read(client: DBTCloudClientV2, job: int, tmp_path: Path) -> None:
    run_id = client.trigger_job_run(job)
    assert sorted(client.list_run_artifacts(run_id)) == ["a b.sql", "run_results.json"]
    assert client.get_run_artifact(run_id, "run_results.json") == RESULTS
    assert client.get_run_artifact(run_id, "a b.sql") == b"\xff"
    assert client.get_job_artifact(job, "run_results.json") == RESULTS
    path = client.download_run_artifact(run_id, "run_results.json", tmp_path / "here.json")
    assert json.loads(path.read_text()) == RESULTS
    path = client.download_job_artifact(job, "run_results.json", tmp_path / "here.json")
    assert json.loads(path.read_text()) == RESULTS
    assert [file.name for file in tmp_path.glob("*here*")] == ["here.json"]


def test_a_run_without_artifacts_has_an_empty_list(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = client.trigger_job_run(cloud.create_job("Long", duration=None))
    assert client.list_run_artifacts(run_id) == []


@pytest.mark.parametrize("data", ["[{}, {}]", '["a", 1]', "[null]"])
def test_a_list_of_artifacts_without_paths_is_an_error(httpserver: HTTPServer, data: str) -> None:
    body = f'{{"status": {{"code": 200, "is_success": true}}, "data": {data}}}'
    httpserver.expect_request("/api/v2/accounts/1/runs/5/artifacts/").respond_with_data(body)
    with (
        DBTCloudClientV2("t", 1, httpserver.url_for("/")) as client,
        pytest.raises(DBTCloudServerError, match="not a dbt Cloud API response"),
    ):
        client.list_run_artifacts(5)


def test_a_missing_artifact_leaves_no_file(
    client: DBTCloudClientV2, job: int, tmp_path: Path
) -> None:
    run_id = client.trigger_job_run(job)
    with pytest.raises(DBTCloudNotFoundError):
        client.download_run_artifact(run_id, "catalog.json", tmp_path / "catalog.json")
    assert not list(tmp_path.glob("*catalog*"))


def test_an_incomplete_artifact_leaves_no_file(tmp_path: Path) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
    with WireServer(half) as server, DBTCloudClientV2("t", 1, server.url) as client:
        with pytest.raises(DBTCloudTransportError):
            client.download_run_artifact(5, "manifest.json", tmp_path / "manifest.json")
    assert not list(tmp_path.glob("*manifest*"))


@pytest.mark.parametrize("body", ["<html>Log in</html>", '{"half'], ids=["page", "half"])
def test_an_artifact_that_is_not_json_is_an_error(httpserver: HTTPServer, body: str) -> None:
    kind = "text/html" if body.startswith("<") else "application/json"
    httpserver.expect_request(
        "/api/v2/accounts/1/runs/5/artifacts/manifest.json"
    ).respond_with_data(body, content_type=kind)
    with DBTCloudClientV2("t", 1, httpserver.url_for("/")) as client:
        with pytest.raises(DBTCloudServerError):
            client.get_run_artifact(5, "manifest.json")


def test_a_path_that_leaves_the_artifacts_is_refused(client: DBTCloudClientV2) -> None:
    for path in ["", "/etc/passwd", "../../1/", "a/../../b", "a//b", "./a"]:
        with pytest.raises(ValueError, match="is not an artifact"):
            client.get_run_artifact(1, path)


def test_no_request_is_sent_with_an_invalid_id(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    cases: list[tuple[Callable[[Any], object], str | None]] = [
        (client.trigger_job_run, "../../1"),
        (client.trigger_job_run, ""),
        (client.get_run_status, None),
        (client.cancel_run, "1/../2"),
        (client.get_job, "abc"),
    ]
    for call, invalid in cases:
        with pytest.raises(InvalidCredentialsException, match=r"`(job|run)_id"):
            call(invalid)
        assert cloud.requests == []


def test_no_request_is_sent_without_an_account(cloud: DBTCloudEmulator) -> None:
    with DBTCloudClientV2(cloud.api_token, base_api_url=cloud.url) as client:
        with pytest.raises(InvalidCredentialsException, match="`account_id` is missing"):
            client.trigger_job_run(1)
    assert cloud.requests == []


def test_an_invalid_token_is_refused() -> None:
    with pytest.raises(InvalidCredentialsException, match="`api_token` is missing"):
        DBTCloudClientV2("")


def test_a_job_of_another_account_is_not_found(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    with pytest.raises(DBTCloudNotFoundError, match="proper permissions"):
        client.trigger_job_run(1)
    assert cloud.runs == []


def test_a_wrong_token_is_refused(cloud: DBTCloudEmulator) -> None:
    with DBTCloudClientV2("wrong-token", cloud.account_id, cloud.url) as client:
        with pytest.raises(DBTCloudAuthError, match="Invalid token") as caught:
            client.get_account()
    assert "wrong-token" not in str(caught.value)


def test_no_representation_contains_the_token(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    assert cloud.api_token not in repr(client)
    assert cloud.api_token not in str(vars(client))


def test_the_url_of_the_host_is_enough(cloud: DBTCloudEmulator) -> None:
    for url in (cloud.url, f"{cloud.url}/", f"{cloud.url}/api/v2", cloud.url.split("//")[1]):
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, url) as client:
            assert client.get_account()["id"] == cloud.account_id


def test_the_endpoints_of_dlts_client_exist(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, job: int
) -> None:
    theirs = TheirClient(cloud.api_token, str(cloud.account_id), f"{cloud.url}/api")
    path = f"accounts/{cloud.account_id}/jobs/{job}"
    assert client.get_endpoint(path) == theirs.get_endpoint(path)
    ours = client.post_endpoint(f"{path}/run", {"cause": "a test"})
    run_id = ours["data"]["id"]
    assert ours.keys() == theirs.post_endpoint(f"{path}/run", json_body={"cause": "x"}).keys()
    assert (cloud.runs[0]["trigger"] or {})["cause"] == "a test"
    assert (
        client.get_endpoint(f"accounts/{cloud.account_id}/runs/{run_id}/artifacts/run_results.json")
        == RESULTS
    )
    with pytest.raises(DBTCloudNotFoundError):
        client.get_endpoint(f"accounts/{cloud.account_id}/jobs/1/")
    with pytest.raises(TypeError, match="is a `dict`"):
        client.get_endpoint({"token": cloud.api_token})  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("name", ["get_endpoint", "post_endpoint"])
def test_an_endpoint_has_the_signature_of_dlts(name: str) -> None:
    ours = inspect.signature(getattr(DBTCloudClientV2, name)).parameters.values()
    theirs = inspect.signature(getattr(TheirClient, name)).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [
        (p.name, p.default, p.kind) for p in theirs
    ]
