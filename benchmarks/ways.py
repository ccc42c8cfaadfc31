"""Ways to load or read results, each measured in a process of its own.

python -m benchmarks.ways WAY FOLDER
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import dlt
import orjson

from dlt_dbtcloud import dbt_cloud_results, get_dbt_cloud_run_results
from dlt_dbtcloud.source.schema import KEYS, TABLES

# the source with and without pyarrow, and the same rows from lists, in dlt's default format for
# DuckDB and as Parquet
LOADS = ("source", "source-rows", "lists", "lists-parquet")
# the helper, and orjson reading the same files
READS = ("helper", "orjson")


def load(way: str, folder: str) -> float:
    """Load and return seconds."""
    os.environ["DLT_DATA_DIR"] = f"{folder}/{way}"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    Path(folder).mkdir(exist_ok=True)
    kind, _, variant = way.partition("-")
    if variant == "rows":
        sys.modules["pyarrow"] = None  # type: ignore[assignment]  # hides it
    source = dbt_cloud_results() if kind == "source" else _from_lists(Path(folder).parent)
    destination = dlt.destinations.duckdb(f"{folder}/{way}.duckdb")
    pipeline = dlt.pipeline(way, destination=destination, dataset_name="raw")
    began = time.perf_counter()
    options: Any = {"loader_file_format": variant} if variant == "parquet" else {}
    pipeline.run(source, **options)
    return time.perf_counter() - began


def read(way: str, folder: str) -> float:
    """Read the artifacts and return seconds."""
    began = time.perf_counter()
    if way == "helper":
        kept: list[Any] = [*get_dbt_cloud_run_results()]
    else:
        files = sorted(Path(folder).parent.glob("*.json"))
        kept = [orjson.loads(file.read_bytes()) for file in files]
    seconds = time.perf_counter() - began
    assert kept
    return seconds


def write_rows(folder: str) -> None:
    """Write the rows of the source to a file, for `_from_lists`."""
    lists = {name: [*dbt_cloud_results().with_resources(name)] for name in TABLES}
    Path(folder, "rows.pickle").write_bytes(pickle.dumps(lists))


def _from_lists(folder: Path) -> Any:
    """Return a source of the same rows with the same hints."""
    lists = pickle.loads((folder / "rows.pickle").read_bytes())

    @dlt.source(name="lists")
    def source() -> Any:
        for name, rows in lists.items():
            hints: Any = {"columns": TABLES[name], "primary_key": KEYS[name]}
            yield dlt.resource(rows, name=name, write_disposition="merge", **hints)

    return source()


if __name__ == "__main__":
    name, place = sys.argv[1:]
    if name == "rows":
        write_rows(place)
    else:
        print(read(name, place) if name in READS else load(name, place))
