"""dbt Fusion, as `make fusion` installs it, and databases that it can read."""

from __future__ import annotations

from pathlib import Path

import duckdb

__all__ = ["PROGRAM", "create_database"]


PROGRAM = Path(__file__).parents[2] / ".venv-fusion" / "dbt"


def create_database(path: str) -> None:
    """Create a DuckDB file that any DuckDB can read; by default only 2.0 and newer could."""
    duckdb.connect(path, config={"storage_compatibility_version": "v1.0.0"}).close()
