"""Rows that many runs have in common: each once, with the first and the last run that had it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

from dlt_dbtcloud.columns import KEYS, Row
from dlt_dbtcloud.stored import from_json, is_append_only, stored

__all__ = ["Versions", "combined"]

_Key = tuple[Any, ...]
_SPAN = ("first_run_id", "last_run_id")
# the run whose catalog has the types of the columns
_CATALOG = "catalog_run_id"


class Versions:
    """Collects the rows of one table from runs that come in any order, and from any thread.

    What an environment has now are the rows whose `last_run_id` is the newest there. Where the
    destination cannot merge, the rows of a run that had others than the run before are all written
    again to that end.

    Args:
        table: The table.
        is_catalogued: Some runs have a catalog, which tells more of a row than the others know.
    """

    def __init__(self, table: str, *, is_catalogued: bool = False) -> None:
        self._table = table
        self._keys = KEYS[table]
        self._kept = (*_SPAN, *((_CATALOG,) if is_catalogued else ()))
        self._rows: dict[_Key, Row] = {}
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
        known = self._known(with_others=appends)
        new = self._to_append(known) if appends else self._to_merge(known)
        kept = self._with_columns({key: known[key] for key in new if key in known})
        return [combined(row, kept[key]) if key in kept else row for key, row in new.items()]

    def _add(self, row: Row) -> None:
        key = self._key(row)
        self._rows[key] = combined(self._rows[key], row) if key in self._rows else row

    def _key(self, row: Row) -> _Key:
        return tuple(row[name] for name in self._keys)

    def _known(self, *, with_others: bool) -> dict[_Key, Row]:
        """Return what the destination knows of the rows, except for their columns.

        Args:
            with_others: Return all that it has of their environments.
        """
        known: dict[_Key, Row] = {}
        names = [*self._keys, *self._kept]
        for values in self._stored(names):
            row = dict(zip(names, values, strict=True))
            key = self._key(row)
            is_newest = key not in known or row["last_run_id"] > known[key]["last_run_id"]
            if is_newest and (with_others or key in self._rows):
                known[key] = row
        return known

    def _to_merge(self, known: Mapping[_Key, Row]) -> dict[_Key, Row]:
        """Return the rows that tell more than what is there."""
        return {
            key: row
            for key, row in self._rows.items()
            if key not in known or _has_more(row, known[key])
        }

    def _to_append(self, known: Mapping[_Key, Row]) -> dict[_Key, Row]:
        """Return the rows that are not there, and all of the newest run if there were others.

        What is not there any more can be told from what is just by the newest run of a row.
        """
        before = _newest(known)
        again: set[_Key] = set()
        for environment, (_, keys) in _newest(self._rows).items():
            run_id, had = before.get(environment, (0, set()))
            later = {
                key
                for key, row in self._rows.items()
                if row["environment_id"] == environment and row["last_run_id"] > run_id
            }
            again |= keys if later and not later == had == keys else set()
        return {key: row for key, row in self._rows.items() if key not in known or key in again}

    def _with_columns(self, known: dict[_Key, Row]) -> dict[_Key, Row]:
        """Return what is known with the columns, which are much, where the catalog is later."""
        later = {
            key: row[_CATALOG]
            for key, row in known.items()
            if _has_later_catalog(row, self._rows[key])
        }
        names = [*self._keys, _CATALOG, "columns"]
        for *key, catalog, columns in self._stored(names, later.values()) if later else ():
            if later.get(tuple(key)) == catalog:
                known[tuple(key)]["columns"] = columns
        return known

    def _stored(
        self, names: Sequence[str], catalogs: Iterable[int] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Return what the destination has of the environments, from some catalogs or from all."""
        environments = {row["environment_id"] for row in self._rows.values()}
        of_catalogs = {_CATALOG: {*catalogs}} if catalogs else {}
        return stored(self._table, names, {"environment_id": environments, **of_catalogs})


def combined(row: Row, other: Row) -> Row:
    """Return a row with what another one of the same key adds: a longer span, a later catalog."""
    catalogued = {}
    if _has_later_catalog(other, row):
        catalogued = {"columns": from_json(other["columns"]), _CATALOG: other[_CATALOG]}
    return {
        **row,
        **catalogued,
        "first_run_id": min(row["first_run_id"], other["first_run_id"]),
        "last_run_id": max(row["last_run_id"], other["last_run_id"]),
    }


def _newest(rows: Mapping[_Key, Row]) -> dict[int, tuple[int, set[_Key]]]:
    """Return the newest run of each environment, with the keys of the rows that it had."""
    found: dict[int, tuple[int, set[_Key]]] = {}
    for key, row in rows.items():
        environment, last = row["environment_id"], row["last_run_id"]
        if last > found.get(environment, (0,))[0]:
            found[environment] = last, set()
        if last == found[environment][0]:
            found[environment][1].add(key)
    return found


def _has_more(row: Row, known: Row) -> bool:
    """Tell whether a row tells more than the one that is there."""
    is_longer = (
        row["first_run_id"] < known["first_run_id"] or row["last_run_id"] > known["last_run_id"]
    )
    return is_longer or _has_later_catalog(row, known)


def _has_later_catalog(row: Row, other: Row) -> bool:
    return (row.get(_CATALOG) or 0) > (other.get(_CATALOG) or 0)
