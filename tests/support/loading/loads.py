"""Loaded pipelines that tests share, or copy if they change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import dlt

from dlt_dbtcloud.loads.packages import RESULTS_HINT
from tests.support.loading.warehouse import warehouse

__all__ = ["SharedLoads", "load_sources", "load_tables", "source_of"]

_ORDER = {"id": 1, "price": 1.5, "at": "2026-01-01T00:00:00Z", "empty": None}


class SharedLoads:
    """True loads, each made for the first test that needs it.

    Args:
        folder: The folder of their pipelines and databases.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pipelines: dict[Any, dlt.Pipeline] = {}
        self._copies = 0

    @contextmanager
    def pipeline(
        self, name: str, load: Callable[..., object], *arguments: str
    ) -> Iterator[dlt.Pipeline]:
        """Return a pipeline that has loaded, and that must be left as it is.

        Args:
            name: The name of the pipeline.
            load: Loads with a new pipeline, the first argument.
            arguments: Further arguments of `load`.
        """
        pipeline = self._loaded(name, load, *arguments)
        files, destination = _files(pipeline), pipeline.destination
        yield pipeline
        is_unchanged = _files(pipeline) == files and pipeline.destination is destination
        assert is_unchanged, "The test has changed a shared pipeline. Give it one of its own."

    def copy(self, name: str, load: Callable[..., object], *arguments: str) -> dlt.Pipeline:
        """Return the pipeline of a process that did not load, with a copy of the database.

        A copy takes a quarter of the time of a load.

        Args:
            name: As for `pipeline`.
            load: As for `pipeline`.
            arguments: As for `pipeline`.
        """
        loaded = self._loaded(name, load, *arguments)
        self._copies += 1
        copy = _pipeline(name, copytree(loaded.pipelines_dir, self._folder / f"c{self._copies}"))
        # no other machine changes the copy of the state in the destination
        copy.config.restore_from_destination = False
        return copy

    def _loaded(self, name: str, load: Callable[..., object], *arguments: str) -> dlt.Pipeline:
        key = (name, load, arguments)
        if key not in self._pipelines:
            folder = self._folder / str(len(self._pipelines))
            folder.mkdir()
            pipeline = self._pipelines[key] = _pipeline(name, folder)
            load(pipeline, *arguments)
            with pipeline.sql_client() as client:
                # lets the file contain all
                client.execute_sql("CHECKPOINT")
        return self._pipelines[key]


def load_tables(pipeline: dlt.Pipeline, *tables: str) -> None:
    """Load a row into each table."""
    pipeline.run([dlt.resource([{"id": 1}], name=table) for table in tables])


def load_sources(pipeline: dlt.Pipeline) -> None:
    """Load a table with descriptions and a nested table, a result of dbt, and another source."""
    rows: Any = [{**_ORDER, "items": [{"sku": "a"}, {"sku": "b"}]}]
    orders = dlt.resource(rows, name="orders", columns={"id": {"description": "The key."}})
    orders.apply_hints(additional_table_hints={"description": "One row per order."})
    runs = dlt.resource([{"id": 1}], name="dbt_runs")
    runs.apply_hints(additional_table_hints={RESULTS_HINT: True})
    empty = dlt.resource([], name="empty", columns={"id": {"data_type": "bigint"}})
    users = dlt.resource([{"id": 1}], name="users")
    pipeline.run([source_of("shop", orders, runs, empty), source_of("crm", users)])


def source_of(name: str, *resources: Any) -> Any:
    """Return a dlt source of some resources."""
    return dlt.source(lambda: resources, name=name)()


def _pipeline(name: str, folder: Path) -> dlt.Pipeline:
    """Return the pipeline whose files and database are in a folder."""
    return dlt.pipeline(
        name,
        pipelines_dir=str(folder),
        destination=warehouse(str(folder / f"{name}.duckdb")),
        dataset_name="raw",
    )


def _files(pipeline: dlt.Pipeline) -> dict[Path, bytes]:
    """Return the files of a pipeline: its loads, schemas and state."""
    paths = Path(pipeline.working_dir).rglob("*")
    return {path: path.read_bytes() for path in paths if path.is_file()}
