"""A DuckDB that is opened once for a test, however many loads go into it."""

from __future__ import annotations

import duckdb
from dlt.destinations import duckdb as DuckDB  # noqa: N812, a class

__all__ = ["warehouse"]


def warehouse(path: str) -> DuckDB:
    """Return dlt's destination of a DuckDB file, which no other process can open meanwhile."""
    return DuckDB(duckdb.connect(path))
