"""Runs of the example project, with their results as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from dlt_dbtcloud import (
    dbt_cloud_results,
    materialized_assets,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.lineage.assets import Asset
from dlt_dbtcloud.typing import Run
from tests.support.projects.flights import Flights


@dataclass(frozen=True)
class LoadedFlights:
    """The runs, their assets if loaded, and the database with the tables in the schema `raw`."""

    nightly: Run
    failed: Run
    retry: Run
    parsed: Run
    assets: list[Asset]
    database: str

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.database) as connection:
            connection.execute("USE flights.raw")
            return connection.execute(query).fetchall()


def run_flights(flights: Flights, *, loads: bool = False) -> LoadedFlights:
    """Run a job with docs, one that fails and is retried, and one without results.

    Args:
        flights: The project.
        loads: Whether the results are loaded, by the pipeline that has loaded the data.
    """
    pipeline = flights.pipeline
    flights.load_for_dbt()
    if loads:
        flights.load("airlines")
    steps = ("dbt seed", "dbt run", "dbt snapshot")
    job = flights.job(*steps, generate_docs=True, run_generate_sources=True)
    nightly = run_dbt_cloud_job(job_id=job, pipeline=pipeline if loads else None)
    assets = materialized_assets(nightly) if loads else []
    flights.make_times_impossible()
    failed = run_dbt_cloud_job(job_id=flights.job())
    flights.make_times_possible()
    retry = retry_dbt_cloud_run(run_id=failed["id"])
    parsed = run_dbt_cloud_job(job_id=flights.job("dbt parse"))
    if loads:
        pipeline.run(dbt_cloud_results())
    return LoadedFlights(nightly, failed, retry, parsed, assets, flights.database)
