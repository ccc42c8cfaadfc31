"""Time and memory to read and load the results of 10,000 nodes, beside plain orjson and dlt.

python -m benchmarks.results
"""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dlt
import orjson
from dlt.common.json import json

from dlt_dbtcloud import DBTCloudClientV2, dbt_cloud_results, get_dbt_cloud_run_results
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.source.schema import KEYS, TABLES

NODES = 10_000
PARENTS = 3
MB = 1 << 20
# the source, and the same rows from lists, in dlt's default format for DuckDB and as Parquet
LOADS = ("source", "lists", "source-parquet", "lists-parquet")
# the helper, and orjson reading the same files
WAYS = (*LOADS, "helper", "orjson")
TURNS = 3


def artifacts() -> dict[str, Any]:
    """Return the artifacts of a project of 10,000 nodes with 30,000 edges."""
    nodes = {node["unique_id"]: node for node in map(_node, range(NODES))}
    sources = {source["unique_id"]: source for source in map(_source, range(PARENTS))}
    metadata = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"}
    return {
        "manifest.json": {"metadata": metadata, "nodes": nodes, "sources": sources},
        "run_results.json": {"results": [_result(unique_id) for unique_id in nodes]},
    }


def measured(files: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the figures of the fastest turn of each way: those of `load` or `read`."""
    with DBTCloudEmulator() as cloud, tempfile.TemporaryDirectory() as folder:
        job = cloud.create_job("Nightly", artifacts=files)
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
            run = client.trigger_job_run(job)
        cloud.wait_for_run(run)
        environ = {**os.environ, **cloud.environment(), "DBT_CLOUD__RUN_ID": str(run)}
        _child(environ, "rows", folder)
        for name, content in files.items():
            Path(folder, name).write_bytes(json.dumpb(content))
        turns = [{way: _child(environ, way, f"{folder}/{i}") for way in WAYS} for i in range(TURNS)]
        return {way: min(turn[way] for turn in turns) for way in WAYS}


def _child(environ: dict[str, str], *arguments: str) -> tuple[float, ...]:
    """Return the figures that this module prints in a child process."""
    command = [sys.executable, "-m", "benchmarks.results", *arguments]
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE)
    return tuple(map(float, done.stdout.split()))


def load(way: str, folder: str) -> tuple[float, ...]:
    """Load; return seconds, peak megabytes of the extraction, and peak megabytes in total."""
    os.environ["DLT_DATA_DIR"] = f"{folder}/{way}"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    Path(folder).mkdir(exist_ok=True)
    kind, _, file_format = way.partition("-")
    source = dbt_cloud_results() if kind == "source" else _from_lists(Path(folder).parent)
    destination = dlt.destinations.duckdb(f"{folder}/{way}.duckdb")
    pipeline = dlt.pipeline(way, destination=destination, dataset_name="raw")
    peak = Peak()
    began = time.perf_counter()
    options: Any = {"loader_file_format": file_format} if file_format else {}
    pipeline.extract(source, **options)
    extracted = peak.so_far()
    pipeline.normalize()
    pipeline.load()
    seconds = time.perf_counter() - began
    return seconds, extracted, peak.stop()


def read(way: str, folder: str) -> tuple[float, float]:
    """Read the artifacts; return seconds and peak megabytes."""
    peak = Peak()
    began = time.perf_counter()
    if way == "helper":
        kept: list[Any] = [*get_dbt_cloud_run_results()]
    else:
        files = sorted(Path(folder).parent.glob("*.json"))
        kept = [orjson.loads(file.read_bytes()) for file in files]
    seconds = time.perf_counter() - began
    assert kept
    return seconds, peak.stop()


def write_rows(folder: str) -> tuple[float, ...]:
    """Write the rows of the source to a file, for `_from_lists`."""
    lists = {name: [*dbt_cloud_results().with_resources(name)] for name in TABLES}
    Path(folder, "rows.pickle").write_bytes(pickle.dumps(lists))
    return ()


def _from_lists(folder: Path) -> Any:
    """Return a source of the same rows with the same hints."""
    lists = pickle.loads((folder / "rows.pickle").read_bytes())

    @dlt.source(name="lists")
    def source() -> Any:
        for name, rows in lists.items():
            hints: Any = {"columns": TABLES[name], "primary_key": KEYS[name]}
            yield dlt.resource(rows, name=name, write_disposition="merge", **hints)

    return source()


class Peak:
    """Measures the peak of the memory that this process allocates."""

    def __init__(self) -> None:
        self._before = self._highest = _resident()
        self._stopped = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def so_far(self) -> float:
        """Return the peak in megabytes so far."""
        return (self._highest - self._before) / MB

    def stop(self) -> float:
        """Stop measuring and return the peak in megabytes."""
        self._stopped.set()
        self._thread.join()
        return self.so_far()

    def _watch(self) -> None:
        while not self._stopped.wait(0.005):
            self._highest = max(self._highest, _resident())


def _resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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


def _result(unique_id: str) -> dict[str, Any]:
    times = {"started_at": "2026-01-31T06:00:01.000000Z"}
    times["completed_at"] = "2026-01-31T06:00:02.500000Z"
    return {
        "status": "success",
        "timing": [{"name": "compile", **times}, {"name": "execute", **times}],
        "thread_id": "Thread-1 (worker)",
        "execution_time": 1.5,
        "adapter_response": {"_message": "OK", "code": "SELECT", "rows_affected": 1000},
        "message": "SELECT 1000",
        "failures": None,
        "unique_id": unique_id,
        "compiled": True,
        "compiled_code": _code('"analytics"."marts"."orders"', 1),
        "relation_name": '"analytics"."marts"."orders"',
    }


def main() -> None:
    """Run the named way, or measure all ways in child processes."""
    if len(sys.argv) > 1:
        way, folder = sys.argv[1:]
        do = {"rows": lambda _, place: write_rows(place), "helper": read, "orjson": read}
        print(*do.get(way, load)(way, folder))
        return
    files = artifacts()
    print(f"artifacts: {size(files) / MB:.1f} MB")
    for way, (seconds, *peaks) in measured(files).items():
        extracted = f"{peaks[0]:.0f} MB to extract, " if way in LOADS else ""
        print(f"{way}: {seconds:.2f} s, {extracted}{peaks[-1]:.0f} MB")


def size(files: dict[str, Any]) -> int:
    """Return the size of artifacts in bytes."""
    return sum(len(json.dumpb(content)) for content in files.values())


if __name__ == "__main__":
    main()
