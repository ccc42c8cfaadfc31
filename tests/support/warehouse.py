"""DuckDB destinations for cheap loads."""

from __future__ import annotations

from typing import Any

import dlt
import duckdb
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.specs.base_configuration import is_hint_not_resolvable
from dlt.destinations import duckdb as DuckDB  # noqa: N812, a class
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

__all__ = ["new_pipeline", "shared_warehouse", "warehouse"]


class _Warehouse(DuckDB):
    """A DuckDB file with an explicit configuration.

    dlt resolves the configuration of a destination up to 20 times a load, and looks for each of its
    fields in ten places.
    """

    def __init__(self, path: str, *, stays_open: bool) -> None:
        super().__init__(path)
        self._connection = duckdb.connect(path) if stays_open else None
        defaults = self.spec()
        names = [
            name
            for name, hint in defaults.get_resolvable_fields().items()
            if not is_hint_not_resolvable(hint)
        ]
        self.config_params = {
            **{name: getattr(defaults, name) for name in names},
            "credentials": resolve_configuration(DuckDbCredentials(path)),
        }

    @property
    def destination_type(self) -> str:
        return "dlt.destinations.duckdb"


def warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which no other process can open meanwhile."""
    return _Warehouse(path, stays_open=True)


def shared_warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which is closed between loads."""
    return _Warehouse(path, stays_open=False)


def new_pipeline(name: str, destination: Any, **options: Any) -> dlt.Pipeline:
    """Return a pipeline into a dataset `raw`, which neither stores nor restores its state there.

    The state is a quarter of the work of a small load.
    """
    pipeline: dlt.Pipeline = dlt.pipeline(
        name, destination=destination, dataset_name="raw", **options
    )
    pipeline.config.restore_from_destination = False
    return pipeline
