"""A DAG that triggers jobs with Airflow's own operators."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.dbt.cloud.operators.dbt import (
    DbtCloudGetJobRunArtifactOperator,
    DbtCloudListJobsOperator,
    DbtCloudRunJobOperator,
)
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
from airflow.sdk import dag


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def run_jobs() -> None:
    listed = DbtCloudListJobsOperator(task_id="list_jobs")
    build = DbtCloudRunJobOperator(
        task_id="build",
        project_name="Analytics",
        environment_name="Production",
        job_name="Nightly",
        check_interval=1,
    )
    results = DbtCloudGetJobRunArtifactOperator(
        task_id="results",
        run_id=build.output,
        path="run_results.json",
        output_file_name="run_results.json",
    )
    started = DbtCloudRunJobOperator(
        task_id="start",
        project_name="Analytics",
        environment_name="Production",
        job_name="Hourly",
        wait_for_termination=False,
    )
    finished = DbtCloudJobRunSensor(task_id="wait", run_id=started.output, poke_interval=1)
    listed >> build >> results >> started >> finished


run_jobs()
