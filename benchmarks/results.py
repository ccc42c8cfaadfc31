"""Time and memory to read and load results, beside plain orjson and dlt.

One run has 10,000 nodes; a backfill has 1,000 runs of 20 nodes.

python -m benchmarks.results
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from dlt.common.json import json

from benchmarks import account
from benchmarks.ways import LOADS, READS
from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator

NODES = 10_000
PARENTS = 3
MB = 1 << 20
RUNS = 1_000
TURNS = 3


def artifacts(number: int = NODES) -> dict[str, Any]:
    """Return the artifacts of a project of some nodes, with three times as many edges."""
    nodes = {node["unique_id"]: node for node in map(_node, range(number))}
    sources = {source["unique_id"]: source for source in map(_source, range(PARENTS))}
    metadata = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"}
    return {
        "manifest.json": {"metadata": metadata, "nodes": nodes, "sources": sources},
        "run_results.json": {"results": [*map(_result, range(number), nodes)]},
    }


class Figures(NamedTuple):
    """The use of a way: seconds by the clock, seconds of CPU, and megabytes at most."""

    seconds: float
    cpu: float
    peak: float


def measured(files: dict[str, Any]) -> dict[str, Figures]:
    """Return the figures of the fastest turn of each way to read or load one run."""
    with DBTCloudEmulator() as cloud, tempfile.TemporaryDirectory() as folder:
        environ = _with_runs(cloud, files, 1)
        environ["DBT_CLOUD__RUN_ID"] = str(cloud.runs[-1]["id"])
        _child(environ, "rows", folder)
        for name, content in files.items():
            Path(folder, name).write_bytes(json.dumpb(content))
        turns = [
            {way: _child(environ, way, f"{folder}/{i}") for way in (*LOADS, *READS)}
            for i in range(TURNS)
        ]
        return {way: min(turn[way] for turn in turns) for way in turns[0]}


def measured_backfill() -> dict[str, tuple[float, Figures]]:
    """Return the requests per run, and the figures, of loading many runs with the source."""
    with DBTCloudEmulator() as cloud, tempfile.TemporaryDirectory() as folder:
        environ = _with_runs(cloud, artifacts(20), RUNS)
        found = {}
        for way in ("source", "source-rows"):
            before = len(cloud.requests)
            figures = _child(environ, way, f"{folder}/backfill")
            found[way] = (len(cloud.requests) - before) / RUNS, figures
        return found


def _with_runs(cloud: DBTCloudEmulator, files: dict[str, Any], number: int) -> dict[str, str]:
    """Return the environment of a child that loads new runs."""
    job = cloud.create_job("Nightly", artifacts=files)
    with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
        for run in [client.trigger_job_run(job) for _ in range(number)]:
            cloud.wait_for_run(run)
    return {**os.environ, **cloud.environment()}


def _child(environ: dict[str, str], *arguments: str) -> Figures:
    """Return the figures of a way; a child process prints its seconds."""
    done = account.run([sys.executable, "-m", "benchmarks.ways", *arguments], environ)
    return Figures(float(done.printed or "nan"), done.cpu, done.peak)


def _node(number: int) -> dict[str, Any]:
    unique_id = f"model.shop.orders_by_day_and_region_{number}"
    name = unique_id.rpartition(".")[2]
    below = [f"model.shop.orders_by_day_and_region_{number - i}" for i in range(1, PARENTS + 1)]
    parents = below if number >= PARENTS else [f"source.shop.raw.t{i}" for i in range(PARENTS)]
    config = dict.fromkeys(("alias", "group", "docs_color", "unique_key", "full_refresh"))
    return {
        "database": "analytics",
        "schema": "marts",
        "name": name,
        "resource_type": "model",
        "package_name": "shop",
        "path": f"marts/{name}.sql",
        "original_file_path": f"models/marts/{name}.sql",
        "unique_id": unique_id,
        "fqn": ["shop", "marts", name],
        "alias": name,
        "checksum": {"name": "sha256", "checksum": f"{number:064}"},
        "config": {**config, "enabled": True, "materialized": "table", "tags": ["nightly"]},
        "tags": ["nightly"],
        "description": f"Orders by day and region, part {number}. " * 5,
        "columns": {f"column_{i}": _column(f"column_{i}") for i in range(8)},
        "meta": {"owner": "shop@example.com"},
        "relation_name": f'"analytics"."marts"."{name}"',
        "raw_code": _code("{{ ref('orders') }}", number),
        "compiled_code": _code('"analytics"."marts"."orders"', number),
        "language": "sql",
        "refs": [{"name": parent, "package": None, "version": None} for parent in parents],
        "depends_on": {"macros": ["macro.dbt.is_incremental"], "nodes": parents},
        "compiled_path": f"target/compiled/shop/models/marts/{name}.sql",
        "created_at": 1_750_000_000.5 + number,
    }


def _source(number: int) -> dict[str, Any]:
    place = {"database": "raw", "schema": "raw", "identifier": f"t{number}"}
    return {"unique_id": f"source.shop.raw.t{number}", "name": f"t{number}", **place}


def _column(name: str) -> dict[str, Any]:
    return {"name": name, "description": f"The {name} of an order.", "data_type": "varchar"}


def _code(table: str, number: int) -> str:
    lines = (f"    sum(amount_{i}) as amount_{i} /* {number} */," for i in range(40))
    return "select\n" + "\n".join(lines) + f"\nfrom {table}"


def _result(number: int, unique_id: str) -> dict[str, Any]:
    times = {"started_at": "2026-01-31T06:00:01.000000Z"}
    times["completed_at"] = "2026-01-31T06:00:02.500000Z"
    message = f"SELECT {number}"
    return {
        "status": "success",
        "timing": [{"name": "compile", **times}, {"name": "execute", **times}],
        "thread_id": "Thread-1 (worker)",
        "execution_time": 1.5,
        "adapter_response": {"_message": message, "code": "SELECT", "rows_affected": number},
        "message": message,
        "failures": None,
        "unique_id": unique_id,
        "compiled": True,
        "compiled_code": _code('"analytics"."marts"."orders"', 1),
        "relation_name": '"analytics"."marts"."orders"',
    }


def main() -> None:
    """Measure all ways in child processes."""
    files = artifacts()
    print(f"One run of {NODES:,} nodes, {size(files) / MB:.1f} MB:")
    every = measured(files)
    for way, figures in every.items():
        beside = every["lists" if way in LOADS else "orjson"]
        _show(way, figures, f"{figures.seconds / beside.seconds:.2f} of the time")
    print(f"{RUNS:,} runs of 20 nodes:")
    for way, (requests, figures) in measured_backfill().items():
        _show(way, figures, f"{requests:.2f} requests a run")


def _show(way: str, figures: Figures, more: str) -> None:
    seconds, cpu, peak = figures
    print(f"  {way:13} {seconds:6.2f} s, {cpu:6.2f} s of CPU, {peak:5.0f} MB, {more}")


def size(files: dict[str, Any]) -> int:
    """Return the size of artifacts in bytes."""
    return sum(len(json.dumpb(content)) for content in files.values())


if __name__ == "__main__":
    main()
