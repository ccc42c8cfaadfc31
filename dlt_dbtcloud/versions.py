"""Rows that many runs have in common: each once, with the first and the last run that had it."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

from dlt_dbtcloud.columns import KEYS, Row
from dlt_dbtcloud.stored import from_json, stored

__all__ = ["Versions"]

_SPAN = ("first_run_id", "last_run_id")


class Versions:
    """Collects the rows of one table from runs that come in any order, and from any thread.

    Args:
        table: The table.
        built: A column that only some runs tell; a row keeps what the others leave out.
    """

    def __init__(self, table: str, built: str | None = None) -> None:
        self._table = table
        self._built = built
        self._keys = KEYS[table]
        self._rows: dict[tuple[Any, ...], Row] = {}
        # the run that told a row's built column
        self._told_by: dict[tuple[Any, ...], int] = {}
        self._lock = Lock()

    def add(self, run_id: int, rows: Iterable[Row], *, is_built: bool = False) -> None:
        """Add the rows of a run.

        Args:
            run_id: The run.
            rows: Its rows.
            is_built: The run tells the built column.
        """
        with self._lock:
            for row in rows:
                self._add(run_id, row, is_built)

    def rows(self) -> list[Row]:
        """Return what is new to the destination of the active pipeline."""
        names = [*self._keys, *_SPAN, *([self._built] if self._built else [])]
        for row in stored(self._table, names) if self._rows else ():
            key, (first, last, *built) = row[: len(self._keys)], row[len(self._keys) :]
            if key in self._rows:
                self._merge(key, first, last, *built)
        return list(self._rows.values())

    def _add(self, run_id: int, row: Row, is_built: bool) -> None:
        key = tuple(row[name] for name in self._keys)
        known = self._rows.setdefault(key, {**row, "first_run_id": run_id, "last_run_id": run_id})
        known["first_run_id"] = min(known["first_run_id"], run_id)
        known["last_run_id"] = max(known["last_run_id"], run_id)
        if self._built and is_built and run_id >= self._told_by.get(key, 0):
            known[self._built] = row[self._built]
            self._told_by[key] = run_id

    def _merge(self, key: tuple[Any, ...], first: int, last: int, built: Any = None) -> None:
        """Widen the span of a row by what the destination has, or leave it out if that has all."""
        row = self._rows[key]
        is_told = key in self._told_by
        if first <= row["first_run_id"] and row["last_run_id"] <= last and not is_told:
            del self._rows[key]
            return
        row["first_run_id"] = min(first, row["first_run_id"])
        if self._built and last > self._told_by.get(key, 0):
            row[self._built] = from_json(built)
        row["last_run_id"] = max(last, row["last_run_id"])
