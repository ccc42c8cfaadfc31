"""Each command of a run gets the variables of its load, whatever happens to the run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud import (
    DBTCloudException,
    get_dbt_cloud_run_status,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import last_load
from dlt_dbtcloud.typing import Run
from tests.support.dbt.scripted_dbt import Act, executed_commands, scripted_job
from tests.support.docs.pages import ROOT
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.loading.warehouse import shared_warehouse
from tests.support.past_runs import ended_run, started_run
from tests.support.projects.tiny import write_tiny

SOURCE = {
    "package_name": "shop",
    "source_name": "raw",
    "name": "airlines",
    "schema": "raw",
}
MODEL = {
    "name": "stg",
    "resource_type": "model",
    "package_name": "shop",
    "fqn": ["shop", "stg"],
    "original_file_path": "models/stg.sql",
}
MANIFEST = {
    "sources": {"source.shop.raw.airlines": SOURCE},
    "nodes": {"model.shop.stg": MODEL, "model.shop.other": {**MODEL, "name": "other"}},
    "child_map": {"source.shop.raw.airlines": ["model.shop.stg"]},
}
BUILT = {"results": [{"unique_id": "model.shop.stg", "status": "success"}]}
VARS = {"load_id": "{load_id}", "by": "{pipeline_name}", "tables": "{tables}", "full": True}


def variables_of(run: Run) -> list[Any]:
    """Return the variables in each command of a run; None where there are none."""
    steps = (run["trigger"] or {})["steps_override"] or []
    return [variables_in(shlex.split(step)) for step in steps]


def variables_in(words: list[str]) -> Any:
    return json.loads(words[words.index("--vars") + 1]) if "--vars" in words else None


def filled(pipeline: dlt.Pipeline) -> dict[str, Any]:
    load = last_load(pipeline)
    load_id = load.load_id if load else None
    return {"load_id": load_id, "by": "flights", "tables": ["airlines"], "full": True}


def job_with_manifest(cloud: DBTCloudEmulator, *steps: str) -> int:
    files = {"manifest.json": MANIFEST, "run_results.json": BUILT}
    job = cloud.create_job("Nightly", artifacts=files, execute_steps=list(steps or ["dbt build"]))
    ended_run(cloud, job)
    return job


@pytest.mark.parametrize("only_loaded", [True, False])
def test_all_commands_get_the_variables_of_the_load(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, only_loaded: bool
) -> None:
    job = job_with_manifest(cloud, "dbt deps", "dbt build --vars 'region: eu' --full-refresh")
    options: Any = {"pipeline": loaded_pipeline, "only_loaded": only_loaded}
    run = run_dbt_cloud_job(job_id=job, additional_vars=VARS, **options)
    expected = filled(loaded_pipeline)
    assert variables_of(run) == [expected, {"region": "eu", **expected}]
    build = (run["trigger"] or {})["steps_override"] or []
    assert ("--select source:raw.airlines+" in build[1]) is only_loaded
    assert "--full-refresh" in build[1]


def test_a_call_for_the_same_load_and_variables_finds_its_run(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with_manifest(cloud)
    options: Any = {"job_id": job, "pipeline": loaded_pipeline, "only_loaded": True}
    first = run_dbt_cloud_job(additional_vars=VARS, **options)
    assert run_dbt_cloud_job(additional_vars=dict(reversed(VARS.items())), **options) == first
    assert run_dbt_cloud_job(additional_vars={}, **options)["id"] != first["id"]
    other = run_dbt_cloud_job(additional_vars={**VARS, "full": False}, **options)
    assert other["id"] != first["id"]
    assert len(cloud.runs) == 4


def test_the_variables_of_a_job_are_those_of_its_call_only(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__ADDITIONAL_VARS", '{"region": "eu"}')
    jobs = [cloud.create_job(name, execute_steps=[f"dbt {name}"]) for name in ("seed", "run")]
    run_dbt_cloud_jobs(jobs)
    assert [variables_of(run) for run in cloud.runs] == [[{"region": "eu"}], [{"region": "eu"}]]
    data = {"steps_override": ["dbt test", "dbt docs generate"]}
    run = run_dbt_cloud_job(job_id=jobs[0], data=data, additional_vars={"a": [1]})
    assert variables_of(run) == [{"a": [1]}, {"a": [1]}]


@pytest.mark.parametrize("only_loaded", [True, False])
def test_a_queued_run_with_other_variables_is_not_joined(
    cloud: DBTCloudEmulator, shared_loads: SharedLoads, only_loaded: bool
) -> None:
    pipeline = shared_loads.copy("flights", load_tables, "airlines") if only_loaded else None
    job = cloud.create_job("Shared", duration=None, artifacts={"manifest.json": MANIFEST})
    cloud.finish_run(started_run(cloud, job)["id"] or 0)

    def share(**options: Any) -> int | None:
        if only_loaded:
            options = {"pipeline": pipeline, "only_loaded": True, **options}
        wait: Any = {"reuse_queued_run": True, "wait_for_outcome": False}
        return run_dbt_cloud_job(job_id=job, **wait, **options)["id"]

    # runs, so that the others are queued
    started_run(cloud, job)
    plain, one = share(), share(additional_vars={"a": 1})
    two = share(additional_vars={"a": 2})
    assert len({plain, one, two}) == 3
    data = {"cause": "another call"}
    assert share(additional_vars={"a": 1}, data=data) == one
    assert share(data=data) == plain


def test_a_narrowed_run_joins_a_run_of_the_whole_job_with_its_variables(
    cloud: DBTCloudEmulator, shared_loads: SharedLoads
) -> None:
    pipeline = shared_loads.copy("flights", load_tables, "airlines")
    job = cloud.create_job("Shared", duration=None, artifacts={"manifest.json": MANIFEST})
    cloud.finish_run(started_run(cloud, job)["id"] or 0)
    wait: Any = {"job_id": job, "wait_for_outcome": False}
    started_run(cloud, job)
    whole = run_dbt_cloud_job(additional_vars={"a": 1}, **wait)
    options: Any = {"pipeline": pipeline, "only_loaded": True, "reuse_queued_run": True}
    shared = run_dbt_cloud_job(additional_vars={"a": 1}, **options, **wait)
    assert shared["id"] == whole["id"]


@pytest.mark.parametrize("can_retry", [True, False])
def test_a_retry_has_the_same_variables(
    cloud: DBTCloudEmulator, tmp_path: Path, can_retry: bool
) -> None:
    failed = Act({"model.shop.stg": "success", "model.shop.other": "error"}, 1, MANIFEST)
    built = Act({"model.shop.other": "success"}, 0, MANIFEST)
    job = scripted_job(cloud, tmp_path, ["dbt build", "dbt docs generate"], [failed, built])
    if not can_retry:
        cloud.fail("retry_run", "status", status=400, when="before")
    run = run_dbt_cloud_job(job_id=job, additional_vars={"a": 1})
    again = retry_dbt_cloud_run(run_id=run["id"])
    assert again["is_success"]
    commands = executed_commands(tmp_path)
    if can_retry:
        assert commands[1] == "retry"
        assert variables_of(again) == variables_of(run)
    else:
        assert "--select" in commands[1]
        assert variables_of(again) == [{"a": 1}, {"a": 1}]
    assert variables_in(shlex.split(commands[-1].replace("{", "'{").replace("}", "}'"))) == {"a": 1}


def test_a_run_of_the_whole_job_after_a_gap_has_them_too(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    acts = [
        Act({"model.shop.other": "success"}, 0, MANIFEST),
        # the narrowed run leaves the model out
        Act({"model.shop.other": "success"}, 0, MANIFEST),
        Act({"model.shop.stg": "success"}, 0, MANIFEST),
    ]
    job = scripted_job(cloud, tmp_path, ["dbt build"], acts)
    ended_run(cloud, job)
    options: Any = {"pipeline": loaded_pipeline, "only_loaded": True}
    run = run_dbt_cloud_job(job_id=job, additional_vars=VARS, **options)
    assert len(cloud.runs) == 3
    assert run["id"] == cloud.runs[2]["id"]
    assert variables_of(run) == [filled(loaded_pipeline)]
    assert "--select" not in str((run["trigger"] or {})["steps_override"])


def test_a_found_run_without_nodes_of_others_is_not_a_gap(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    """The scope of a found run has no variables, which are not compared."""
    act = Act({"model.shop.stg": "success"}, 0, MANIFEST)
    job = scripted_job(cloud, tmp_path, ["dbt build"], [act])
    ended_run(cloud, job)
    options: Any = {"job_id": job, "pipeline": loaded_pipeline, "only_loaded": True}
    first = run_dbt_cloud_job(additional_vars=VARS, wait_for_outcome=False, **options)
    assert run_dbt_cloud_job(additional_vars=VARS, **options)["id"] == first["id"]
    assert get_dbt_cloud_run_status(run_id=first["id"])["is_success"]
    assert len(cloud.runs) == 2


def test_variables_that_are_not_json_are_refused_before_any_request(
    cloud: DBTCloudEmulator,
) -> None:
    before = len(cloud.requests)
    values: list[Any] = [{1, 2}, float("nan"), [object()]]
    for value in values:
        with pytest.raises(ConfigurationValueError, match=r"`a` in `additional_vars` .* Pass JSON"):
            run_dbt_cloud_job(job_id=1, additional_vars={"a": value})
    others: list[Any] = ["a: 1", [1], 7]
    for variables in others:
        with pytest.raises((TypeError, ValueError), match="additional_vars"):
            run_dbt_cloud_job(job_id=1, additional_vars=variables)
    assert len(cloud.requests) == before


def test_a_placeholder_needs_a_pipeline(cloud: DBTCloudEmulator) -> None:
    before = len(cloud.requests)
    with pytest.raises(ConfigurationValueError, match=r"`\{load_id\}` .* Pass `pipeline`, or"):
        run_dbt_cloud_job(job_id=1, additional_vars={"a": "{load_id}"})
    assert len(cloud.requests) == before


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (["dbt build --vars 'secret'"], "The `--vars` of a `dbt build` are not a mapping in YAML"),
        ([], "its commands are not known"),
    ],
)
@pytest.mark.parametrize("only_loaded", [True, False])
def test_commands_that_cannot_take_variables_are_an_error(
    cloud: DBTCloudEmulator,
    loaded_pipeline: dlt.Pipeline,
    steps: list[str],
    problem: str,
    only_loaded: bool,
) -> None:
    job = cloud.create_job("Nightly", execute_steps=steps)
    options: Any = {"pipeline": loaded_pipeline, "only_loaded": only_loaded}
    with pytest.raises(DBTCloudException, match=problem) as caught:
        run_dbt_cloud_job(job_id=job, additional_vars={"a": 1}, **options)
    assert "secret" not in str(caught.value)
    assert not cloud.runs


def write_incremental(folder: Path, database: Path) -> Path:
    """Write a project with the model of the documentation, which adds the rows of a load."""
    write_tiny(folder)
    for file in (folder / "models").iterdir():
        file.unlink()
    profiles = (
        f"tiny: {{target: dev, outputs: {{dev: {{type: duckdb, path: {database}, schema: main}}}}}}"
    )
    (folder / "profiles.yml").write_text(profiles)
    (folder / "models" / "sources.yml").write_text(
        "sources: [{name: raw, tables: [{name: orders}, {name: customers}]}]"
    )
    page = (ROOT / "docs" / "variables.md").read_text()
    (folder / "models" / "new_orders.sql").write_text(page.split("```text")[1].split("```")[0])
    tables = """'{{ var("tables") | join("+") }}' as tables"""
    (folder / "models" / "new_customers.sql").write_text(
        f"select {tables} from {{{{ source('raw', 'customers') }}}}"
    )
    return folder


@pytest.mark.dbt
def test_an_incremental_model_adds_the_rows_of_the_load_that_it_is_for(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    database = tmp_path / "shop.duckdb"
    pipeline = dlt.pipeline("shop", destination=shared_warehouse(str(database)), dataset_name="raw")
    project = write_incremental(tmp_path / "project", database)
    job = cloud.create_job("Nightly", project_dir=project, execute_steps=["dbt build"])
    variables = {"load_id": "{load_id}", "tables": "{tables}"}
    loads = []
    for tables in (["customers", "orders"], ["orders"]):
        load_tables(pipeline, *tables)
        load = last_load(pipeline)
        loads.append(load.load_id if load else "")
        run = run_dbt_cloud_job(
            job_id=job, pipeline=pipeline, only_loaded=True, additional_vars=variables
        )
        assert run["is_success"]
    assert "--select source:raw.orders+" in str(cloud.runs[-1]["trigger"] or {})
    with duckdb.connect(str(database)) as connection:
        orders = connection.execute("from main.new_orders order by _dlt_load_id").fetchall()
        customers = connection.execute("from main.new_customers").fetchall()
    # without the variable, the second run would add the first row again
    assert [row[1] for row in orders] == loads
    assert customers == [("customers+orders",)]
