"""A narrowed run is a success only if its nodes are in its results; else all of the job runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudRunFailed,
    get_dbt_cloud_run_status,
)
from dlt_dbtcloud.artifacts.results import ReadRuns
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad, last_load
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.retry.coverage import Scope, gap
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import Relation
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.scripted_dbt import Act, executed_commands, open_gate, scripted_job
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.past_runs import AwaitingClock, ended_run

STG, MART, TEST = "model.shop.stg", "model.shop.mart", "test.shop.not_null_stg.1"
ALL = {STG: "success", MART: "success", TEST: "pass", "model.shop.other": "success"}
BUILT = {STG: "success", MART: "success", TEST: "pass"}
NARROWED = "build --select source:raw.airlines+"


def manifest(source: str = "raw", models: Sequence[str] = (STG, MART)) -> dict[str, Any]:
    """Return a manifest of models and a test that descend from a source, and another model."""
    unique_id = f"source.shop.{source}.airlines"
    nodes: dict[str, Any] = {
        name: {
            "resource_type": "model",
            "package_name": "shop",
            "name": name.split(".")[2],
            "depends_on": {"nodes": [unique_id]},
        }
        for name in models
    }
    nodes[TEST] = {
        "resource_type": "test",
        "package_name": "shop",
        "name": "not_null_stg",
        "depends_on": {"nodes": [models[0]]},
    }
    nodes["model.shop.other"] = {
        "resource_type": "model",
        "package_name": "shop",
        "name": "other",
        "depends_on": {"nodes": []},
    }
    place = {"package_name": "shop", "source_name": source, "name": "airlines", "schema": "raw"}
    children = {unique_id: [*models], models[0]: [TEST]}
    return {"sources": {unique_id: place}, "nodes": nodes, "child_map": children}


def act(statuses: Mapping[str, Any] | None, **options: Any) -> Act:
    return Act(statuses, **{"manifest": manifest(), **options})


Narrowed = Callable[..., Run]


@pytest.fixture
def load(loaded_pipeline: dlt.Pipeline) -> LastLoad:
    found = last_load(loaded_pipeline)
    assert found
    return found


def run_load(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    job: int | None,
    load: LastLoad | None,
    *,
    only_loaded: bool = True,
    **options: Any,
) -> Run:
    """Run a job for a load, without waiting in real time."""
    trigger = Trigger(str(job), {"cause": "x"}, load, only_loaded=only_loaded)
    lifecycle = Lifecycle(clocked(client, AwaitingClock(cloud)), DBTCloudConfiguration(**options))
    return lifecycle.run_all([trigger])[0]


@pytest.fixture
def run_narrowed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, isolated: Path, load: LastLoad
) -> Narrowed:
    """Return a function that runs a job, which leaves a manifest, and then narrowed to a load."""

    def run(*acts: Act, step: str = "dbt build", **options: Any) -> Run:
        job = scripted_job(cloud, isolated, [step], [act(ALL), *acts])
        ended_run(cloud, job)
        return run_load(cloud, client, job, load, **options)

    return run


def gap_of(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, statuses: Mapping[str, Any]
) -> str | None:
    """Return what a narrowed run with these results has not built."""
    files = {"run_results.json": {"results": act(statuses).results}, "manifest.json": manifest()}
    job = cloud.create_job("Nightly", artifacts=files)
    run = ended_run(cloud, job, steps_override=[f"dbt {NARROWED}"])
    scope = Scope([Relation("airlines", "raw")], ["dbt build"], frozenset(BUILT))
    return gap(client, run, scope, ReadRuns())


@pytest.mark.parametrize(
    "statuses",
    [
        BUILT,
        # dbt Fusion reuses what has not changed
        {STG: "reused", MART: "no-op", TEST: "warn"},
        # the environment may exclude tests
        {STG: "success", MART: "success"},
    ],
)
def test_results_with_all_nodes_have_no_gap_whatever_the_manifest_is(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, statuses: dict[str, str]
) -> None:
    assert gap_of(cloud, client, statuses) is None
    read = [each.path.rpartition("/")[2] for each in cloud.requests if "artifacts" in each.path]
    assert read == ["run_results.json"]


def test_a_narrowed_run_with_its_nodes_is_certain_without_another_manifest(
    cloud: DBTCloudEmulator, isolated: Path, run_narrowed: Narrowed
) -> None:
    run = run_narrowed(act(BUILT))
    assert run["id"] == cloud.runs[-1]["id"]
    assert executed_commands(isolated) == ["build", NARROWED]
    read = [each.path.rpartition("/")[2] for each in cloud.requests if "artifacts" in each.path]
    assert read == ["manifest.json", "run_results.json"]
    assert get_dbt_cloud_run_status(run_id=run["id"])["is_success"]


@pytest.mark.parametrize(
    ("statuses", "count"),
    [
        ({}, 3),
        ({"model.shop.other": "success"}, 2),
        # results that cannot be read; the last may be that of a test
        ({STG: "success", MART: 5, TEST: "pass"}, 1),
        ({STG: "success", MART: "success", TEST: 5}, 1),
    ],
)
def test_results_without_some_nodes_have_a_gap(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, statuses: dict[str, Any], count: int
) -> None:
    found = gap_of(cloud, client, statuses) or ""
    assert found.startswith(f"{count} of 3 nodes are not in its results")
    for index, status in enumerate(statuses.values()):
        unread = f"results that could not be read: `$.results[{index}].status`"
        assert (unread in found) is (status == 5)


def test_a_narrowed_run_without_its_nodes_is_followed_by_all_of_the_job(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    load: LastLoad,
    caplog: pytest.LogCaptureFixture,
    run_narrowed: Narrowed,
) -> None:
    run = run_narrowed(act({STG: "success"}), act(ALL))
    assert executed_commands(isolated) == ["build", NARROWED, "build"]
    assert run["id"] == cloud.runs[-1]["id"]
    assert run["is_success"]
    assert "of 3 nodes are not in its results" in caplog.text
    job = run["job_definition_id"]
    assert f"Running all of job {job}" in caplog.text
    # only the run of all of the job counts for the load
    for only_loaded in (True, False):
        again = run_load(cloud, client, job, load, only_loaded=only_loaded)
        assert again["id"] == run["id"]
    assert len(cloud.runs) == 3


def test_a_model_that_lost_its_source_is_built_by_all_of_the_job(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    load: LastLoad,
    run_narrowed: Narrowed,
) -> None:
    """On dbt Core a model with an unknown macro has no sources in the manifest."""
    broken = manifest()
    for name in (STG, MART):
        broken["nodes"][name]["depends_on"] = {"nodes": []}
    broken["child_map"] = {"source.shop.raw.airlines": [], STG: [TEST]}
    acts = [Act({}, manifest=broken), Act({STG: "error"}, exit_code=1, manifest=broken)]
    # the narrowed run, which succeeded, does not hide that this one failed
    with pytest.raises(DBTCloudRunFailed):
        run_narrowed(*acts, raise_on_failure=True)
    assert executed_commands(isolated) == ["build", NARROWED, "build"]
    # the narrowed run that executed nothing is not found as the run of this load
    again = run_load(cloud, client, cloud.runs[-1]["job_definition_id"], load)
    assert again["is_error"]
    assert executed_commands(isolated)[3:] == ["build"]


def test_a_model_that_was_renamed_is_expected_by_its_new_name(
    isolated: Path, run_narrowed: Narrowed
) -> None:
    models = ("model.shop.staged", MART)
    built = {**dict.fromkeys(models, "success"), TEST: "pass"}
    run_narrowed(act(built, manifest=manifest(models=models)))
    assert executed_commands(isolated) == ["build", NARROWED]


def test_a_source_that_was_renamed_is_built_by_all_of_the_job(
    isolated: Path, run_narrowed: Narrowed
) -> None:
    renamed = manifest(source="landing")
    run_narrowed(Act({}, manifest=renamed), Act(ALL, manifest=renamed))
    assert executed_commands(isolated) == ["build", NARROWED, "build"]


def test_a_selection_that_shares_no_node_with_the_load_runs_once(
    cloud: DBTCloudEmulator, isolated: Path, run_narrowed: Narrowed
) -> None:
    run = run_narrowed(act({}), step="dbt build --select tag:other")
    assert run["id"] == cloud.runs[-1]["id"]
    assert executed_commands(isolated)[1:] == ["build --select tag:other,source:raw.airlines+"]


def test_a_run_without_results_beside_its_manifest_is_as_certain_as_any_other(
    isolated: Path, run_narrowed: Narrowed
) -> None:
    run_narrowed(act(None))
    assert executed_commands(isolated) == ["build", NARROWED]


def test_a_narrowed_run_and_its_retry_are_certain_together(
    isolated: Path, run_narrowed: Narrowed
) -> None:
    failed = act({STG: "success", MART: "error", TEST: "pass"}, exit_code=1)
    run = run_narrowed(failed, act({MART: "success"}), retries=1)
    assert run["is_success"]
    assert executed_commands(isolated) == ["build", NARROWED, "retry"]


def test_a_run_of_another_call_is_verified_by_its_own_manifest(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    load: LastLoad,
    run_narrowed: Narrowed,
) -> None:
    first = run_narrowed(act({}), act(ALL), wait_for_outcome=False)
    # a status by id does not know the load
    with pytest.raises(DBTCloudRunFailed, match="there are no nodes in its results"):
        get_dbt_cloud_run_status(run_id=first["id"])
    last = run_load(cloud, client, first["job_definition_id"], load)
    assert last["id"] != first["id"]
    assert executed_commands(isolated) == ["build", NARROWED, "build"]


def test_a_run_that_is_not_certain_at_the_end_of_the_timeout_is_an_error(
    cloud: DBTCloudEmulator, isolated: Path, load: LastLoad, client: DBTCloudClientV2
) -> None:
    gate = isolated / "gate"
    job = scripted_job(cloud, isolated, ["dbt build"], [act(ALL), act({}, gate=gate)])
    ended_run(cloud, job)
    clock = FakeClock()

    def end_in_time() -> None:
        open_gate(gate)
        cloud.wait_for_run(cloud.runs[-1]["id"])
        clock.now = 60.0

    clock.at(0.0, end_in_time)
    config = DBTCloudConfiguration(timeout=60.0)
    trigger = Trigger(str(job), {"cause": "x"}, load, only_loaded=True)
    with pytest.raises(DBTCloudRunFailed, match="3 of 3 nodes are not in its results"):
        Lifecycle(clocked(client, clock), config).run_all([trigger])
    assert len(cloud.runs) == 2


def test_the_results_of_a_narrowed_run_are_read_after_a_cool_down(
    cloud: DBTCloudEmulator,
    isolated: Path,
    load: LastLoad,
    client: DBTCloudClientV2,
) -> None:
    job = scripted_job(cloud, isolated, ["dbt build"], [act(ALL), act(BUILT)])
    ended_run(cloud, job)
    clock = FakeClock()
    clock.at(0.0, lambda: cloud.wait_for_run(cloud.runs[-1]["id"]))
    cloud.fail("get_artifact", "rate_limit", retry_after=300)
    config = DBTCloudConfiguration()
    trigger = Trigger(str(job), {"cause": "x"}, load, only_loaded=True)
    (run,) = Lifecycle(clocked(client, clock), config).run_all([trigger])
    assert run["is_success"]
    assert cloud.struck == [("get_artifact", "rate_limit")]
    assert executed_commands(isolated) == ["build", NARROWED]


def test_the_next_load_builds_what_was_uncertain_and_then_failed(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    isolated: Path,
    shared_loads: SharedLoads,
    run_narrowed: Narrowed,
) -> None:
    broken, built = act({**ALL, STG: "error"}, exit_code=1), act(BUILT)
    run = run_narrowed(act({}), broken, built)
    assert run["is_error"]
    pipeline = shared_loads.copy("flights", load_tables, "airlines")
    load_tables(pipeline, "unrelated")
    again = run_load(cloud, client, run["job_definition_id"], last_load(pipeline))
    assert again["is_success"]
    assert executed_commands(isolated) == ["build", NARROWED, "build", NARROWED]
