"""Time to narrow a job to 5,000 loaded tables with 5,000 sources, beside a tenth of them.

python -m benchmarks.narrowing
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.only_loaded import narrowed_trigger
from dlt_dbtcloud.values import Relation

TABLES = 5_000
LIMIT = 2.0
TURNS = 3


def main() -> None:
    """Print the times and their ratio; it fails if 5,000 tables take too long."""
    few, many = seconds(TABLES // 10), seconds(TABLES)
    table = Table(title="Seconds to narrow a job to all of its sources")
    for heading in (f"{TABLES // 10:,} tables", f"{TABLES:,} tables", "ratio", "limit"):
        table.add_column(heading, justify="right")
    table.add_row(f"{few:.3f}", f"{many:.3f}", f"{many / few:.1f}", f"{LIMIT}")
    Console(width=120).print(table)
    if many > LIMIT:
        raise SystemExit(f"{TABLES:,} tables took {many:.1f} seconds.")


def seconds(count: int) -> float:
    """Return the seconds for a number of tables, requests included: the fastest of a few turns."""
    relations = [Relation(f"table_{number}", "raw", "lake") for number in range(count)]
    with DBTCloudEmulator() as cloud:
        job = cloud.create_job("Wide", artifacts={"manifest.json": manifest(count)})
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
            cloud.wait_for_run(client.trigger_job_run(job))
            turns = []
            for _ in range(TURNS):
                began = time.perf_counter()
                narrowed = narrowed_trigger(client, str(job), {"cause": "a test"}, relations)
                turns.append(time.perf_counter() - began)
                assert narrowed is not None
                body, _ = narrowed
                assert "source:raw" in body["steps_override"][0]
    return min(turns)


def manifest(count: int) -> dict[str, Any]:
    """Return the manifest of a project with one model on each of many sources."""
    names = [f"table_{number}" for number in range(count)]
    return {
        "sources": {f"source.wide.raw.{name}": source(name) for name in names},
        "nodes": {
            f"model.wide.{name}": {"depends_on": {"nodes": [f"source.wide.raw.{name}"]}}
            for name in names
        },
        "child_map": {f"source.wide.raw.{name}": [f"model.wide.{name}"] for name in names},
    }


def source(name: str) -> dict[str, Any]:
    """Return a source of a project."""
    place = {"database": "lake", "schema": "raw", "identifier": name}
    return {"package_name": "wide", "source_name": "raw", "name": name, **place}


if __name__ == "__main__":
    main()
