"""A plan shows exactly what a run would send, and about how long that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud import DBTCloudClientV2, plan_dbt_cloud_job, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import last_load
from dlt_dbtcloud.runs.plan import plan_run
from dlt_dbtcloud.runs.trigger.start import start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Plan
from tests.fixtures import WriteConfig
from tests.support.dbt.scripted_dbt import Act, scripted_job
from tests.support.past_runs import ended_run

AIRLINES, PLANES = "source.shop.raw.airlines", "source.shop.raw.planes"
# airlines > stg > mart, with tests; planes > other; a seed
CHILDREN = {
    AIRLINES: ["model.shop.stg", "test.shop.source_airlines"],
    PLANES: ["model.shop.other"],
    "model.shop.stg": ["model.shop.hidden", "test.shop.not_null_stg"],
    "model.shop.hidden": ["model.shop.mart"],
    "seed.shop.codes": ["model.shop.mart"],
}
EPHEMERAL = {"materialized": "ephemeral"}


def parents(node: str) -> list[str]:
    return [parent for parent, children in CHILDREN.items() if node in children]


NODES = {
    node: {
        "name": node.rpartition(".")[2],
        "depends_on": {"nodes": parents(node)},
        **({"config": EPHEMERAL} if node.endswith("hidden") else {}),
    }
    for node in sorted({"seed.shop.codes", *(each for some in CHILDREN.values() for each in some)})
}
MANIFEST: dict[str, Any] = {
    "sources": {
        source: {"package_name": "shop", "source_name": "raw", "name": name, "schema": "raw"}
        for source, name in ((AIRLINES, "airlines"), (PLANES, "planes"))
    },
    "nodes": NODES,
    "child_map": CHILDREN,
}
FED = ["model.shop.mart", "model.shop.stg", "test.shop.not_null_stg", "test.shop.source_airlines"]
SECONDS = {
    "seed.shop.codes": 2.0,
    "model.shop.stg": 10.0,
    "model.shop.mart": 20.0,
    "model.shop.other": 60.0,
    "test.shop.not_null_stg": 1.0,
    "test.shop.source_airlines": 3.0,
}


def results(times: Mapping[str, float] = SECONDS, **fields: Any) -> dict[str, Any]:
    return {
        "results": [
            {"unique_id": unique_id, "status": "success", "execution_time": seconds}
            for unique_id, seconds in times.items()
        ],
        **fields,
    }


def job_with(cloud: DBTCloudEmulator, *steps: str, files: Any = None, **options: Any) -> int:
    """Return a job that has run once."""
    files = files or {"manifest.json": MANIFEST, "run_results.json": results()}
    steps = steps or ("dbt build",)
    job = cloud.create_job("Nightly", artifacts=files, execute_steps=[*steps], **options)
    ended_run(cloud, job)
    return job


def planned(client: DBTCloudClientV2, job: int, pipeline: dlt.Pipeline) -> Plan:
    """Return the plan for the last load of a pipeline, narrowed to it."""
    trigger = Trigger(str(job), {"cause": "x"}, last_load(pipeline), only_loaded=True)
    return plan_run(client, trigger)


VARIABLES = {"load_id": "{load_id}", "tables": "{tables}"}


def sent_steps(cloud: DBTCloudEmulator) -> Any:
    return (cloud.runs[-1]["trigger"] or {})["steps_override"]


def test_a_plan_has_the_nodes_and_seconds_of_the_load(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud)
    before = len(cloud.requests)
    plan = plan_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    assert plan == Plan(
        steps=["dbt build --select source:raw.airlines+"],
        nodes=FED,
        total_nodes=6,
        seconds=34.0,
        whole_seconds=96.0,
        runs_considered=1,
        undeclared=[],
        reason=None,
    )
    assert len(cloud.requests) - before == 4
    assert {request.method for request in cloud.requests[before:]} == {"GET"}
    assert len(cloud.runs) == 1


WITH_VARS = ["dbt source freshness", "dbt build --exclude tag:slow --vars 'a: 1'"]
SOME_STEPS = ["dbt seed", "dbt run", "dbt test --select stg", "dbt docs generate"]


def test_a_plan_has_the_steps_that_the_run_sends(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    options: Any = {
        "job_id": job_with(cloud, *WITH_VARS),
        "pipeline": loaded_pipeline,
        "only_loaded": True,
        "additional_vars": VARIABLES,
    }
    plan = plan_dbt_cloud_job(**options)
    run_dbt_cloud_job(wait_for_outcome=False, **options)
    assert plan["steps"] == sent_steps(cloud)
    assert "load_id" in plan["steps"][-1]


def test_all_steps_are_planned_as_they_are_sent(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    cases: list[tuple[list[str], bool, Any]] = [
        (["dbt build"], False, {}),
        (WITH_VARS, False, VARIABLES),
        (SOME_STEPS, True, {}),
        (["dbt build --selector nightly"], True, {}),
        (WITH_VARS, True, VARIABLES),
        (["dbt run -s mart", "dbt snapshot", "dbt build --selector nightly"], True, VARIABLES),
    ]
    load = last_load(loaded_pipeline)
    for steps, only_loaded, variables in cases:
        job = str(job_with(cloud, *steps))
        trigger = Trigger(job, {"cause": "x"}, load, only_loaded=only_loaded, variables=variables)
        before = len(cloud.requests)
        plan = plan_run(client, trigger)
        assert len(cloud.requests) - before <= 6
        start(client, trigger)
        assert plan["steps"] == (sent_steps(cloud) or steps)
        assert plan["runs_considered"] == 1


def test_a_plan_of_the_whole_job_needs_no_pipeline(cloud: DBTCloudEmulator) -> None:
    job = job_with(cloud, "dbt run", "dbt test")
    plan = plan_dbt_cloud_job(job_id=job, only_loaded=False)
    assert plan["steps"] == ["dbt run", "dbt test"]
    assert plan["nodes"] == sorted(set(SECONDS) - {"seed.shop.codes"})
    assert plan["total_nodes"] == 5
    assert plan["seconds"] == plan["whole_seconds"] == 94.0
    with pytest.raises(ConfigurationValueError, match=r"Pass `pipeline`, or `only_loaded=False`"):
        plan_dbt_cloud_job(job_id=job)


def test_the_config_may_plan_the_whole_job(
    cloud: DBTCloudEmulator, write_config: WriteConfig
) -> None:
    job = job_with(cloud)
    write_config("config.toml", "[dbt_cloud]\nonly_loaded = false")
    assert plan_dbt_cloud_job(job_id=job)["steps"] == ["dbt build"]


def test_steps_of_the_caller_are_planned_whole(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud)
    data = {"steps_override": ["dbt run"]}
    plan = plan_dbt_cloud_job(job_id=job, data=data, pipeline=loaded_pipeline)
    assert plan["steps"] == ["dbt run"]


def test_a_load_without_descendants_plans_nothing(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    sources = {PLANES: MANIFEST["sources"][PLANES]}
    job = job_with(cloud, files={"manifest.json": {**MANIFEST, "sources": sources}})
    plan = plan_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    run = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)
    assert plan["steps"] == plan["nodes"] == []
    assert plan["reason"] == run.get("status_message")
    assert plan["undeclared"] == ["airlines"]
    assert run["id"] is None


def test_a_pipeline_that_has_never_loaded_plans_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    before = len(cloud.requests)
    plan = plan_dbt_cloud_job(job_id=1, pipeline=pipeline)
    assert plan["reason"] == "pipeline `shop` has loaded nothing yet"
    assert len(cloud.requests) == before


def test_a_load_that_has_its_run_plans_nothing(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    trigger = Trigger(str(job), {"cause": "x"}, last_load(loaded_pipeline))
    run = start(client, trigger).run
    plan = plan_run(client, trigger)
    assert plan["steps"] == []
    assert plan["reason"] == f"run {run['id']} is about to build this load"
    cloud.finish_run(run["id"])
    plan = plan_run(client, trigger)
    assert plan["steps"] == []
    assert plan["reason"] == f"run {run['id']} has built this load"


def test_a_job_without_a_manifest_is_planned_whole(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud, files={"run_results.json": results(elapsed_time=48.0)})
    before = len(cloud.requests)
    plan = planned(client, job, loaded_pipeline)
    assert plan["reason"] == "all of the job runs: it has no manifest yet."
    assert (plan["steps"], plan["nodes"], plan["total_nodes"]) == (["dbt build"], [], None)
    assert plan["seconds"] == plan["whole_seconds"] == 48.0
    assert len(cloud.requests) - before <= 6


def test_a_job_that_has_never_run_has_no_seconds(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    plan = planned(client, cloud.create_job("New"), loaded_pipeline)
    assert plan["steps"] == ["dbt build"]
    assert plan["seconds"] is plan["whole_seconds"] is None
    assert plan["runs_considered"] == 0


def test_the_medians_of_three_runs_count(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    statuses = dict.fromkeys(SECONDS, "success")
    # longer than any real run of these stand-ins, whose time without nodes is then none
    acts = [Act(statuses, 0, MANIFEST, execution_time=each) for each in (1e4, 9e6, 2e4, 3e4)]
    job = scripted_job(cloud, tmp_path, ["dbt build"], acts)
    for _ in acts:
        ended_run(cloud, job)
    plan = planned(client, job, loaded_pipeline)
    assert plan["runs_considered"] == 3
    assert plan["seconds"] == 3e4 * len(FED)
    assert plan["whole_seconds"] == 3e4 * len(SECONDS)


def test_each_command_has_its_own_results(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    built, tested = (dict.fromkeys(some, "success") for some in (["model.shop.stg"], FED[2:]))
    acts = [
        Act({"seed.shop.codes": "success"}, 0, MANIFEST, execution_time=1e4),
        Act(built, 0, MANIFEST, execution_time=5e4),
        Act(tested, 0, MANIFEST, execution_time=2e4),
        # docs
        Act({}, 0, MANIFEST, execution_time=1e6),
    ]
    steps = ["dbt seed", "dbt run --select +stg", "dbt test"]
    job = scripted_job(cloud, tmp_path, steps, acts)
    ended_run(cloud, job, generate_docs_override=True)
    before = len(cloud.requests)
    plan = planned(client, job, loaded_pipeline)
    assert len(cloud.requests) - before == 6
    # a selection of its own is known by what it executed
    assert plan["nodes"] == ["model.shop.stg", *FED[2:]]
    assert plan["total_nodes"] == 4
    assert plan["seconds"] == 5e4 + 2 * 2e4
    assert plan["whole_seconds"] == 1e4 + 5e4 + 2 * 2e4


def test_narrowed_runs_count_if_the_whole_job_has_not_run_enough(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud)
    ended_run(cloud, job, steps_override=["dbt build --select source:raw.planes+"])
    plan = planned(client, job, loaded_pipeline)
    assert plan["runs_considered"] == 2


def test_lost_results_leave_the_durations_of_runs(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud, files={"manifest.json": MANIFEST})
    cloud.fail("get_artifact", "status", status=403, calls=None)
    plan = planned(client, job, loaded_pipeline)
    assert plan["nodes"] == FED
    assert plan["seconds"] is None
    assert plan["whole_seconds"] == pytest.approx(0, abs=60)
    assert plan["runs_considered"] == 1


def test_many_runs_since_the_load_cost_no_more_requests(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud, "dbt build")
    (run,) = cloud._state.runs()
    for _ in range(300):
        cloud._state.add_run(replace(run, id=cloud._state.new_id()))
    before = len(cloud.requests)
    plan = planned(client, job, loaded_pipeline)
    assert len(cloud.requests) - before <= 6
    assert plan["steps"]
    assert plan["reason"] == "an earlier run than the last 200 may have built this load"
