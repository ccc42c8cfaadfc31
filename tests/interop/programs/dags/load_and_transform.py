"""A DAG that loads with dlt, builds with a dbt Cloud job, and loads the results of the build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
from airflow.sdk import dag, task

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job

DATABASE = Path(os.environ["INTEROP_DATABASE"])


def new_pipeline() -> dlt.Pipeline:
    return dlt.pipeline(
        "numbers",
        # a worker of its own for each task and each try: they share the destination only
        pipelines_dir=tempfile.mkdtemp(),
        destination=dlt.destinations.duckdb(str(DATABASE)),
        dataset_name="raw",
    )


@dlt.resource(primary_key="id", write_disposition="merge")
def numbers() -> Iterator[dict[str, Any]]:
    yield from ({"id": number} for number in range(3))


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def load_and_transform() -> None:
    @task
    def load() -> None:
        new_pipeline().run(numbers())

    @task(retries=1, retry_delay=timedelta(0))
    def transform() -> int | None:
        # the retry finds the run of the first try, because it is for the same load
        return run_dbt_cloud_job(pipeline=new_pipeline(), raise_on_failure=True)["id"]

    @task
    def load_results(dbt_run: int) -> None:
        new_pipeline().run(dbt_cloud_results(run_id=dbt_run))

    built = transform()
    load() >> built
    load_results(built)


load_and_transform()
