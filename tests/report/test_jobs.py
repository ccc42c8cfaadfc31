"""The trend of a job is read from the API, or from the tables of results."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import dlt
import pytest
from dlt.common.destination import TLoaderFileFormat

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    dbt_cloud_results,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind
from dlt_dbtcloud.report.jobs import read_trend, stored_trend
from dlt_dbtcloud.report.rendering.pages import render_trend
from tests.support.clock import PATIENCE, FakeClock, clocked
from tests.support.dbt.results import FILES, MANIFEST, RUN_RESULTS
from tests.support.loading.warehouse import explicit, new_pipeline, warehouse
from tests.support.past_runs import ended_run
from tests.support.projects.loaded_flights import LoadedFlights

ARTIFACTS = {"manifest.json": MANIFEST, "run_results.json": RUN_RESULTS}
# the tables that a trend is read from
READ = ("dbt_runs", "dbt_node_results", "dbt_source_freshness")


def test_runs_and_results_are_read_from_the_api(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", outcome=["success", "error"], artifacts=ARTIFACTS)
    runs = [ended_run(cloud, job) for _ in range(2)]
    ended_run(cloud, cloud.create_job("Other"))
    found = read_trend(client, job, 30)
    assert (found.job, found.origin) == ("Nightly", "dbt Cloud's API")
    assert [(each.id, each.status, each.url) for each in found.runs] == [
        (run["id"], run["status_humanized"], run["href"]) for run in runs
    ]
    assert {(each.run, each.unique_id, each.seconds) for each in found.nodes} == {
        (run["id"], unique_id, seconds)
        for run in runs
        for unique_id, seconds in (
            ("model.shop.orders", 1.5),
            ("test.shop.not_null_orders_id.ab12", 0.0),
        )
    }
    assert found.problems == ()


def test_runs_before_the_days_are_left_out(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly")
    ended_run(cloud, job)
    assert len(read_trend(client, job, 1).runs) == 1
    assert read_trend(client, job, 0).runs == ()


def test_a_run_that_cannot_be_read_is_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", artifacts=ARTIFACTS)
    ids = [ended_run(cloud, job)["id"] for _ in range(2)]
    cloud.fail("get_run", "status", calls=None, status=401, run_id=ids[0])
    found = read_trend(client, job, 30)
    assert {each.run for each in found.nodes} == {ids[1]}
    assert f"the results of run {ids[0]} cannot be read" in found.problems[0]


@pytest.mark.parametrize("kind", ["status", "cut"])
def test_an_outage_is_waited_out_once(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, kind: Kind
) -> None:
    job = cloud.create_job("Nightly", artifacts=ARTIFACTS)
    ids = [ended_run(cloud, job)["id"] for _ in range(6)]
    cloud.fail("get_artifact", kind, calls=None)
    clock = FakeClock(ahead=3600.0)
    found = read_trend(clocked(client, clock), job, 30)
    assert clock.now <= 61.0
    assert [each.id for each in found.runs] == ids
    assert found.nodes == ()
    assert found.problems[-1] == "3 earlier runs are not tried, either"


def test_a_run_without_some_results_is_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", outcome=["success", "error"], artifacts=ARTIFACTS)
    ids = [ended_run(cloud, job)["id"] for _ in range(2)]
    cloud.fail("get_artifact", "status", status=403, calls=None)
    found = read_trend(clocked(client, FakeClock(ahead=3600.0)), job, 30)
    # the other run failed, and so may have no results
    assert [each.partition(" is not read")[0] for each in found.problems] == [f"run {ids[0]}"]


def test_an_unknown_job_is_an_error(client: DBTCloudClientV2) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        read_trend(client, 1, 30)


def test_loaded_results_are_read_from_the_destination(
    loaded: LoadedFlights, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = "FLIGHTS__DESTINATION__DUCKDB__CREDENTIALS"
    monkeypatch.setenv(credentials, f"duckdb:///{loaded.database}")
    pipeline = dlt.pipeline("flights", destination="duckdb", dataset_name="raw")
    pipeline.sync_destination()
    job = loaded.failed["job_definition_id"]
    found = stored_trend(pipeline, job, 30, time.time())
    assert found is not None
    assert [each.id for each in found.runs] == [loaded.failed["id"], loaded.retry["id"]]
    assert [each.status for each in found.runs] == ["Error", "Success"]
    failed = [each for each in found.nodes if each.status == "error"]
    assert [each.name for each in failed] == ["fct_flights"]
    assert stored_trend(pipeline, job, 0, time.time()) is not None
    assert stored_trend(pipeline, 1, 30, time.time()) is None


def test_results_in_files_are_those_of_the_api(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    job = cloud.create_job(
        "Nightly",
        outcome=["success", "success", "success", "error"],
        artifacts=FILES,
        run_generate_sources=True,
    )
    load = "Test: dlt pipeline shop, load 1790000000.5 [dlt:0123456789ab]"
    narrowed = ["dbt build --select source:raw.orders+"]
    ended_run(cloud, job, cause=load)
    ended_run(cloud, job, cause=load, steps_override=narrowed)
    ended_run(cloud, job, steps_override=["dbt seed"])
    failed = ended_run(cloud, job, cause=load, steps_override=narrowed)
    cloud.wait_for_run(client.retry_run(failed["id"])["id"], PATIENCE)
    read = read_trend(client, job, 30)
    kinds = [run.kind for run in read.runs]
    assert kinds == ["whole", "narrowed", "other", "narrowed", "other"]
    assert read.sources
    formats: list[tuple[TLoaderFileFormat, bool]] = [("jsonl", True), ("parquet", False)]
    for file_format, has_sources in formats:
        lake = dlt.destinations.filesystem(str(tmp_path / file_format))
        pipeline = new_pipeline(file_format, explicit(lake))
        source = dbt_cloud_results(job_id=job).with_resources(*READ)
        if not has_sources:
            # as for jobs that do not check them
            source.resources["dbt_source_freshness"].add_filter(lambda _: False)
        pipeline.run(source, loader_file_format=file_format)
        stored = stored_trend(pipeline, job, 30, time.time())
        assert stored is not None
        assert (stored.job, stored.runs) == (read.job, read.runs)
        assert {*stored.nodes} == {*read.nodes}
        assert len(stored.nodes) == len(read.nodes)
        assert {*stored.sources} == ({*read.sources} if has_sources else set())


def test_stored_rows_may_be_anything(isolated: Path) -> None:
    pipeline = new_pipeline("odd", warehouse("odd.duckdb"))
    now = datetime.now(timezone.utc)
    run = {
        "run_id": Decimal(1),
        "job_definition_id": 7,
        "job_name": 3,
        "created_at": now,
        "status_humanized": 4,
        "run_seconds": 1.5,
        "href": 5,
        "cause": 6,
        "steps_override": "{no json",
    }
    node = {"run_id": 1, "unique_id": "model.a.b", "name": 4, "resource_type": 5, "status": 6}
    nodes = [{**node, "execution_time": 1.5}, {**node, "unique_id": None}]
    runs = [run, {**run, "run_id": 2}, {**run, "run_id": None}]
    tables = {"dbt_runs": runs, "dbt_node_results": nodes}
    pipeline.run([dlt.resource(rows, name=name) for name, rows in tables.items()])
    with pipeline.sql_client() as client:
        client.execute_sql("UPDATE dbt_runs SET run_seconds = 'inf' WHERE run_id = 2")
        client.execute_sql("UPDATE dbt_node_results SET execution_time = 'nan'")
    found = stored_trend(pipeline, 7, 30, time.time())
    assert found
    assert [(each.id, each.status, each.seconds) for each in found.runs] == [
        (1, "", 1.5),
        (2, "", None),
    ]
    assert [(each.run, each.name, each.seconds) for each in found.nodes] == [(1, "model.a.b", 0.0)]
    assert render_trend(found)


def test_a_pipeline_without_results_has_no_trend(loaded_pipeline: dlt.Pipeline) -> None:
    assert stored_trend(loaded_pipeline, 1, 30, 0.0) is None
