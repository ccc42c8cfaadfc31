"""A DuckDB destination that stays open between loads."""

from __future__ import annotations

import duckdb
from dlt.destinations import duckdb as DuckDB  # noqa: N812, a class

__all__ = ["warehouse"]


def warehouse(path: str) -> DuckDB:
    """Return a destination for a DuckDB file, which no other process can open meanwhile."""
    return DuckDB(duckdb.connect(path))
