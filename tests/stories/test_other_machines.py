"""A worker that did not load, as in Airflow, runs the job for the newest load all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.loading.loads import SharedLoads, load_tables

Machine = Callable[[str], dlt.Pipeline]


@pytest.fixture
def first(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return the pipeline on the machine that has loaded."""
    return shared_loads.copy("flights", load_tables, "airlines")


@pytest.fixture
def machine(first: dlt.Pipeline, tmp_path: Path) -> Machine:
    """Return the pipeline as it is on another machine; all share the destination only."""

    def pipeline_on(name: str) -> dlt.Pipeline:
        pipeline: dlt.Pipeline = dlt.pipeline(
            "flights",
            pipelines_dir=str(tmp_path / name),
            destination=first.destination,
            dataset_name="raw",
        )
        return pipeline

    return pipeline_on


def test_a_new_machine_runs_the_job_once_for_the_load(
    cloud: DBTCloudEmulator, machine: Machine
) -> None:
    job = cloud.create_job("Nightly")
    run = run_dbt_cloud_job(job_id=job, pipeline=machine("second"))
    retry = run_dbt_cloud_job(job_id=job, pipeline=machine("third"))
    assert run["is_success"]
    assert [run["id"], retry["id"]] == [cloud.runs[0]["id"]] * 2
    assert len(cloud.runs) == 1


def test_a_machine_with_an_older_load_runs_the_whole_job_for_the_newest(
    cloud: DBTCloudEmulator, first: dlt.Pipeline, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    job, narrowed = cloud.create_job("Nightly"), cloud.create_job("Narrowed")
    earlier = [
        run_dbt_cloud_job(job_id=job, pipeline=first),
        run_dbt_cloud_job(job_id=narrowed, pipeline=first, only_loaded=True),
    ]
    load_tables(machine("second"), "airlines")
    run = run_dbt_cloud_job(job_id=job, pipeline=first)
    assert "the tables of load" not in caplog.text
    part = run_dbt_cloud_job(job_id=narrowed, pipeline=first, only_loaded=True)
    assert [each["id"] for each in cloud.runs] == [each["id"] for each in (*earlier, run, part)]
    trigger: Any = cloud.runs[-1]["trigger"]
    assert trigger["steps_override"] is None
    assert "the tables of load" in caplog.text
    assert run_dbt_cloud_job(job_id=job, pipeline=machine("second"))["id"] == run["id"]
    again = run_dbt_cloud_job(job_id=narrowed, pipeline=first, only_loaded=True)
    assert again["id"] == part["id"]


def test_an_older_load_is_used_with_a_warning_if_the_destination_cannot_be_queried(
    cloud: DBTCloudEmulator, first: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly")
    # a folder is not a database
    destination = dlt.destinations.duckdb(".")
    pipeline = dlt.pipeline("flights", pipelines_dir=first.pipelines_dir, destination=destination)
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["is_success"]
    assert "another machine may have loaded since" in caplog.text
