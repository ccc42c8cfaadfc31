"""Exactness of `only_loaded` on every set of the example's five tables, with real dbt.

make subsets
"""

from __future__ import annotations

import os
from itertools import chain, combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from dlt_dbtcloud import run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.projects.flights import Flights, executed

TABLES = ("airlines", "airports", "flights", "planes", "weather")


def main() -> None:
    """Compare the built nodes with those listed by `dbt ls`, for each set."""
    sizes = range(1, len(TABLES) + 1)
    sets = list(chain.from_iterable(combinations(TABLES, size) for size in sizes))
    with DBTCloudEmulator() as cloud, TemporaryDirectory() as folder:
        os.environ |= cloud.environment()
        os.environ |= {"DLT_DATA_DIR": folder, "DBT_CLOUD__WAIT_SECONDS": "0.2"}
        flights = Flights(cloud, Path(folder))
        flights.load()
        job = flights.job()
        # the first run leaves the manifest that `only_loaded` needs
        run_dbt_cloud_job(job_id=job, pipeline=flights.pipeline, raise_on_failure=True)
        wrong = [tables for tables in sets if not is_exact(flights, job, tables)]
    print(f"{len(sets)} sets of tables, {len(wrong)} built wrongly")
    raise SystemExit(bool(wrong))


def is_exact(flights: Flights, job: int, tables: tuple[str, ...]) -> bool:
    """Load some tables; return whether dbt builds exactly their descendants."""
    flights.load(*tables)
    run = run_dbt_cloud_job(job_id=job, pipeline=flights.pipeline, only_loaded=True)
    built = executed(run["id"])
    listed = flights.listed("--select", *(f"source:raw.{table}+" for table in tables))
    print(f"{', '.join(tables)}: {len(built)} nodes built, {len(built ^ listed)} wrong")
    return built == listed


if __name__ == "__main__":
    main()
