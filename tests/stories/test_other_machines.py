"""A worker that did not load, as in Airflow, runs the job for the newest load all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dlt
import pytest

from dlt_dbtcloud import run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.warehouse import warehouse

Machine = Callable[[str], dlt.Pipeline]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Returns the pipeline as it is on a machine; all share the destination only."""

    def pipeline_on(name: str) -> dlt.Pipeline:
        pipeline: dlt.Pipeline = dlt.pipeline(
            "flights",
            pipelines_dir=str(tmp_path / name),
            destination=warehouse("flights.duckdb"),
            dataset_name="raw",
        )
        return pipeline

    return pipeline_on


def load(pipeline: dlt.Pipeline) -> None:
    pipeline.run([{"carrier": "AA"}], table_name="airlines")


def test_a_new_machine_runs_the_job_once_for_the_load(
    cloud: DBTCloudEmulator, machine: Machine
) -> None:
    job = cloud.create_job("Nightly")
    load(machine("first"))
    run = run_dbt_cloud_job(job_id=job, pipeline=machine("second"))
    retry = run_dbt_cloud_job(job_id=job, pipeline=machine("third"))
    assert run["is_success"]
    assert [run["id"], retry["id"]] == [cloud.runs[0]["id"]] * 2
    assert len(cloud.runs) == 1
