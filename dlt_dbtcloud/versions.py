"""Rows that many runs have in common: each once, with the first and the last run that had it."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

from dlt_dbtcloud.columns import KEYS, Row
from dlt_dbtcloud.stored import from_json, is_append_only, stored

__all__ = ["Versions", "combined"]

_SPAN = ("first_run_id", "last_run_id")
# columns with the types of a catalog, and the run that generated it
_CATALOGUED = ("columns", "catalog_run_id")


class Versions:
    """Collects the rows of one table from runs that come in any order, and from any thread.

    Args:
        table: The table.
        is_catalogued: Some runs have a catalog, which tells more of a row than the others know.
    """

    def __init__(self, table: str, *, is_catalogued: bool = False) -> None:
        self._table = table
        self._keys = KEYS[table]
        self._kept = (*_SPAN, *(_CATALOGUED if is_catalogued else ()))
        self._rows: dict[tuple[Any, ...], Row] = {}
        self._lock = Lock()

    def add(self, run_id: int, rows: Iterable[Row]) -> None:
        """Add the rows of a run."""
        with self._lock:
            for row in rows:
                self._add({**row, "first_run_id": run_id, "last_run_id": run_id})

    def rows(self) -> list[Row]:
        """Return what is new to the destination of the active pipeline."""
        if not self._rows:
            return []
        appends = is_append_only(self._table)
        for values in stored(self._table, [*self._keys, *self._kept]):
            key = values[: len(self._keys)]
            kept = dict(zip(self._kept, values[len(self._keys) :], strict=True))
            if key in self._rows:
                self._merge(key, kept, appends)
        return list(self._rows.values())

    def _add(self, row: Row) -> None:
        key = tuple(row[name] for name in self._keys)
        self._rows[key] = combined(self._rows[key], row) if key in self._rows else row

    def _merge(self, key: tuple[Any, ...], kept: Row, appends: bool) -> None:
        """Add what the destination has of a row, and leave the row out if there is no more."""
        row = combined(self._rows[key], kept)
        has_more = any(row[name] != kept[name] for name in self._kept if name != "columns")
        if has_more and not appends:
            self._rows[key] = row
        else:
            del self._rows[key]


def combined(row: Row, other: Row) -> Row:
    """Return a row with what another one of the same key adds: a longer span, a later catalog."""
    catalog = other.get("catalog_run_id")
    is_later = catalog is not None and catalog > (row.get("catalog_run_id") or 0)
    return {
        **row,
        **({"columns": from_json(other["columns"]), "catalog_run_id": catalog} if is_later else {}),
        "first_run_id": min(row["first_run_id"], other["first_run_id"]),
        "last_run_id": max(row["last_run_id"], other["last_run_id"]),
    }
