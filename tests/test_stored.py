"""Rows that a load drops, replaces or cannot merge are not taken for rows that are there."""

from __future__ import annotations

from typing import Any

import dlt
import pytest

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.results import FILES, counts, ended_run, nightly, rows
from tests.warehouse import warehouse

SPANS = "SELECT DISTINCT first_run_id, last_run_id FROM dbt_nodes"


@pytest.fixture
def job(cloud: DBTCloudEmulator) -> int:
    return nightly(cloud)


@pytest.fixture
def lake() -> dlt.Pipeline:
    pytest.importorskip("pyarrow")
    destination = dlt.destinations.filesystem("lake")
    return dlt.pipeline("lake", destination=destination, dataset_name="raw")


def shop(name: str = "shop") -> dlt.Pipeline:
    destination = warehouse("shop.duckdb")
    return dlt.pipeline(name, destination=destination, dataset_name="raw")


@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_a_refresh_loads_everything_again(job: int, refresh: Any) -> None:
    pipeline = shop()
    runs = [ended_run(job), ended_run(job)]
    pipeline.run(dbt_cloud_results())
    once = counts(pipeline)
    pipeline.run(dbt_cloud_results(), refresh=refresh)
    assert counts(pipeline) == once
    assert once["dbt_runs"] == 2
    assert rows(pipeline, SPANS) == [tuple(runs)]


def test_a_replace_holds_what_was_loaded_last(job: int) -> None:
    pipeline = shop()
    run_id = ended_run(job)
    for _ in range(2):
        pipeline.run(dbt_cloud_results(run_id=run_id), write_disposition="replace")
    assert counts(pipeline)["dbt_nodes"] == 4


def test_another_pipelines_rows_are_there(job: int) -> None:
    runs = [ended_run(job) for _ in range(3)]
    shop("one").run(dbt_cloud_results(run_id=runs[1]))
    shop("two").run(dbt_cloud_results(run_id=runs[2]))
    pipeline = shop("three")
    pipeline.run(dbt_cloud_results(run_id=runs[0]))
    assert rows(pipeline, SPANS) == [(runs[0], runs[2])]


def test_files_get_no_row_twice(
    cloud: DBTCloudEmulator, lake: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    scripted = nightly(cloud, run_generate_sources=True)
    first, _ = ended_run(scripted), ended_run(scripted)
    going_on = cloud.create_job("Slow", duration=None, artifacts=FILES)
    slow = int(run_dbt_cloud_job(job_id=going_on, wait_for_outcome=False)["id"])
    for run_id in (first, slow, first, None):
        lake.run(dbt_cloud_results(run_id=run_id), loader_file_format="parquet")
    once = counts(lake)
    assert once == {
        "dbt_runs": 2,
        "dbt_run_steps": 10,
        "dbt_node_results": 4,
        "dbt_nodes": 4,
        "dbt_node_parents": 3,
        "dbt_source_freshness": 2,
        "dbt_run_loads": 0,
    }
    cloud.finish_run(slow)
    lake.run(dbt_cloud_results(), loader_file_format="parquet")
    assert counts(lake)["dbt_runs"] == 3
    assert counts(lake)["dbt_nodes"] == 4
    assert "cannot be read from the destination" not in caplog.text
