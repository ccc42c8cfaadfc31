"""The page of a run of dbt Cloud has its nodes, failures, load and earlier times."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    cancel_dbt_cloud_run,
    dbt_cloud_run_report,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind
from dlt_dbtcloud.report import Load
from dlt_dbtcloud.report.runs import read_page
from tests.report.rendering.test_pages import Document, details_of
from tests.support.clock import FakeClock, FastClock, clocked, until
from tests.support.dbt.fake_dbt import write_fake
from tests.support.dbt.recordings import FUSION, Replay, replayed_job
from tests.support.dbt.results import MANIFEST, RUN_RESULTS
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.past_runs import ended_run, started_run
from tests.support.reports.strange import COMMAND, PASSWORD, leaking_artifacts

ARTIFACTS = {"manifest.json": MANIFEST, "run_results.json": RUN_RESULTS}
# writes its results, or begins the second node in the second run and does not end
SLOW = f"""
here = pathlib.Path(__file__).parent
print("22:17:00  Running with dbt=1.11.16")
print("22:17:02  1 of 2 START sql table model raw.orders ......... [RUN]")
print("22:17:03  1 of 2 OK created sql table model raw.orders .... [OK in 0.75s]")
if "build" in sys.argv and (here / "second").exists():
    print("22:17:03  2 of 2 START test not_null_orders_id ........ [RUN]", flush=True)
    while True:
        time.sleep(0.05)
for name, content in {ARTIFACTS}.items():
    (target / name).write_text(json.dumps(content))
