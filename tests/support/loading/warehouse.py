"""Destinations for cheap loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dlt
import duckdb
from dlt.common.configuration.specs.base_configuration import (
    BaseConfiguration,
    is_hint_not_resolvable,
)
from dlt.common.destination import Destination
from dlt.common.schema import Schema
from dlt.common.utils import uniq_id
from dlt.destinations import duckdb as DuckDB  # noqa: N812, a class
from dlt.destinations.impl.duckdb.configuration import (
    DuckDbClientConfiguration,
    DuckDbCredentials,
)

__all__ = ["EmptiedWarehouse", "explicit", "new_pipeline", "shared_warehouse", "warehouse"]

_Destination = TypeVar("_Destination", bound=Destination[Any, Any])


class _Warehouse(DuckDB):
    """A DuckDB file with the default configuration, which stays open from its first use."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        self._connection: duckdb.DuckDBPyConnection | None = None
        credentials = DuckDbCredentials(path)
        credentials.resolve()
        _make_explicit(self, DuckDbClientConfiguration(credentials=credentials))

    @property
    def destination_type(self) -> str:
        return "dlt.destinations.duckdb"

    def client(self, schema: Schema, initial_config: Any = None) -> Any:
        # another connection to a file that is open takes no time
        self._connection = self._connection or duckdb.connect(self._path)
        return super().client(schema, initial_config)

    def empty(self) -> None:
        """Drop all datasets."""
        if self._connection is None:
            return
        query = "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal"
        for (name,) in self._connection.execute(query).fetchall():
            self._connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


class EmptiedWarehouse:
    """A DuckDB file that is empty after each use.

    It takes longer to make than most tests.

    Args:
        folder: The folder of the file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[_Warehouse] = []

    @contextmanager
    def use(self) -> Iterator[DuckDB]:
        """Yield a destination for the file, or for another one if it is in use or not empty."""
        path = str(self._folder / f"{uniq_id()}.duckdb")
        destination = self._made.pop() if self._made else _Warehouse(path)
        yield destination
        destination.empty()
        self._made.append(destination)


def warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which no other process can open meanwhile."""
    return _Warehouse(path)


def shared_warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which is closed between loads."""
    return explicit(DuckDB(path))


def explicit(destination: _Destination) -> _Destination:
    """Resolve the configuration of a destination once, and return the destination.

    dlt resolves it up to 20 times a load, and looks for each of its fields in ten places.
    """
    _make_explicit(destination, destination.configuration(destination.spec(), accept_partial=True))
    return destination


def _make_explicit(destination: Destination[Any, Any], resolved: BaseConfiguration) -> None:
    for name, hint in resolved.get_resolvable_fields().items():
        if not is_hint_not_resolvable(hint):
            destination.config_params[name] = getattr(resolved, name)


def new_pipeline(
    name: str, destination: Any, *, dataset_name: str = "raw", **options: Any
) -> dlt.Pipeline:
    """Return a pipeline that neither stores nor restores its state in the destination.

    The state is a quarter of the work of a small load.
    """
    pipeline: dlt.Pipeline = dlt.pipeline(
        name, destination=destination, dataset_name=dataset_name, **options
    )
    pipeline.config.restore_from_destination = False
    return pipeline
