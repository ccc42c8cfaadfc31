"""DuckDB destinations for cheap loads."""

from __future__ import annotations

import duckdb
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.normalizers.naming import NamingConvention
from dlt.destinations import duckdb as DuckDB  # noqa: N812, a class
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration

__all__ = ["shared_warehouse", "warehouse"]


class _Warehouse(DuckDB):
    """A DuckDB file whose configuration is read once.

    dlt asks for the capabilities more than 20 times a load, and resolves the configuration each
    time, which is half of the work of a small load.
    """

    def __init__(self, path: str, *, stays_open: bool) -> None:
        super().__init__(path)
        self._connection = duckdb.connect(path) if stays_open else None
        self._resolved: DuckDbClientConfiguration | None = None

    @property
    def destination_type(self) -> str:
        return "dlt.destinations.duckdb"

    def capabilities(
        self,
        config: DuckDbClientConfiguration | None = None,
        naming: NamingConvention | None = None,
    ) -> DestinationCapabilitiesContext:
        if config is None:
            self._resolved = self._resolved or self.configuration(self.spec(), accept_partial=True)
        return super().capabilities(config or self._resolved, naming)


def warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which no other process can open meanwhile."""
    return _Warehouse(path, stays_open=True)


def shared_warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which is closed between loads."""
    return _Warehouse(path, stays_open=False)