"""


def scripted(cloud: DBTCloudEmulator, **options: Any) -> int:
    """Run a scripted job and return the id of its run."""
    job = cloud.create_job("Nightly", **{"artifacts": ARTIFACTS, **options})
    run_id = started_run(cloud, job)["id"]
    assert run_id is not None
    return run_id


def move(pipeline: dlt.Pipeline) -> None:
    """Copy a pipeline to where dlt finds it by its name."""
    folder = Path(os.environ["DLT_DATA_DIR"], "pipelines", pipeline.pipeline_name)
    shutil.copytree(pipeline.working_dir, folder)


def test_a_failed_run_of_dbt_core(
    cloud: DBTCloudEmulator, tmp_path: Path, client: DBTCloudClientV2
) -> None:
    job = Replay(cloud, tmp_path, "failed_model").create_job("Nightly")
    page = read_page(client, ended_run(cloud, job)["id"])
    assert (page.run.status, page.run.job) == ("Error", "Nightly")
    assert (page.run.engine or "").startswith("dbt Core 1.11.")
    assert page.run.adapter == "duckdb"
    assert [step.command for step in page.steps if step.command] == ["dbt deps", "dbt build"]
    assert len(page.executions) == 82
    failed = next(each for each in page.executions if each.status == "error")
    assert failed.unique_id == "model.flights.fct_flights"
    assert "Time out of range" in (failed.message or "")
    assert failed.started_at
    assert failed.thread
    nodes = {node.unique_id: node for node in page.nodes}
    model = nodes[failed.unique_id]
    assert (model.path, model.folder) == ("models/marts/fct_flights.sql", "models/marts")
    assert (model.code or "").startswith("with flights as")
    assert nodes["source.flights.raw.flights"].folder == "source raw"
    assert page.problems == ()


def test_a_failed_run_of_dbt_fusion(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    job = replayed_job(cloud, tmp_path, "failures")
    page = read_page(client, ended_run(cloud, job)["id"])
    assert (page.run.engine or "").startswith("dbt Fusion 2.0")
    failed = {each.unique_id: each.message or "" for each in page.executions}
    assert "no_such_column" in failed["model.orchard.broken"]
    assert {"prices.v1", "prices.v2"} <= {node.name for node in page.nodes}
    assert {node.resource_type for node in page.nodes} >= {"model", "seed", "source", "test"}


def test_a_failure_of_dbt_fusion_that_no_node_explains(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    job = Replay(cloud, tmp_path, "no_database", FUSION).create_job("Press")
    text = dbt_cloud_run_report(run_id=ended_run(cloud, job)["id"])
    failed = text[text.index('<section id="failed"') : text.index('<section id="time"')]
    assert "Failed to create schema" in failed
    assert failed.index("Failed to create schema") < failed.index("Compilation Error")


def test_stale_sources_of_dbt_fusion(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    job = Replay(cloud, tmp_path, "stale_source", FUSION).create_job("Press")
    page = read_page(client, ended_run(cloud, job)["id"])
    (found,) = page.freshness
    assert found.unique_id == "source.orchard.stock.harvest_2025"
    assert found.age
    assert "Sources that are not fresh" in dbt_cloud_run_report(run_id=page.run.id)


def test_medians_are_those_of_successful_runs_before(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", outcome=["success", "error", "success"], artifacts=ARTIFACTS)
    runs = [ended_run(cloud, job)["id"] for _ in range(3)]
    assert read_page(client, runs[0]).past == {}
    past = read_page(client, runs[2]).past
    assert (past["model.shop.orders"].seconds, past["model.shop.orders"].runs) == (1.5, 1)


def test_a_page_without_medians_is_better_than_none(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = scripted(cloud)
    cloud.fail("list_runs", "status", calls=None, status=403)
    page = read_page(client, run_id)
    assert len(page.executions) == 2
    assert "earlier runs of the job cannot be read" in page.problems[0]


def test_the_head_has_the_git_reference(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    job = cloud.create_job("Nightly", artifacts=ARTIFACTS)
    data = {"git_branch": "feature/x", "git_sha": "0123456789abcdef", "gitlab_merge_request_id": 7}
    run_id = client.trigger_job_run(job, {"cause": "Test", **data})
    head = read_page(client, run_id).run
    assert (head.git_branch, head.git_sha, head.pull_request) == ("feature/x", data["git_sha"], 7)
    assert "feature/x · 0123456789ab · pull request 7" in dbt_cloud_run_report(run_id=run_id)


@pytest.mark.parametrize(
    ("options", "status"),
    [({"duration": None}, "Running"), ({"outcome": "cancelled"}, "Cancelled")],
)
def test_runs_that_are_in_progress_or_cancelled_have_a_page(
    cloud: DBTCloudEmulator, options: dict[str, Any], status: str
) -> None:
    text = dbt_cloud_run_report(run_id=scripted(cloud, **options))
    assert f">{status}<" in text
    assert "What failed" not in text


@pytest.fixture
def running(cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path) -> int:
    """A run that has seeded, and has built the first of two nodes."""
    for name in ("dbt_project.yml", "profiles.yml"):
        (tmp_path / name).write_text("{}\n")
    job = cloud.create_job(
        "Nightly",
        execute_steps=["dbt seed", "dbt build"],
        project_dir=tmp_path,
        dbt_executable=write_fake(tmp_path, SLOW),
    )
    ended_run(cloud, job)
    (tmp_path / "second").touch()
    run_id = started_run(cloud, job)["id"]
    assert run_id is not None

    def has_begun() -> bool:
        steps = client.get_run_status(run_id, ["run_steps"]).get("run_steps") or []
        return any("2 of 2 START" in (step.get("logs") or "") for step in steps)

    until(has_begun)
    return run_id


def test_a_run_without_artifacts_has_the_nodes_of_its_logs_in_progress_and_finished(
    running: int, cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    page = read_page(client, running)
    seed, build = (step.index for step in page.steps if step.command in ("dbt seed", "dbt build"))
    assert [(each.step, each.unique_id, each.status) for each in page.executions] == [
        (seed, "model.shop.orders", "success"),
        (build, "model.shop.orders", "success"),
        (build, "test.shop.not_null_orders_id.ab12", "running"),
    ]
    # the project is that of the run before
    assert "board" in {node.name for node in page.nodes}
    assert page.past["model.shop.orders"].seconds == 1.5
    assert page.problems == ()
    text = dbt_cloud_run_report(run_id=running)
    assert "1 running" in " ".join(text.split())
    assert "What failed" not in text
    cloud.fail("get_artifact", "status", calls=None, status=404, run_id=running)
    cancel_dbt_cloud_run(run_id=running)
    page = read_page(clocked(client, FastClock(ahead=3600.0)), running)
    assert [each.status for each in page.executions] == ["success", "success", "not finished"]
    assert any("its project is that of run" in each for each in page.problems)


def test_a_run_whose_artifacts_are_unreadable_has_a_page(cloud: DBTCloudEmulator) -> None:
    broken = {"manifest.json": {"nodes": 7}, "run_results.json": {"results": [{"status": 3}]}}
    text = dbt_cloud_run_report(run_id=scripted(cloud, artifacts=broken))
    assert "What could not be read" in text
    assert "contains no nodes" in text


@pytest.mark.parametrize("kind", ["status", "html", "cut", "rate_limit"])
def test_an_outage_is_waited_out_once_and_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, kind: Kind
) -> None:
    steps = ["dbt seed", "dbt build", "dbt source freshness", "dbt docs generate"]
    run_id = scripted(cloud, execute_steps=steps)
    cloud.fail("get_artifact", kind, calls=None)
    clock = FakeClock(ahead=3600.0)
    page = read_page(clocked(client, clock), run_id)
    assert any("does not send its other artifacts" in each for each in page.problems)
    assert clock.now <= (400.0 if kind == "rate_limit" else 61.0)
    assert len(page.steps) > len(steps)


def test_an_outage_between_artifacts_keeps_those_before_it(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = scripted(cloud)
    # the results come first
    cloud.fail("get_artifact", "status", skip=1, calls=None)
    page = read_page(clocked(client, FakeClock(ahead=3600.0)), run_id)
    assert [each.status for each in page.executions] == ["success", "pass"]
    assert any("does not send its other artifacts" in each for each in page.problems)


def test_a_load_on_this_machine_has_its_tables(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    source = {"name": "airlines", "schema": loaded_pipeline.dataset_name}
    manifest = {**MANIFEST, "nodes": {}, "sources": {"source.shop.raw.airlines": source}}
    job = cloud.create_job("Nightly", artifacts={**ARTIFACTS, "manifest.json": manifest})
    run = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    move(loaded_pipeline)
    # another pipeline of this name is active, which has not loaded
    dlt.pipeline(loaded_pipeline.pipeline_name, pipelines_dir="others")
    load = read_page(client, run["id"]).load
    assert load is not None
    assert load.pipeline == loaded_pipeline.pipeline_name
    assert [table.name for table in load.tables] == ["airlines"]
    assert load.tables[0].sources == ("source.shop.raw.airlines",)


def test_an_earlier_load_on_this_machine_has_its_tables(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, shared_loads: SharedLoads
) -> None:
    pipeline = shared_loads.copy("flights", load_tables, "airlines")
    run = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=pipeline)
    before = read_page(client, run["id"]).load
    pipeline.run([{"id": 1}], table_name="planes")
    after = read_page(client, run["id"]).load
    assert before
    assert after
    assert [(table.name, table.rows) for table in before.tables] == [("airlines", 1)]
    # dlt has forgotten the rows
    assert [(table.name, table.rows) for table in after.tables] == [("airlines", None)]


def test_the_tables_of_the_active_pipeline_are_found_in_any_folder(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    run = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=loaded_pipeline)
    loaded_pipeline.activate()
    load = read_page(client, run["id"]).load
    assert load
    assert [table.name for table in load.tables] == ["airlines"]


@pytest.mark.parametrize("name", ["flights", "../flights", "..", "/etc"])
def test_a_load_of_another_machine_has_no_tables(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, name: str, isolated: Path
) -> None:
    before = sorted(isolated.parent.rglob("*"))
    job = cloud.create_job("Nightly", artifacts=ARTIFACTS)
    cause = f"Nightly: dlt pipeline {name}, load 1790000000.5 [dlt:0123456789ab]"
    run_id = client.trigger_job_run(job, {"cause": cause})
    assert read_page(client, run_id).load == Load(name, "1790000000.5")
    assert sorted(isolated.parent.rglob("*")) == before


def test_reading_a_load_keeps_the_active_pipeline(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    run = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=loaded_pipeline)
    move(loaded_pipeline)
    other = dlt.pipeline("other")
    page = read_page(client, run["id"])
    assert page.load
    assert page.load.tables
    assert dlt.current.pipeline() is other


def test_the_token_does_not_reach_the_page(cloud: DBTCloudEmulator) -> None:
    results = {"results": [{**RUN_RESULTS["results"][0], "message": f"by {cloud.api_token}!"}]}
    text = dbt_cloud_run_report(
        run_id=scripted(cloud, artifacts={"run_results.json": results, "manifest.json": MANIFEST})
    )
    assert cloud.api_token not in text
    assert "1 succeeded" in text


def test_secrets_in_artifacts_do_not_reach_the_page(cloud: DBTCloudEmulator) -> None:
    run_id = scripted(cloud, artifacts=leaking_artifacts(), execute_steps=[COMMAND])
    document = Document(dbt_cloud_run_report(run_id=run_id))
    data = document.content("application/json") + json.dumps(details_of(document))
    assert PASSWORD not in document.text + data
    assert "me:***" in data


def test_an_unknown_run_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        dbt_cloud_run_report(run_id=1)
    with pytest.raises(InvalidCredentialsException, match="`run_id` is missing"):
        dbt_cloud_run_report()


def test_a_notebook_displays_the_page_in_a_frame(cloud: DBTCloudEmulator) -> None:
    document = dbt_cloud_run_report(run_id=scripted(cloud))
    shown = document._repr_html_()  # type: ignore[attr-defined]  # for notebooks
    assert isinstance(document, str)
    assert shown.startswith('<iframe sandbox="allow-scripts')
    assert "<script" not in shown
    assert repr(document) == f"<HtmlDocument of {len(document):,} characters>"
    assert str(document).startswith("<!doctype html>")
