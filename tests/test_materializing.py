"""The assets of a run are fetched with what tells of them, and what is missing is left out."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudNotFoundError,
    materialized_assets,
    openlineage_events,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.materializing import read_assets
from dlt_dbtcloud.typing import Run
from tests.clock import FakeClock
from tests.told import ToldFlights

NODE = {"name": "orders", "depends_on": {"nodes": ["source.shop.raw.orders"]}}
FILES = {
    "run_results.json": {"results": [{"unique_id": "model.shop.orders", "status": "success"}]},
    "manifest.json": {"nodes": {"model.shop.orders": NODE}},
    "catalog.json": {"nodes": {"model.shop.orders": {"columns": {"id": {"type": "BIGINT"}}}}},
}


def test_assets_know_their_sources_and_the_types_of_their_columns(cloud: DBTCloudEmulator) -> None:
    steps = ["dbt seed", "dbt run"]
    job = cloud.create_job("x", artifacts=FILES, execute_steps=steps, generate_docs=True)
    run = run_dbt_cloud_job(job_id=job)
    before = len(cloud.requests)
    (asset,) = materialized_assets(run)
    assert asset["name"] == "orders"
    assert [each["unique_id"] for each in asset["upstream"]] == ["source.shop.raw.orders"]
    assert asset["metadata"]["columns"] == [{"name": "id", "type": "BIGINT", "description": None}]
    # the run, two results, a manifest and a catalog
    assert len(cloud.requests) - before == 5
    assert materialized_assets(run["id"]) == materialized_assets(str(run["id"])) == [asset]


def test_what_is_missing_is_left_out(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    only_results = {"run_results.json": FILES["run_results.json"]}
    job = cloud.create_job("x", artifacts=only_results, generate_docs=True)
    run_id = run_dbt_cloud_job(job_id=job)["id"]
    (asset,) = read_assets(client, str(run_id), clock=FakeClock())
    assert (asset["name"], asset["upstream"]) == ("orders", [])
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert "`manifest.json` of step 4" in warning
    assert "`catalog.json` of step 5" in warning


def test_a_run_that_never_was_has_no_assets(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}  # type: ignore[typeddict-item]  # no run
    assert materialized_assets(skipped) == []
    assert cloud.requests == []


def test_a_run_in_progress_has_no_assets_yet(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("x", artifacts=FILES, duration=None)
    run = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    assert materialized_assets(run) == []


def test_a_run_that_does_not_exist_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        materialized_assets(1)


@pytest.mark.dbt
def test_a_real_runs_assets_go_back_to_the_tables_that_dlt_loaded(
    told_flights: ToldFlights,
) -> None:
    assets = {asset["name"]: asset for asset in told_flights.assets}
    assert len(assets) == 18
    (source,) = assets["stg_flights"]["upstream"]
    assert (source["unique_id"], source["schema"]) == ("source.flights.raw.flights", "raw")
    assert all(column["type"] for column in assets["fct_flights"]["metadata"]["columns"])


def test_a_run_is_told_as_openlineage_tells_it(cloud: DBTCloudEmulator) -> None:
    results: Any = FILES["run_results.json"]
    code = {**results["results"][0], "compiled_code": "select 1"}
    files = {**FILES, "run_results.json": {"results": [code]}}
    job = cloud.create_job("x", artifacts=files, execute_steps=["dbt run"], generate_docs=True)
    run = run_dbt_cloud_job(job_id=job)
    events = openlineage_events(run, namespace="duckdb://shop")
    assert [event["eventType"] for event in events] == ["START", "START", "COMPLETE", "COMPLETE"]
    built = events[2]
    assert built["outputs"][0]["namespace"] == "duckdb://shop"
    assert built["job"]["facets"]["sql"]["query"] == "select 1"
    assert openlineage_events(str(run["id"]), namespace="duckdb://shop") == events


def test_a_run_that_never_was_has_no_events(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}  # type: ignore[typeddict-item]  # no run
    assert openlineage_events(skipped) == []
    assert cloud.requests == []
