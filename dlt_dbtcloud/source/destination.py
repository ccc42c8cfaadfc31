"""What the destination of the active pipeline has already, and what it does with more of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.exceptions import DestinationUndefinedEntity, SqlClientNotAvailable
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.json import json
from dlt.common.pipeline import PipelineContext
from dlt.common.schema.typing import TTableSchema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from dlt_dbtcloud.source.schema import KEYS, Row

__all__ = ["Versions", "active_pipeline", "combined", "from_json", "is_append_only", "stored"]


_CHUNK = 10_000


def active_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that runs, or was made last."""
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    return pipeline if isinstance(pipeline, dlt.Pipeline) else None


def stored(
    table: str, columns: Sequence[str], where: Mapping[str, Collection[int]] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that will still be there when this load has begun.

    There are none where the table is new, or where the load replaces it; a destination that has no
    SQL is said to be unreadable. To be called while a source is extracted.

    Args:
        table: One of the tables that tell what dbt did.
        columns: What to read of it.
        where: Of which rows: the numbers that some columns have there.

    Raises:
        DltException: The destination cannot be read now, so that it is not known what is new to it.
    """
    pipeline = active_pipeline()
    if pipeline is None or _is_emptied(table):
        return
    try:
        yield from _select(pipeline, table, columns, where or {})
    except DestinationUndefinedEntity:
        return
    except SqlClientNotAvailable as error:
        logger.warning(
            f"`{table}` cannot be read from the destination: what earlier loads told of the rows "
            f"that are loaded again is not kept. {error}"
        )


def is_append_only(table: str) -> bool:
    """Tell whether the destination cannot merge rows into a table, such as one of plain files."""
    pipeline = active_pipeline()
    if pipeline is None or pipeline.destination is None:
        return False
    schema = _table_schema(table)
    if schema.get("write_disposition") != "merge":
        return False
    return resolve_merge_strategy({table: schema}, schema, _capabilities(pipeline)) is None


def from_json(value: Any) -> Any:
    """Return what a JSON column holds, which some destinations give as text."""
    return json.loads(value) if isinstance(value, str) else value


def _capabilities(pipeline: dlt.Pipeline) -> DestinationCapabilitiesContext:
    """Return what the destination can do, which dlt knows while it extracts."""
    known = Container()
    if DestinationCapabilitiesContext in known:
        return known[DestinationCapabilitiesContext]
    return pipeline.destination.capabilities()


def _is_emptied(table: str) -> bool:
    """Tell whether the load that is extracted drops, empties or replaces a table first."""
    if _table_schema(table).get("write_disposition") == "replace":
        return True
    try:
        state = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        # the source is looked at, not loaded
        return False
    emptied = (*state.get("dropped_tables", ()), *state.get("truncated_tables", ()))
    return _normalized(table) in [each["name"] for each in emptied]


def _normalized(table: str) -> str:
    """Return how a table is named in the destination."""
    return dlt.current.source_schema().naming.normalize_table_identifier(table)


def _table_schema(table: str) -> TTableSchema:
    return dlt.current.source().resources[table].compute_table_schema()


def _select(
    pipeline: dlt.Pipeline,
    table: str,
    columns: Sequence[str],
    where: Mapping[str, Collection[int]],
) -> Iterator[tuple[Any, ...]]:
    schema = dlt.current.source_schema()
    with pipeline.dataset(schema=schema).sql_client as client:
        named = {
            column: client.escape_column_name(schema.naming.normalize_identifier(column))
            for column in (*columns, *where)
        }
        place = client.make_qualified_table_name(_normalized(table))
        names = ", ".join(named[column] for column in columns)
        query = f"SELECT {names} FROM {place}"  # noqa: S608, all ours
        if where:
            query += f" WHERE {_condition(where, named)}"
        with client.execute_query(query) as cursor:
            while chunk := cursor.fetchmany(_CHUNK):
                yield from map(tuple, chunk)


def _condition(where: Mapping[str, Collection[int]], named: Mapping[str, str]) -> str:
    lists = {name: ", ".join(str(int(each)) for each in sorted(where[name])) for name in where}
    return " AND ".join(f"{named[name]} IN ({numbers})" for name, numbers in lists.items())


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
