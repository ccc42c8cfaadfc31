"""A run is certain only if the nodes that it was for are in its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.retry.backlog import Backlogs, Execution, RetryMethod, Task, task_after
from dlt_dbtcloud.typing import Run, RunStatus
from tests.support.dbt import recordings
from tests.support.dbt.nodes import result
from tests.support.dbt.scripted_dbt import Act, scripted_job
from tests.support.past_runs import ended_run

SUCCESS, ERROR, CANCELLED = RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.CANCELLED
RETRY, NODES, WHOLE = RetryMethod.RETRY, RetryMethod.NODES, RetryMethod.WHOLE
A, B, TEST = "model.shop.a", "model.shop.b", "test.shop.not_null_a.1"
LEFT = Task("dbt build", frozenset({A, TEST}))
RUN = Task("dbt run", frozenset({A, B}))


def after(task: Task, method: RetryMethod, status: RunStatus, **statuses: str) -> Task | None:
    ids = {"a": A, "b": B, "test": TEST}
    results = [result(ids[name], status) for name, status in statuses.items()]
    return task_after(task, Execution(method, status, results))


def test_a_retry_with_the_nodes_in_its_results_leaves_nothing() -> None:
    for method in [RETRY, NODES, WHOLE]:
        assert after(LEFT, method, SUCCESS, a="success", test="pass") is None
        assert after(LEFT, method, SUCCESS, a="reused", test="warn", b="no-op") is None
        # nodes that are up to date are skipped
        assert after(LEFT, method, SUCCESS, a="skipped", test="pass") is None


@pytest.mark.parametrize("method", [RETRY, NODES])
@pytest.mark.parametrize("statuses", [{}, {"a": "success"}, {"b": "success"}])
def test_a_successful_retry_without_the_nodes_leaves_them(
    method: RetryMethod, statuses: dict[str, str]
) -> None:
    left = after(LEFT, method, SUCCESS, **statuses)
    missing = {TEST} if "a" in statuses else {A, TEST}
    assert left == Task("dbt build", frozenset(missing), tried=method)


def test_results_that_an_api_retry_has_left_from_before_leave_the_nodes() -> None:
    before = {"a": "success", "test": "fail"}
    left = Task("dbt build", frozenset({TEST}), tried=RETRY)
    assert after(LEFT, RETRY, SUCCESS, **before) == left
    # another run starts without results, and succeeds only if no node failed
    assert after(LEFT, NODES, SUCCESS, **before) is None


def test_a_project_without_nodes_leaves_none_as_long_as_it_has_none() -> None:
    empty = task_after(Task("dbt build"), Execution(WHOLE, ERROR, is_empty=True))
    assert empty == Task("dbt build", frozenset())
    assert task_after(empty, Execution(RETRY, SUCCESS, is_empty=True)) is None
    assert after(empty, RETRY, SUCCESS) == Task("dbt build", tried=RETRY)
    assert after(empty, RETRY, SUCCESS, a="success") == Task("dbt build", tried=RETRY)
    assert after(empty, WHOLE, SUCCESS, a="success") is None


def test_an_exposure_is_repeated_but_not_required() -> None:
    results = [result(A, "error"), result("exposure.shop.board", "skipped")]
    left = task_after(Task("dbt build"), Execution(WHOLE, ERROR, results))
    assert left == Task("dbt build", frozenset({A, "exposure.shop.board"}))
    assert after(left, RETRY, SUCCESS, a="success") is None


def test_a_whole_command_without_the_nodes_in_its_results_leaves_them() -> None:
    assert after(LEFT, WHOLE, SUCCESS) == Task("dbt build", LEFT.nodes, tried=WHOLE)
    unknown = Execution(WHOLE, SUCCESS, are_results_known=False)
    assert task_after(LEFT, unknown) is None


def test_a_part_of_a_command_never_counts_as_the_whole() -> None:
    whole = Task("dbt build")
    assert after(whole, RETRY, SUCCESS, a="success") == Task("dbt build", tried=RETRY)
    assert after(whole, NODES, ERROR, a="error") == whole
    assert after(whole, WHOLE, SUCCESS) is None


def test_a_failed_command_leaves_its_unsuccessful_nodes() -> None:
    left = after(Task("dbt build"), WHOLE, ERROR, a="error", b="success", test="skipped")
    assert left == LEFT
    assert after(LEFT, RETRY, ERROR, a="success", test="fail") == Task(
        "dbt build", frozenset({TEST})
    )
    # a node that a retry did not reach is still left
    assert after(LEFT, RETRY, ERROR, b="error", a="success") == Task(
        "dbt build", frozenset({B, TEST})
    )


def test_of_a_node_that_is_listed_twice_the_last_result_counts() -> None:
    results = [result(A, "error"), result(A, "success"), result(B, "error")]
    left = task_after(Task("dbt build"), Execution(WHOLE, ERROR, results))
    assert left == Task("dbt build", frozenset({B}))


@pytest.mark.parametrize(
    "results",
    [
        [],
        # nothing failed that is known
        [result(A, "success")],
        # dbt Fusion lists one model that does not compile, whatever the command selects
        [result(A, "error", message="Compilation Error", execution_time=0.0)],
        # with `--fail-fast` it lists successful nodes as well
        [
            result(A, "success"),
            result(B, "error", message="Compilation Error", execution_time=0.0),
        ],
        # a database that cannot be reached
        [result(A, "error", execution_time=0.0), result(B, "skipped", execution_time=0.0)],
    ],
)
@pytest.mark.parametrize("task", [Task("dbt build"), LEFT])
def test_results_that_do_not_show_what_is_left_leave_the_whole_command(
    results: Any, task: Task
) -> None:
    method = WHOLE if task.nodes is None else RETRY
    assert task_after(task, Execution(method, ERROR, results)) == Task("dbt build")


def test_a_cancelled_or_incomplete_command_is_left_whole() -> None:
    results = [result(A, "error"), result(B, "success")]
    whole = Task("dbt build")
    assert task_after(whole, Execution(WHOLE, CANCELLED, results)) == whole
    assert task_after(whole, Execution(WHOLE, ERROR, results, is_complete=False)) == whole


def test_lost_results_leave_more_than_they_would_show() -> None:
    results = [result(A, "success"), result(B, "success"), result(TEST, "fail")]
    for task, method in ((Task("dbt build"), WHOLE), (RUN, RETRY), (LEFT, NODES)):
        failed = Execution(method, ERROR, results, is_complete=False, has_lost_results=True)
        assert task_after(task, failed) == Task(task.line)
    # the lost result may be that of the failed run, which the API's retry has left
    skipped = [result(A, "success"), result(TEST, "skipped")]
    before = Execution(RETRY, SUCCESS, skipped, has_lost_results=True)
    assert task_after(LEFT, before) == Task("dbt build", frozenset({TEST}), tried=RETRY)


def test_tests_that_are_not_part_of_a_command_are_not_left() -> None:
    # dbt Fusion retries `dbt run` as if it were `dbt build`
    assert after(RUN, RETRY, ERROR, a="success", b="success", test="fail") == Task(
        "dbt run", RUN.nodes, tried=RETRY
    )
    assert after(RUN, RETRY, ERROR, a="success", b="skipped", test="fail") == Task(
        "dbt run", frozenset({B}), tried=RETRY
    )
    assert after(RUN, RETRY, ERROR, a="success", b="error", test="fail") == Task(
        "dbt run", frozenset({B})
    )


def recorded_failure(cloud: DBTCloudEmulator, name: str) -> Run:
    """Return a failed run with the artifacts of a recorded one of dbt Fusion."""
    (recorded,) = recordings.load(name)
    options: Any = {"execute_steps": recorded["command"], "artifacts": recorded["artifacts"]}
    return ended_run(cloud, cloud.create_job("Press", outcome="error", **options))


def test_a_recorded_run_of_dbt_fusion_that_built_nothing_leaves_the_whole_command(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    cases = [
        "unknown_ref",
        "broken_yaml",
        "jinja_error",
        "fail_fast_cancelled",
        "no_database",
    ]
    for name in cases:
        (task,) = Backlogs(client).of(recorded_failure(cloud, name)).tasks
        assert task == Task(recordings.load(name)[0]["command"])


def test_a_recorded_run_of_dbt_fusion_with_failures_leaves_the_failed_nodes(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    for name in ["failures", "fail_fast"]:
        (task,) = Backlogs(client).of(recorded_failure(cloud, name)).tasks
        listed = recordings.load(name)[0]["artifacts"]["run_results.json"]["results"]
        unsuccessful = [
            each["unique_id"] for each in listed if each["status"] in ("error", "fail", "skipped")
        ]
        assert sorted(task.nodes or ()) == sorted(unsuccessful)
        assert len(unsuccessful) > 1


MANIFEST: dict[str, Any] = {
    "nodes": {
        A: {"resource_type": "model"},
        B: {"resource_type": "model"},
        "model.shop.c": {"config": {"materialized": "ephemeral"}},
        TEST: {"depends_on": {"nodes": [A]}},
    },
}


def test_results_of_fewer_nodes_than_the_command_selects_leave_it_whole(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    cases: list[tuple[str, dict[str, Any], bool]] = [
        ("dbt build", {A: "error", B: "success", TEST: "skipped"}, False),
        ("dbt build", {A: "error", TEST: "skipped"}, True),
        # the environment may exclude tests
        ("dbt build", {A: "error", B: "success"}, False),
        ("dbt run", {A: "error", B: "success"}, False),
        ("dbt run", {A: "error"}, True),
        # what these select is not known
        ("dbt build --select a", {A: "error"}, False),
        ("dbt build --exclude b", {A: "error"}, False),
        ("dbt build --resource-type model", {A: "error"}, False),
        # a result that cannot be read may be that of any node
        ("dbt build", {A: "error", B: 5, TEST: "skipped"}, True),
        ("dbt run", {A: "error", B: "success", "model.shop.d": 5}, True),
        ("dbt build --select a", {A: "error", B: 5}, True),
    ]
    for step, statuses, is_whole in cases:
        listed = [
            {"unique_id": unique_id, "status": status, "execution_time": 0.1}
            for unique_id, status in statuses.items()
        ]
        files = {"run_results.json": {"results": listed}, "manifest.json": MANIFEST}
        job = cloud.create_job("Nightly", execute_steps=[step], outcome="error", artifacts=files)
        (task,) = Backlogs(client).of(ended_run(cloud, job)).tasks
        assert (task.nodes is None) is is_whole, (step, statuses)


def test_a_manifest_that_lost_a_node_does_not_show_that_results_are_complete(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    cases: list[dict[str, Any]] = [
        {"nodes": {**MANIFEST["nodes"], B: {"tags": 5}}},
        {"nodes": {B: 5}},
        {"nodes": 5},
    ]
    for lost in cases:
        listed = [{"unique_id": A, "status": "error", "execution_time": 0.1}]
        listed.append({"unique_id": TEST, "status": "skipped"})
        files = {"run_results.json": {"results": listed}, "manifest.json": lost}
        job = cloud.create_job("x", execute_steps=["dbt build"], outcome="error", artifacts=files)
        (task,) = Backlogs(client).of(ended_run(cloud, job)).tasks
        assert task == Task("dbt build"), lost


def test_a_manifest_that_lost_all_nodes_is_not_that_of_a_project_without_nodes(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    for nodes, left in (({}, frozenset()), ({A: {"tags": 5}}, None)):
        files = {"run_results.json": {"results": []}, "manifest.json": {"nodes": nodes}}
        job = cloud.create_job("x", execute_steps=["dbt build"], outcome="error", artifacts=files)
        (task,) = Backlogs(client).of(ended_run(cloud, job)).tasks
        assert task.nodes == left


@pytest.mark.parametrize(("lost", "only_others"), [({}, True), ({"model.shop.c": 5}, False)])
def test_a_retry_with_a_lost_result_did_not_surely_fail_by_other_tests_only(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    lost: dict[str, Any],
    only_others: bool,
) -> None:
    acts = [
        Act({A: "error", B: "success"}, exit_code=1, manifest=MANIFEST),
        # dbt Fusion retries `dbt run` as if it were `dbt build`
        Act({A: "success", TEST: "fail", **lost}, exit_code=1, manifest=MANIFEST),
    ]
    job = scripted_job(cloud, isolated, ["dbt run"], acts)
    retry = client.retry_run(ended_run(cloud, job)["id"])
    cloud.wait_for_run(id_of(retry))
    assert Backlogs(client).of(retry).only_other_tests_failed is only_others
