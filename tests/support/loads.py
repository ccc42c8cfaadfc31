"""Loaded pipelines that tests share, as they only read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt

from tests.support.warehouse import warehouse

__all__ = ["SharedLoads", "load_tables"]


class SharedLoads:
    """True loads, each made for the first test that reads it.

    Args:
        folder: The folder of their pipelines and databases.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pipelines: dict[Any, dlt.Pipeline] = {}

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
        key = (name, load, arguments)
        if key not in self._pipelines:
            self._pipelines[key] = self._new(name)
            load(self._pipelines[key], *arguments)
        pipeline = self._pipelines[key]
        files, destination = _files(pipeline), pipeline.destination
        yield pipeline
        is_unchanged = _files(pipeline) == files and pipeline.destination is destination
        assert is_unchanged, "The test has changed a shared pipeline. Give it one of its own."

    def _new(self, name: str) -> dlt.Pipeline:
        folder = self._folder / str(len(self._pipelines))
        folder.mkdir()
        return dlt.pipeline(
            name,
            pipelines_dir=str(folder),
            destination=warehouse(str(folder / f"{name}.duckdb")),
            dataset_name="raw",
        )


def load_tables(pipeline: dlt.Pipeline, *tables: str) -> None:
    """Load a row into each table."""
    pipeline.run([dlt.resource([{"id": 1}], name=table) for table in tables])


def _files(pipeline: dlt.Pipeline) -> dict[Path, bytes]:
    """Return the files of a pipeline: its loads, schemas and state."""
    paths = Path(pipeline.working_dir).rglob("*")
    return {path: path.read_bytes() for path in paths if path.is_file()}
