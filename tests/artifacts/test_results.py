"""Results are those of each step and each retry, in the formats of all dbt versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    DBTCloudServerError,
    get_dbt_cloud_run_results,
    get_dbt_cloud_run_status,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.artifacts.results import merge, node_results, step_results
from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.typing import NodeResult, RunStep
from tests.fixtures import Recorded
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.manifests import read_manifest, read_results
from tests.support.past_runs import ended_run, started_run
from tests.support.projects.flights import Flights, executed, statuses

STEP = RunStep(index=4, name="Invoke dbt with `dbt build`")
RESULT: dict[str, Any] = {
    "unique_id": "model.shop.orders",
    "status": "success",
    "thread_id": "Thread-1",
    "execution_time": 0.5,
    "message": "OK",
    "failures": None,
    "adapter_response": {"_message": "OK", "rows_affected": 7},
    "timing": [
        {"name": "compile", "started_at": "2026-01-31T06:00:00.1Z"},
        {
            "name": "execute",
            "started_at": "2026-01-31T06:00:01.0Z",
            "completed_at": "2026-01-31T06:00:02.0Z",
        },
    ],
}
MANIFEST = {
    "nodes": {
        "model.shop.orders": {
            "name": "orders",
            "resource_type": "model",
            "relation_name": '"db"."main"."orders"',
            "original_file_path": "models/orders.sql",
        }
    }
}


def results_of(run_results: Any, manifest: Any = None) -> list[NodeResult]:
    project = Manifest() if manifest is None else read_manifest(manifest)
    return list(step_results(9001, STEP, read_results(run_results), project))


def test_a_result_has_the_details_of_dbt_and_of_the_step() -> None:
    assert results_of({"results": [RESULT]}, MANIFEST) == [
        {
            "run_id": 9001,
            "step_index": 4,
            "command": "dbt build",
            "unique_id": "model.shop.orders",
            "name": "orders",
            "resource_type": "model",
            "status": "success",
            "message": "OK",
            "failures": None,
            "execution_time": 0.5,
            "thread_id": "Thread-1",
            "started_at": "2026-01-31T06:00:00.1Z",
            "completed_at": "2026-01-31T06:00:02.0Z",
            "rows_affected": 7,
            "relation_name": '"db"."main"."orders"',
            "path": "models/orders.sql",
        }
    ]


@pytest.mark.parametrize(
    ("unique_id", "resource_type", "name"),
    [
        ("model.shop.orders", "model", "orders"),
        ("model.shop.orders.v2", "model", "orders"),
        ("test.shop.not_null_orders_id.cf6c17daed", "test", "not_null_orders_id"),
        ("test.shop.assert_total", "test", "assert_total"),
        ("unit_test.shop.orders.adds_up", "unit_test", "orders.adds_up"),
        ("operation.shop.shop-on-run-end-0", "operation", "shop-on-run-end-0"),
        ("nonsense", "nonsense", "nonsense"),
    ],
)
def test_without_a_manifest_the_name_is_part_of_the_id(
    unique_id: str, resource_type: str, name: str
) -> None:
    (result,) = results_of({"results": [{"unique_id": unique_id, "status": "error"}]})
    assert (result["resource_type"], result["name"], result["path"]) == (resource_type, name, None)


@pytest.mark.parametrize(
    ("materialized", "message", "status"),
    [
        ("table", None, "skipped"),
        ("table", "Skipped due to upstream failure", "skipped"),
        ("table", "Skipped", "skipped"),
        ("ephemeral", "Skipped", "no-op"),
        ("table", "No new changes on any upstreams", "reused"),
        (
            "table",
            "New changes detected. Did not meet build_after of 4h. Last updated 1h ago",
            "reused",
        ),
        ("table", "Skipped due to model reuse", "reused"),
        ("view", "Cloned from cached relation within freshness tolerance", "reused"),
    ],
)
def test_what_is_skipped_without_a_failure_differs_from_what_a_failure_skips(
    materialized: str, message: str | None, status: str
) -> None:
    skipped = {"unique_id": "model.shop.orders", "status": "skipped", "message": message}
    node = {"name": "orders", "config": {"materialized": materialized}}
    (read,) = results_of({"results": [skipped]}, {"nodes": {"model.shop.orders": node}})
    assert (read["status"], read["message"]) == (status, message)


@pytest.mark.parametrize(
    "result",
    [
        {"unique_id": "model.a.b", "status": "success"},
        {"unique_id": "model.a.b", "status": "reused", "timing": None, "adapter_response": None},
        {"unique_id": "model.a.b", "status": "no-op", "timing": [{}], "adapter_response": {}},
        {"unique_id": "model.a.b", "status": "success", "execution_time": None, "new": {"x": [1]}},
    ],
)
def test_fields_may_be_missing_or_new(result: Any) -> None:
    (read,) = results_of({"metadata": {"dbt_schema_version": "v99"}, "results": [result]})
    assert read["unique_id"] == "model.a.b"
    assert read["status"] == result["status"]
    assert read["execution_time"] == 0.0
    assert read["rows_affected"] is None
    assert read["started_at"] is None


@pytest.mark.parametrize("content", [{}, {"results": None}, {"results": 7}, {"results": {}}])
def test_missing_results_are_named(content: Any) -> None:
    assert results_of(content) == []
    assert [*map(str, read_results(content).unread)] == ["`$.results`"]


ODD: list[tuple[dict[str, Any], str]] = [
    ({"message": {"a": 1}}, ".message"),
    ({"status": None}, ".status"),
    ({"status": 5}, ".status"),
    ({"failures": "3"}, ".failures"),
    ({"execution_time": "abc"}, ".execution_time"),
    ({"thread_id": 5}, ".thread_id"),
    ({"relation_name": 7}, ".relation_name"),
    ({"adapter_response": "OK"}, ".adapter_response"),
    ({"timing": [{"started_at": 5}]}, ".timing[0].started_at"),
]


@pytest.mark.parametrize(("odd", "path"), ODD)
def test_a_field_of_another_type_costs_its_result_and_is_named(
    odd: dict[str, Any], path: str
) -> None:
    content = {"results": [{**RESULT, **odd}, {**RESULT, "unique_id": "model.shop.kept"}]}
    assert [each["unique_id"] for each in results_of(content)] == ["model.shop.kept"]
    (unread,) = read_results(content).unread
    assert (unread.path, unread.unique_id) == (f"$.results[0]{path}", "model.shop.orders")


@pytest.mark.parametrize("unique_id", [None, "", 5])
def test_a_result_without_a_node_is_named(unique_id: Any) -> None:
    content = {"results": [RESULT, {**RESULT, "unique_id": unique_id}]}
    assert [*map(str, read_results(content).unread)] == ["`$.results[1].unique_id`"]
    assert len(results_of(content)) == 1


@pytest.mark.parametrize("field", ["unique_id", "status"])
def test_a_result_without_a_required_field_is_named(field: str) -> None:
    content = {"results": [{name: RESULT[name] for name in RESULT if name != field}]}
    assert read_results(content).unread[0].path == f"$.results[0].{field}"
    assert results_of(content) == []


@pytest.mark.parametrize("rows", ["12", True, None, [1], float("inf"), 10**30])
def test_the_adapter_response_is_any_json(rows: Any) -> None:
    content = {"results": [{**RESULT, "adapter_response": {"rows_affected": rows}}]}
    (read,) = results_of(content)
    assert read["rows_affected"] is None
    assert read_results(content).unread == ()


def test_an_integer_may_be_written_as_a_float() -> None:
    content = {"results": [{**RESULT, "adapter_response": {"rows_affected": 1.0}}]}
    (read,) = results_of(content)
    assert repr(read["rows_affected"]) == "1"
    assert read_results(content).unread == ()


def test_missing_times_are_ignored() -> None:
    timing = [{}, {"started_at": "2026-01-31T06:00:00Z", "completed_at": None}]
    (read,) = results_of({"results": [{**RESULT, "timing": timing}]})
    assert (read["started_at"], read["completed_at"]) == ("2026-01-31T06:00:00Z", None)


def test_a_result_whose_node_is_lost_is_named_by_its_id() -> None:
    (read,) = results_of({"results": [RESULT]}, {"nodes": {"model.shop.orders": {"name": 1}}})
    assert (read["name"], read["resource_type"]) == ("orders", "model")
    assert (read["path"], read["relation_name"]) == (None, None)


def result(unique_id: str, status: str, run_id: int) -> NodeResult:
    (read,) = results_of({"results": [{"unique_id": unique_id, "status": status}]})
    return NodeResult(**{**read, "run_id": run_id})


def test_results_of_a_retry_replace_those_that_failed() -> None:
    older = [result("a", "success", 1), result("b", "error", 1), result("c", "skipped", 1)]
    newer = [result("b", "success", 2), result("c", "success", 2)]
    merged = [(each["unique_id"], each["run_id"]) for each in merge(older, newer)]
    assert merged == [("a", 1), ("b", 2), ("c", 2)]


def test_successful_results_that_a_retry_repeats_are_replaced() -> None:
    """As of a warned test on dbt Fusion, but not those of another step."""
    older = [
        {**result("a", "success", 1), "step_index": 4},
        {**result("a", "warn", 1), "step_index": 5},
        {**result("b", "error", 1), "step_index": 5},
        {**result("c", "success", 1), "step_index": 5},
    ]
    newer = [
        {**result("a", "warn", 2), "step_index": 4},
        {**result("b", "success", 2), "step_index": 4},
        {**result("c", "success", 2), "step_index": 5},
    ]
    merged = merge(cast(list[NodeResult], older), cast(list[NodeResult], newer))
    assert [(each["unique_id"], each["run_id"], each["step_index"]) for each in merged] == [
        ("a", 1, 4),
        ("c", 1, 5),
        ("a", 2, 4),
        ("b", 2, 4),
        ("c", 2, 5),
    ]


def test_results_that_a_retry_did_not_repeat_are_kept() -> None:
    older = [result("a", "success", 1), result("b", "error", 1), result("c", "skipped", 1)]
    newer = [result("b", "error", 2)]
    assert [each["run_id"] for each in merge(older, newer)] == [1, 1, 2]


def test_a_whole_command_replaces_the_results_of_all_earlier_attempts() -> None:
    """A retry that failed lies between; each node is listed once."""
    first = [result("a", "success", 1), result("b", "error", 1)]
    failed_again = [result("b", "error", 2)]
    nothing: list[NodeResult] = []
    whole = [result("a", "success", 4), result("b", "success", 4)]
    merged = merge(first, failed_again, nothing, whole)
    assert [(each["unique_id"], each["run_id"]) for each in merged] == [("a", 4), ("b", 4)]


def test_a_failed_exposure_is_not_kept_after_a_retry() -> None:
    """Dbt Fusion lists one only if a command ended before it ran a node."""
    older = [result("exposure.shop.board", "error", 1), result("model.shop.a", "error", 1)]
    newer = [result("model.shop.a", "success", 2)]
    assert [each["unique_id"] for each in merge(older, newer)] == ["model.shop.a"]


def scripted(cloud: DBTCloudEmulator, *steps: str, **options: Any) -> int:
    files = {"run_results.json": {"results": [RESULT]}, "manifest.json": MANIFEST}
    job = cloud.create_job("x", execute_steps=list(steps), artifacts=files, **options)
    return id_of(ended_run(cloud, job))


def test_the_results_of_each_step_that_executes_nodes_are_read(cloud: DBTCloudEmulator) -> None:
    steps = ("dbt seed", "dbt --warn-error run", "dbt docs generate", "dbt compile", "dbt parse")
    run_id = scripted(cloud, *steps, generate_docs=True, run_generate_sources=True)
    results = get_dbt_cloud_run_results(run_id=run_id)
    assert [each["command"] for each in results] == [
        "dbt seed",
        "dbt --warn-error run",
        "dbt compile",
    ]
    assert [each["step_index"] for each in results] == [5, 6, 8]


def test_results_take_one_request_per_file(cloud: DBTCloudEmulator) -> None:
    run_id = scripted(cloud, "dbt seed", "dbt run")
    before = len(cloud.requests)
    get_dbt_cloud_run_results(run_id=run_id)
    # the run with its steps, each step's results, and one manifest
    assert len(cloud.requests) - before == 4


def test_late_artifacts_are_awaited(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run_id = scripted(cloud, "dbt build")
    cloud.fail("get_artifact", "status", status=404, calls=3, when="before")
    clock = FakeClock()
    (read,) = node_results(clocked(client, clock), run_id)
    assert read["name"] == "orders"
    assert clock.sleeps == [1.0, 2.0, 4.0]


def test_missing_artifacts_are_awaited_for_a_minute(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = scripted(cloud, "dbt build", "dbt test")
    cloud.fail("get_artifact", "status", status=404, calls=None, when="before")
    clock = FakeClock()
    assert node_results(clocked(client, clock), run_id) == []
    assert 50 < clock.now <= 60


def test_an_outage_is_waited_out(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run_id = scripted(cloud, "dbt build")
    for kind in ("status", "cut", "html", "rate_limit"):
        cloud.fail("get_artifact", kind)
    assert len(node_results(clocked(client, FakeClock()), run_id)) == 1


def test_a_cool_down_is_waited_out(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run_id = scripted(cloud, "dbt build")
    cloud.fail("get_artifact", "rate_limit", retry_after=300)
    assert len(node_results(clocked(client, FakeClock()), run_id)) == 1


def test_a_page_in_place_of_an_artifact_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = scripted(cloud, "dbt build")
    for status in (200, 404):
        cloud.fail("get_artifact", "html", status=status, calls=None, when="before")
        with pytest.raises(DBTCloudAPIError, match="Something is in the way"):
            node_results(clocked(client, FakeClock()), run_id)
        cloud.heal()
    assert len(node_results(clocked(client, FakeClock()), run_id)) == 1


def test_a_page_in_place_of_a_retried_run_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    first = scripted(cloud, "dbt build")
    job = cloud.create_job("x", execute_steps=["dbt build"])
    cause = f"x: retry of run {first} [dlt:3f9c2ab41d07]"
    retry = get_dbt_cloud_run_status(run_id=client.trigger_job_run(job, {"cause": cause}))["id"]
    cloud.fail("get_run", "html", status=404, calls=None, when="before", run_id=first)
    with pytest.raises(DBTCloudNotFoundError, match="Something is in the way"):
        node_results(clocked(client, FakeClock()), retry)


def test_a_malformed_artifact_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    for content in (b"[1, 2]", b'{"results": [', b"<html></html>", b""):
        job = cloud.create_job("x", artifacts={"run_results.json": content})
        run_id = ended_run(cloud, job)["id"]
        with pytest.raises(DBTCloudServerError, match=f"not an artifact of run {run_id}"):
            node_results(clocked(client, FakeClock()), run_id)


def test_results_and_nodes_that_cannot_be_read_are_named_in_one_warning(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = {**MANIFEST["nodes"], "model.shop.orders": {"name": "orders", "tags": {"a": 1}}}
    lost = {**RESULT, "unique_id": "model.shop.lost", "status": 7}
    files = {
        "run_results.json": {"results": [lost, RESULT]},
        "manifest.json": {"nodes": nodes, "sources": {}},
    }
    job = cloud.create_job("x", execute_steps=["dbt build"], artifacts=files)
    run_id = ended_run(cloud, job)["id"]
    (read,) = get_dbt_cloud_run_results(run_id=run_id)
    assert read["unique_id"] == "model.shop.orders"
    (warning,) = [each.message for each in caplog.records if "completely" in each.message]
    assert "`run_results.json` of step 4 has `$.results[0].status` of `model.shop.lost`" in warning
    assert 'its manifest has `$.nodes["model.shop.orders"].tags` of an unexpected' in warning


def test_an_unfinished_run_has_no_results_yet(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("x", duration=None)
    run_id = started_run(cloud, job)["id"]
    assert get_dbt_cloud_run_results(run_id=run_id) == []
    assert f"Run {run_id} has not finished" in caplog.text


def test_a_run_that_does_not_exist_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        get_dbt_cloud_run_results(run_id=1)


def test_large_artifacts_are_read(cloud: DBTCloudEmulator) -> None:
    many = [{**RESULT, "unique_id": f"model.shop.m{i}"} for i in range(2_000)]
    content = json.dumps({"results": many}).encode()
    job = cloud.create_job("x", artifacts={"run_results.json": content})
    assert len(get_dbt_cloud_run_results(run_id=ended_run(cloud, job)["id"])) == 2_000


def test_a_real_run_of_three_steps_and_its_retry(recorded: Recorded, tmp_path: Path) -> None:
    flights = Flights(recorded("three_steps"), tmp_path)
    flights.load_for_dbt()
    flights.make_times_impossible()
    steps = ("dbt seed", "dbt run --select +fct_flights", "dbt test --select stg_flights")
    job = flights.job(*steps, generate_docs=True)
    run_id = run_dbt_cloud_job(job_id=job)["id"]
    results = get_dbt_cloud_run_results(run_id=run_id)
    assert statuses(results) == {"success": 3, "error": 1}
    assert {each["command"] for each in results} == set(steps[:2])
    flights.make_times_possible()
    again = retry_dbt_cloud_run(run_id=run_id)["id"]
    merged = get_dbt_cloud_run_results(run_id=again)
    assert set(statuses(merged)) == {"success", "pass"}
    assert {each["run_id"] for each in merged} == {run_id, again}
    assert len({each["unique_id"] for each in merged}) == len(merged)
    (fact,) = [each for each in merged if each["name"] == "fct_flights"]
    assert fact["path"] == "models/marts/fct_flights.sql"
    assert fact["relation_name"] == '"flights"."analytics"."fct_flights"'
    assert (fact["started_at"] or "") < (fact["completed_at"] or "")
    names = executed(again)
    assert "fct_flights" in names
    assert "stg_flights" not in names
