"""A retry executes what a run has left, in the cheapest way that works, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudNotFoundError,
    DBTCloudRunFailed,
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_results,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad, last_load
from dlt_dbtcloud.runs.failure import explain
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.retry.backlog import Backlogs
from dlt_dbtcloud.runs.retry.methods import narrowed_retry, retry
from dlt_dbtcloud.runs.trigger.start import start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.fixtures import Recorded
from tests.support.clock import DBT_PATIENCE, FakeClock, FastClock, clocked, until
from tests.support.dbt.manifests import read_manifest
from tests.support.dbt.scripted_dbt import Act, executed_commands, open_gate, scripted_job
from tests.support.past_runs import AwaitingClock, ended_run, started_run
from tests.support.processes.threads import in_background
from tests.support.projects.flights import Flights, own_results, statuses
from tests.support.projects.shop import write_shop


def node(name: str, kind: str = "model", package: str = "shop") -> dict[str, Any]:
    return {
        "name": name,
        "resource_type": kind,
        "package_name": package,
        "fqn": [package, name],
        "original_file_path": f"models/{name}.sql",
    }


MANIFEST = {
    "nodes": {f"model.shop.{name}": node(name) for name in "abc"},
    "exposures": {"exposure.shop.board": node("board", "exposure")},
}
RESULTS = {
    "results": [
        {"unique_id": "model.shop.a", "status": "success"},
        {"unique_id": "model.shop.b", "status": "error", "message": "Database Error"},
        {"unique_id": "model.shop.c", "status": "skipped"},
        {"unique_id": "exposure.shop.board", "status": "skipped"},
    ]
}
FILES = {"run_results.json": RESULTS, "manifest.json": MANIFEST}
UNDONE = (
    "--select package:shop,resource_type:model,file:b.sql "
    "package:shop,resource_type:model,file:c.sql"
)
# with the skipped exposure
UNDONE_AND_BOARD = UNDONE.replace(
    "--select ", "--select package:shop,resource_type:exposure,file:board.sql "
)


def test_a_command_is_narrowed_to_its_unsuccessful_nodes() -> None:
    cases: list[tuple[str, str | None]] = [
        ("dbt build", f"dbt build {UNDONE} --indirect-selection empty"),
        ("dbt run -s +c --exclude d", f"dbt run {UNDONE}"),
        (
            "dbt build --models=x --vars '{a: 1}' --full-refresh",
            f"dbt build --vars '{{a: 1}}' --full-refresh {UNDONE} --indirect-selection empty",
        ),
        (
            "dbt build --resource-type model",
            f"dbt build --resource-type model {UNDONE} --indirect-selection empty",
        ),
        ("dbt build --exclude b", f"dbt build {UNDONE} --indirect-selection empty"),
        (
            "dbt --fail-fast test --selector y",
            f"dbt --fail-fast test {UNDONE} --indirect-selection empty",
        ),
        ("dbt retry", None),
        ("dbt run-operation grant", None),
        ("make build", None),
    ]
    for line, again in cases:
        assert (
            narrowed_retry(line, ["model.shop.b", "model.shop.c"], read_manifest(MANIFEST)) == again
        )


def test_a_command_is_not_narrowed_if_a_node_is_unknown() -> None:
    nodes = ["model.shop.b", "operation.shop.on-run-end-0"]
    assert narrowed_retry("dbt build", nodes, read_manifest(MANIFEST)) is None
    assert narrowed_retry("dbt build", [], read_manifest(MANIFEST)) is None


def test_a_command_is_not_narrowed_if_the_selection_is_too_long() -> None:
    ids = [f"model.shop.m{i}" for i in range(2_500)]
    manifest = {"nodes": {unique_id: node(unique_id[11:]) for unique_id in ids}}
    assert narrowed_retry("dbt build", ids, read_manifest(manifest)) is None


@pytest.fixture
def failed(cloud: DBTCloudEmulator) -> Run:
    """Return a run of three commands of which the second failed, with overrides of its own."""
    return fail(cloud)


def fail(cloud: DBTCloudEmulator, files: Any = FILES, **options: Any) -> Run:
    steps = ["dbt seed", "dbt build --select +c --threads 3", "dbt test"]
    job = cloud.create_job(
        "Nightly", execute_steps=steps, artifacts=files, duration=None, **options
    )
    overrides = {
        "cause": "as usual",
        "schema_override": "ci",
        "git_branch": "fix",
        "threads_override": 7,
        "target_name_override": "prod",
        "dbt_version_override": "1.9",
        "timeout_seconds_override": 60,
    }
    run = started_run(cloud, job, **overrides)
    cloud.finish_run(run["id"], "error", at_command=2)
    return cloud.runs[-1]


def outdate(cloud: DBTCloudEmulator, run: Run) -> None:
    """Start a newer run of the job, so that the API does not retry this run."""
    newer = started_run(cloud, run["job_definition_id"])
    cloud.finish_run(newer["id"])


def test_the_api_retries_if_it_can(cloud: DBTCloudEmulator, failed: Run) -> None:
    again = retry_dbt_cloud_run(run_id=failed["id"], wait_for_outcome=False)
    assert again["retrying_run_id"] == failed["id"]
    assert [request.path for request in cloud.requests if request.method == "POST"] == [
        f"/api/v2/accounts/{cloud.account_id}/runs/{failed['id']}/retry/"
    ]


def test_else_the_failed_command_runs_on_its_unsuccessful_nodes(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run
) -> None:
    outdate(cloud, failed)
    again = retry(client, failed)
    trigger: Any = cloud.runs[-1]["trigger"]
    assert trigger["steps_override"] == [
        f"dbt build --threads 3 {UNDONE_AND_BOARD} --indirect-selection empty",
        "dbt test",
    ]
    kept = ("schema", "threads", "target_name", "dbt_version", "timeout_seconds")
    assert [trigger[f"{name}_override"] for name in kept] == ["ci", 7, "prod", "1.9", 60]
    assert trigger["git_branch"] == "fix"
    assert trigger["cause"].startswith(f"as usual: retry of run {failed['id']} [dlt:")
    assert again["id"] == cloud.runs[-1]["id"]


def test_else_the_failed_command_runs_unchanged(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    for name in ("", *FILES):
        run = fail(cloud, {name: FILES[name]} if name else {})
        outdate(cloud, run)
        retry(client, run)
        trigger: Any = cloud.runs[-1]["trigger"]
        assert trigger["steps_override"] == ["dbt build --select +c --threads 3", "dbt test"]


def test_a_new_run_is_triggered_if_the_api_refuses_to_retry(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run
) -> None:
    cloud.fail("retry_run", "status", status=400, when="before")
    retry(client, failed)
    assert len(cloud.runs) == 2
    assert cloud.runs[-1]["retrying_run_id"] is None


def test_an_invalid_token_ends_a_retry(cloud: DBTCloudEmulator, failed: Run) -> None:
    cloud.fail("retry_run", "status", status=403, when="before")
    with pytest.raises(DBTCloudAPIError, match="403"):
        retry_dbt_cloud_run(run_id=failed["id"])
    assert len(cloud.runs) == 1


@pytest.mark.parametrize("is_outdated", [False, True])
def test_a_run_is_retried_once_by_several_calls(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run, is_outdated: bool
) -> None:
    if is_outdated:
        outdate(cloud, failed)
    runs = [retry(client, failed) for _ in range(2)]
    assert len({run["id"] for run in runs}) == 1


def test_a_successful_retry_is_not_repeated(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, isolated: Path
) -> None:
    acts = [Act({"model.shop.a": "error"}, exit_code=1), Act({"model.shop.a": "success"})]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    run = ended_run(cloud, job)
    again = cloud.wait_for_run(retry(client, run)["id"])
    assert again["is_success"]
    assert retry(client, run)["id"] == again["id"] != run["id"]


@pytest.mark.parametrize("is_outdated", [False, True])
def test_a_failed_retry_is_retried_next(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run, is_outdated: bool
) -> None:
    if is_outdated:
        outdate(cloud, failed)
    second = retry(client, failed)
    cloud.finish_run(second["id"], "error")
    if is_outdated:
        outdate(cloud, failed)
    third = retry(client, failed)
    assert third["id"] not in (second["id"], failed["id"])
    listed = cloud.runs[-1]
    cause = (listed["trigger"] or {})["cause"]
    assert listed["retrying_run_id"] == second["id"] or f"retry of run {second['id']} " in cause
    if is_outdated:
        trigger: Any = listed["trigger"]
        assert trigger["steps_override"][1:] == ["dbt test"]


def test_a_new_run_is_triggered_after_a_failed_retry_of_the_api(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run
) -> None:
    second = retry(client, failed)
    cloud.finish_run(second["id"], "error")
    outdate(cloud, failed)
    retry(client, failed)
    # the failed command is `dbt retry`, whose original command is in the first run
    trigger: Any = cloud.runs[-1]["trigger"]
    assert trigger["steps_override"] == [
        f"dbt build --threads 3 {UNDONE_AND_BOARD} --indirect-selection empty",
        "dbt test",
    ]


def test_the_retried_run_is_requested_once_per_attempt(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run
) -> None:
    second = retry(client, failed)
    cloud.finish_run(second["id"], "error")
    outdate(cloud, failed)
    # the retry is read first, and then the run that it retries
    cloud.fail("get_run", "status", skip=1, calls=4)
    clock = FakeClock()
    retry(clocked(client, clock), failed)
    assert len(clock.sleeps) == 4


def test_a_retry_waits_out_every_cool_down(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run
) -> None:
    second = retry(client, failed)
    cloud.finish_run(second["id"], "error")
    outdate(cloud, failed)
    clock = FakeClock()
    cloud.limit_requests(1, clock=clock.monotonic, sends_retry_after=True)
    before = len(cloud.runs)
    assert retry(clocked(client, clock), failed)["id"] == cloud.runs[-1]["id"]
    assert len(cloud.runs) == before + 1
    assert cloud.struck


@pytest.mark.parametrize("outcome", ["success", None])
def test_a_run_that_did_not_fail_is_not_retried(
    cloud: DBTCloudEmulator, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("x", duration=None)
    run = started_run(cloud, job)
    if outcome:
        cloud.finish_run(run["id"], outcome)
    assert retry_dbt_cloud_run(run_id=run["id"], wait_for_outcome=False)["id"] == run["id"]
    assert len(cloud.runs) == 1
    assert f"Run {run['id']} is not retried" in caplog.text


def test_a_cancelled_run_resumes_with_the_cancelled_command(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("x", execute_steps=["dbt seed", "dbt build"], duration=None)
    run = started_run(cloud, job)
    cloud.finish_run(run["id"], "cancelled", at_command=2)
    retry(client, cloud.runs[-1])
    assert (cloud.runs[-1]["trigger"] or {})["steps_override"] == ["dbt build"]


def test_a_cancelled_command_is_not_narrowed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("x", execute_steps=["dbt build"], artifacts=FILES, duration=None)
    run = started_run(cloud, job)
    cloud.finish_run(run["id"], "cancelled")
    retry(client, cloud.runs[-1])
    assert (cloud.runs[-1]["trigger"] or {})["steps_override"] is None


def test_a_load_that_another_worker_built_is_not_retried(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    cloud.fail("get_artifact", "hang", when="before", seconds=3600)
    config = DBTCloudConfiguration(retries=2)
    trigger = Trigger(str(job), {"cause": "x"}, LastLoad("flights", "1732150000.123"))
    lifecycle = Lifecycle(clocked(client, FastClock()), config)
    worker = in_background(lambda: lifecycle.run_all([trigger]))
    until(lambda: len(cloud.runs) == 1)
    cloud.finish_run(cloud.runs[0]["id"], "error")
    # the other worker starts while the first reads why its run failed
    until(lambda: cloud.struck)
    other = start(client, trigger).run
    cloud.finish_run(other["id"])
    cloud.heal()
    assert [run["id"] for run in worker.result()] == [other["id"]]
    assert len(cloud.runs) == 2


def test_docs_and_freshness_of_the_job_are_not_added_twice(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = fail(cloud, generate_docs=True, run_generate_sources=True)
    outdate(cloud, run)
    again = retry(client, run)
    cloud.finish_run(again["id"])
    names = [step["name"] for step in cloud.runs[-1]["run_steps"]]
    assert sum("docs generate" in name for name in names) == 1
    assert sum("source freshness" in name for name in names) == 1


def test_a_run_without_a_started_command_is_retried_with_the_commands_of_the_job(
    cloud: DBTCloudEmulator,
) -> None:
    job = cloud.create_job("x", duration=None)
    first = started_run(cloud, job)
    second = started_run(cloud, job)
    assert cancel_dbt_cloud_run(run_id=second["id"])["is_cancelled"]
    cloud.finish_run(first["id"])
    retry_dbt_cloud_run(run_id=second["id"], wait_for_outcome=False)
    assert (cloud.runs[-1]["trigger"] or {})["steps_override"] is None


def test_a_run_that_does_not_exist_cannot_be_retried(client: DBTCloudClientV2) -> None:
    config = DBTCloudConfiguration()
    with pytest.raises(DBTCloudNotFoundError):
        Lifecycle(clocked(client, FakeClock()), config).retry(1)


# `trigger/test_exactly_once.py` tests more faults of a trigger, and of the API's own retry
@pytest.mark.parametrize("kind", ["cut", "late"])
def test_a_new_run_in_place_of_a_retry_is_exactly_one_whatever_the_response_is(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, failed: Run, kind: Any
) -> None:
    outdate(cloud, failed)
    before = len(cloud.runs)
    cloud.fail("trigger_job", kind, seconds=0.01)
    clock = FastClock()
    if kind == "late":
        clock.at(2.0, lambda: until(lambda: len(cloud.runs) > before))
    again = retry(clocked(client, clock), failed)
    kept = [run["id"] for run in cloud.runs[before:] if not run["is_cancelled"]]
    assert kept == [again["id"]]


def test_a_call_retries_as_often_as_requested(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly", outcome="error", artifacts=FILES)
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(job_id=job, retries=2, raise_on_failure=True)
    assert [run["retrying_run_id"] for run in cloud.runs] == [
        None,
        cloud.runs[0]["id"],
        cloud.runs[1]["id"],
    ]
    assert caught.value.run_id == cloud.runs[-1]["id"]
    assert caplog.text.count("1 of 4 nodes failed") == 2
    assert "retry 2 of 2" in caplog.text


def test_a_retry_that_cannot_be_triggered_does_not_hide_the_failure(
    cloud: DBTCloudEmulator,
) -> None:
    job = cloud.create_job("Nightly", outcome="error", artifacts=FILES)
    cloud.fail("retry_run", "status", status=401, when="before")
    with pytest.raises(DBTCloudAPIError) as caught:
        run_dbt_cloud_job(job_id=job, retries=2, raise_on_failure=True)
    assert "1 of 4 nodes failed" in str(caught.value)
    assert len(cloud.runs) == 1


def test_retries_of_a_load_count_as_runs_of_it(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    trigger = Trigger(str(job), {"cause": "x"}, last_load(loaded_pipeline))
    run = start(client, trigger).run
    cloud.finish_run(run["id"], "error")
    again = retry(client, cloud.runs[0])
    assert start(client, trigger).run["id"] == again["id"]
    cloud.finish_run(again["id"])
    assert start(client, trigger).run["id"] == again["id"]
    assert len(cloud.runs) == 2


BROKEN = {"model.shop.a": "success", "model.shop.b": "error", "model.shop.c": "skipped"}
FIXED = {"model.shop.b": "success", "model.shop.c": "success"}
FAILURE = Act(BROKEN, exit_code=1, manifest=MANIFEST)


Call = Callable[..., Lifecycle]


@pytest.fixture
def call(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> Call:
    """Return a function that makes a call with options, which does not wait in real time."""

    def make(**options: Any) -> Lifecycle:
        config = DBTCloudConfiguration(**{"raise_on_failure": True, **options})
        return Lifecycle(clocked(client, AwaitingClock(cloud)), config)

    return make


def run_job(call: Lifecycle, job: int) -> Run:
    return call.run_all([Trigger(str(job), {"cause": "x"})])[0]


def test_a_retry_that_executed_nothing_is_followed_by_the_next_way(
    cloud: DBTCloudEmulator, isolated: Path, caplog: pytest.LogCaptureFixture, call: Call
) -> None:
    nothing = Act({}, manifest=MANIFEST)
    acts = [FAILURE, nothing, nothing, Act({"model.shop.a": "success", **FIXED})]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    last = run_job(call(retries=1), job)
    assert executed_commands(isolated) == [
        "build",
        "retry",
        f"build {UNDONE} --indirect-selection empty",
        "build",
    ]
    assert [retried_run(run) for run in cloud.runs] == [None, *(run["id"] for run in cloud.runs)][
        :4
    ]
    assert last["id"] == cloud.runs[-1]["id"]
    assert last["is_success"]
    assert caplog.text.count("2 of its nodes: model.shop.b, model.shop.c") == 2
    # each run and artifact is read once
    read = [
        (each.path, *each.query.get("step", ()))
        for each in cloud.requests
        if "/artifacts/" in each.path or "audit" in str(each.query)
    ]
    runs, artifacts = 4, 6
    assert len(read) == len({*read}) == runs + artifacts


def test_a_narrowed_retry_that_executed_too_little_is_followed_by_the_whole_command(
    cloud: DBTCloudEmulator, isolated: Path, call: Call
) -> None:
    part = Act({"model.shop.b": "success"}, manifest=MANIFEST)
    whole = Act({"model.shop.a": "success", **FIXED})
    job = scripted_job(
        cloud,
        isolated,
        ["dbt seed", "dbt build", "dbt test"],
        [Act({}), FAILURE, part, Act({}), part, Act({}), whole, Act({})],
    )
    call().retry(ended_run(cloud, job)["id"])
    # `c` alone is left after the API's retry, and `dbt test` has seen its old data
    only_c = "--select package:shop,resource_type:model,file:c.sql --indirect-selection empty"
    assert executed_commands(isolated) == [
        *("seed", "build", "retry", "test"),
        *(f"build {only_c}", "test"),
        *("build", "test"),
    ]


def test_a_retry_that_is_not_certain_in_the_end_is_an_error(
    cloud: DBTCloudEmulator, isolated: Path, call: Call
) -> None:
    acts = [FAILURE, *3 * [Act({"model.shop.a": "success"}, manifest=MANIFEST)]]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    with pytest.raises(DBTCloudRunFailed) as caught:
        # also without `raise_on_failure`, as the run itself says that it succeeded
        run_job(call(retries=1, raise_on_failure=False), job)
    assert len(cloud.runs) == 4
    assert caught.value.run_id == cloud.runs[-1]["id"]
    assert "did not execute 2 of its nodes: model.shop.b, model.shop.c" in str(caught.value)
    with pytest.raises(DBTCloudRunFailed):
        call(raise_on_failure=False).follow(cloud.runs[-1]["id"])


@pytest.mark.parametrize(
    ("statuses", "manifest"),
    [
        # results that cannot be read
        ({"model.shop.b": 5, "model.shop.c": 5}, MANIFEST),
        # nodes of the manifest that cannot be read do exist
        (
            {},
            {
                "nodes": {
                    "model.shop.a": node("a"),
                    "model.shop.b": {"tags": 5},
                    "model.shop.c": {"tags": 5},
                }
            },
        ),
    ],
)
def test_unreadable_results_and_nodes_do_not_count_as_executed(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    statuses: dict[str, Any],
    manifest: dict[str, Any],
) -> None:
    act = Act({"model.shop.a": "success", **statuses}, manifest=manifest)
    job = scripted_job(cloud, isolated, ["dbt build"], [FAILURE, act, act])
    run = ended_run(cloud, job)
    by_the_api = cloud.wait_for_run(client.retry_run(run["id"])["id"])
    whole = ended_run(cloud, job, cause=f"x: retry of run {run['id']} [dlt:3f9c2ab41d07]")
    for again in (by_the_api, whole):
        backlog = Backlogs(client).of(again)
        assert backlog.is_uncertain
        assert backlog.nodes == ["model.shop.b", "model.shop.c"]


def test_a_node_that_no_longer_exists_does_not_make_the_whole_command_fail(
    cloud: DBTCloudEmulator, isolated: Path, call: Call
) -> None:
    renamed = {"nodes": {"model.shop.a": node("a"), "model.shop.d": node("d")}}
    nothing = Act({}, manifest=renamed)
    acts = [
        FAILURE,
        nothing,
        Act({"model.shop.a": "success", "model.shop.d": "success"}, manifest=renamed),
    ]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    assert call().retry(ended_run(cloud, job)["id"])["is_success"]
    # the node that does not exist cannot be selected
    assert executed_commands(isolated) == ["build", "retry", "build"]


def failed_run(cloud: DBTCloudEmulator, act: Act, line: str = "dbt build") -> Run:
    """Return a failed run of a command, without a process, whose retry succeeds."""
    results = {} if act.results is None else {"run_results.json": {"results": act.results}}
    files = {**results, "manifest.json": act.manifest}
    outcome: Any = ["error", "success"]
    job = cloud.create_job("Nightly", execute_steps=[line], outcome=outcome, artifacts=files)
    return ended_run(cloud, job)


def is_whole(run: Run) -> bool:
    """Return whether a run is a new one of all of its job."""
    return run["retrying_run_id"] is None and (run["trigger"] or {})["steps_override"] is None


def test_a_command_whose_results_show_too_little_is_retried_whole_at_once(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    too_little: list[Any] = [None, {}, {"model.shop.b": "error"}]
    for results in too_little:
        act = Act(results, manifest=MANIFEST, message="Compilation Error", execution_time=0)
        retry(client, failed_run(cloud, act))
        assert is_whole(cloud.runs[-1]), results


def test_a_retry_that_fails_by_tests_of_another_command_is_repeated_without_them(
    cloud: DBTCloudEmulator, isolated: Path, caplog: pytest.LogCaptureFixture, call: Call
) -> None:
    line = "dbt build --exclude unique_b"
    test = {"test.shop.unique_b.1": "fail"}
    acts = [FAILURE, Act({**FIXED, **test}, exit_code=1, manifest=MANIFEST), Act(FIXED)]
    job = scripted_job(cloud, isolated, [line], acts)
    last = run_job(call(retries=1), job)
    assert executed_commands(isolated) == [
        line.removeprefix("dbt "),
        "retry",
        f"build {UNDONE} --indirect-selection empty",
    ]
    assert last["is_success"]
    assert f"failed only by tests that `{line}` does not execute" in caplog.text


def test_dbt_fusion_is_not_asked_to_retry_a_command_without_some_tests(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    """Its `dbt retry` executes all tests of what it builds."""
    metadata = {"dbt_version": "2.0.0-preview.196"}
    act = replace(FAILURE, manifest={**MANIFEST, "metadata": metadata})
    narrowed = {
        "dbt run": f"dbt run {UNDONE}",
        "dbt build --exclude unique_b": f"dbt build {UNDONE} --indirect-selection empty",
        "dbt build --resource-type model": (
            f"dbt build --resource-type model {UNDONE} --indirect-selection empty"
        ),
    }
    for line, again in narrowed.items():
        assert retry(client, failed_run(cloud, act, line))["retrying_run_id"] is None
        assert (cloud.runs[-1]["trigger"] or {})["steps_override"] == [again]
    # the API retries it
    run = failed_run(cloud, act)
    assert retry(client, run)["retrying_run_id"] == run["id"]


def test_a_command_whose_hook_failed_is_retried_whole_at_once(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    """`dbt retry` does not execute hooks of a run whose nodes are built."""
    hook = "operation.shop.shop-on-run-end-0"
    act = Act({**FIXED, "model.shop.a": "success", hook: "error"}, manifest=MANIFEST)
    retry(client, failed_run(cloud, act))
    assert is_whole(cloud.runs[-1])


def test_each_retry_of_the_user_is_a_way_that_executed_something(
    cloud: DBTCloudEmulator, isolated: Path, call: Call
) -> None:
    nothing, failing = (
        Act({}, manifest=MANIFEST),
        Act({**FIXED, "model.shop.b": "error"}, exit_code=1, manifest=MANIFEST),
    )
    acts = [FAILURE, nothing, failing, nothing, Act({"model.shop.b": "success"})]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    last = run_job(call(retries=2), job)
    assert last["id"] == cloud.runs[4]["id"]


def test_no_way_begins_after_the_timeout(
    cloud: DBTCloudEmulator, isolated: Path, client: DBTCloudClientV2
) -> None:
    gate = isolated / "gate"
    acts = [FAILURE, Act({}, manifest=MANIFEST, gate=gate)]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    run = ended_run(cloud, job)
    config = DBTCloudConfiguration(timeout=60.0)
    clock = FakeClock()

    def end_in_time() -> None:
        open_gate(gate)
        cloud.wait_for_run(cloud.runs[-1]["id"])
        clock.now = 60.0

    clock.at(0.0, end_in_time)
    with pytest.raises(DBTCloudRunFailed, match="did not execute 2 of its nodes"):
        Lifecycle(clocked(client, clock), config).retry(run["id"])
    assert len(cloud.runs) == 2


def test_a_token_that_may_not_read_results_retries_the_whole_command(
    cloud: DBTCloudEmulator, call: Call
) -> None:
    run = failed_run(cloud, FAILURE)
    cloud.fail("get_artifact", "status", status=403, calls=None, when="before")
    again = call().retry(run["id"])
    assert again["is_success"]
    assert is_whole(again)


def test_a_successful_retry_whose_results_cannot_be_read_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = failed_run(cloud, FAILURE)
    # results and manifest of the failed run are read first
    cloud.fail("get_artifact", "status", status=401, skip=2, calls=None, when="before")
    config = DBTCloudConfiguration()
    with pytest.raises(DBTCloudAPIError, match="401"):
        Lifecycle(clocked(client, FastClock()), config).retry(run["id"])
    assert cloud.runs[-1]["is_success"]


@pytest.mark.parametrize("raises", [True, False])
def test_a_failed_retry_whose_results_cannot_be_read_is_a_failure(
    cloud: DBTCloudEmulator, raises: bool, call: Call
) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly", outcome="error", artifacts=FILES))
    cloud.fail("get_artifact", "status", status=401, skip=2, calls=None, when="before")
    if not raises:
        assert call(raise_on_failure=False).retry(run["id"])["is_error"]
        return
    with pytest.raises(DBTCloudRunFailed):
        retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)


def test_several_calls_repeat_a_retry_that_executed_nothing_once(
    cloud: DBTCloudEmulator, isolated: Path, client: DBTCloudClientV2, call: Call
) -> None:
    gate = isolated / "gate"
    acts = [FAILURE, Act({}, manifest=MANIFEST), Act(FIXED, manifest=MANIFEST, gate=gate)]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    first = ended_run(cloud, job)
    nothing = retry(client, first)
    cloud.wait_for_run(nothing["id"])
    clocks = [FastClock() for _ in range(2)]

    def work(clock: FastClock) -> Run:
        return Lifecycle(clocked(client, clock), DBTCloudConfiguration()).retry(first["id"])

    workers = [in_background(partial(work, clock)) for clock in clocks]
    # a call sleeps when it has its run, and has cancelled a later one
    until(lambda: all(clock.sleeps for clock in clocks))
    open_gate(gate)
    (kept,) = {worker.result()["id"] for worker in workers}
    assert [run["id"] for run in cloud.runs if run["is_success"]] == [
        nothing["id"],
        kept,
    ]
    # the id of the retry itself leads to the same run
    assert call().retry(nothing["id"])["id"] == kept


def test_a_load_is_not_built_by_a_retry_that_executed_nothing(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    loaded_pipeline: dlt.Pipeline,
    isolated: Path,
    call: Call,
) -> None:
    acts = [FAILURE, Act({}, manifest=MANIFEST), Act({"model.shop.a": "success", **FIXED})]
    job = scripted_job(cloud, isolated, ["dbt build"], acts)
    trigger = Trigger(str(job), {"cause": "x"}, last_load(loaded_pipeline))
    first = cloud.wait_for_run(start(client, trigger).run["id"])
    again = retry(client, first)
    assert cloud.wait_for_run(again["id"])["is_success"]
    (last,) = call().run_all([trigger])
    assert last["id"] not in (first["id"], again["id"])
    assert last["is_success"]


@pytest.mark.parametrize(
    ("step", "is_outdated"),
    [
        ("dbt build", False),
        (
            "dbt build --select path:models tag:reference --exclude mart_route_traffic,tag:marts "
            "--vars '{a: b}' --threads 2",
            True,
        ),
    ],
)
def test_a_retry_succeeds_when_the_data_are_fixed(
    cloud: DBTCloudEmulator,
    recorded: Recorded,
    tmp_path: Path,
    step: str,
    is_outdated: bool,
    call: Call,
) -> None:
    flights = Flights(recorded("narrowed_retry" if is_outdated else "retry"), tmp_path)
    flights.load_for_dbt()
    flights.make_times_impossible()
    run = ended_run(cloud, flights.job(step))
    undone = {
        each["name"] for each in own_results(run["id"]) if each["status"] in ("error", "skipped")
    }
    assert "fct_flights" in undone
    assert not {"dim_airports", "mart_route_traffic"} & (undone if "--exclude" in step else set())
    if is_outdated:
        ended_run(cloud, run["job_definition_id"], steps_override=["dbt deps"])
    flights.make_times_possible()
    again = call().retry(run["id"])
    assert (again["retrying_run_id"] is None) is is_outdated
    merged = get_dbt_cloud_run_results(run_id=again["id"])
    assert {each["name"] for each in merged if each["run_id"] == again["id"]} == undone
    assert not {"error", "fail", "skipped"} & set(statuses(merged))


def test_a_command_without_results_is_retried_unchanged(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, recorded: Recorded, tmp_path: Path
) -> None:
    flights = Flights(recorded("without_results"), tmp_path)
    flights.load_for_dbt()
    flights.make_times_impossible()
    steps = (
        "dbt seed",
        "dbt --no-write-json run -s +fct_flights --fail-fast",
        "dbt test -s dim_seasons",
    )
    run = ended_run(cloud, flights.job(*steps))
    error = str(explain(client, run))
    assert "the end of its log" in error
    assert "in model fct_flights" in error
    flights.make_times_possible()
    cloud.wait_for_run(retry(client, run)["id"])
    assert (cloud.runs[-1]["trigger"] or {})["steps_override"] == list(steps[1:])


def test_a_namesake_in_another_package_is_not_retried(
    cloud: DBTCloudEmulator, recorded: Recorded, tmp_path: Path, call: Call
) -> None:
    project = write_shop(tmp_path / "shop")
    broken = project / "models/shared/same.sql"
    broken.write_text("select 1 / 'none' as id, no_such_column")
    steps = ["dbt run --select same"]
    job = recorded("namesake").create_job("Shop", execute_steps=steps, project_dir=project)
    run = ended_run(cloud, job)
    assert statuses(own_results(run["id"])) == {"error": 1, "success": 1}
    # a newer run prevents a retry by the API
    ended_run(cloud, job, steps_override=["dbt deps"])
    broken.write_text("select 2 as id")
    again = call().retry(run["id"])
    assert [each["unique_id"] for each in own_results(again["id"])] == ["model.shop.same"]


@pytest.mark.dbt
def test_retries_succeed_when_a_transient_fault_ends(
    cloud: DBTCloudEmulator, flights: Flights
) -> None:
    flights.load("airlines")
    job = flights.job("dbt run --select stg_airlines")

    database = duckdb.connect(flights.database)

    def release_the_database() -> None:
        with database:
            until(lambda: len(cloud.runs) == 2, within=DBT_PATIENCE)

    releasing = in_background(release_the_database)
    run = run_dbt_cloud_job(job_id=job, retries=2, raise_on_failure=True)
    releasing.result()
    assert run["is_success"]
    assert 2 <= len(cloud.runs) <= 3


def test_a_scripted_job_is_retried_by_the_api(cloud: DBTCloudEmulator, call: Call) -> None:
    job = cloud.create_job("Nightly", outcome=["error", "success"])
    run = ended_run(cloud, job)
    again = call().retry(run["id"])
    assert again["retrying_run_id"] == run["id"]
    assert again["is_success"]
    assert len(cloud.runs) == 2


def test_a_scripted_job_whose_artifacts_stay_the_same_is_retried_on_its_nodes(
    cloud: DBTCloudEmulator, call: Call
) -> None:
    files = {
        "manifest.json": MANIFEST,
        "run_results.json": {
            "results": [
                {"unique_id": unique_id, "status": status, "execution_time": 0.1}
                for unique_id, status in BROKEN.items()
            ]
        },
    }
    job = cloud.create_job("Nightly", outcome=["error", "success"], artifacts=files)
    last = call().retry(ended_run(cloud, job)["id"])
    assert last["is_success"]
    assert [retried_run(run) is None for run in cloud.runs] == [True, False, False]
    assert (last["trigger"] or {})["steps_override"]
