"""Rows in the destination of the active pipeline, and their merge with new rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, cast

import dlt
from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.exceptions import DestinationUndefinedEntity, SqlClientNotAvailable
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.json import json
from dlt.common.pipeline import PipelineContext
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import has_table_seen_data, normalize_table_identifiers
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.fs_client import FSClientBase
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltResource

from dlt_dbtcloud.source.schema import KEYS, Row

__all__ = [
    "StoredTables",
    "Versions",
    "active_pipeline",
    "combined",
    "condition",
    "from_json",
    "schema_of",
]


# rows that are fetched at a time
_CHUNK = 10_000
# values of a column in a query; some databases refuse long ones
_VALUES = 1_000


def active_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that is running or was made last, if any."""
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    return pipeline if isinstance(pipeline, dlt.Pipeline) else None


class StoredTables:
    """Result tables in the destination of the active pipeline, while a source is extracted."""

    def __init__(self) -> None:
        self._schemas: dict[str, TTableSchema] = {}
        self._capabilities: DestinationCapabilitiesContext | None = None
        self._dataset: dlt.Dataset | None = None
        self._unseen: _UnseenTables | None = None

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        where: Mapping[str, Collection[int]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows of a table.

        A table is empty if it is new, or if the present load drops, empties or replaces it. If the
        destination cannot be queried, a warning is logged.

        Args:
            table: A result table.
            columns: The columns to read.
            where: The values of columns that select the rows. More than 1,000 values of a column
                select all rows.

        Raises:
            DltException: The destination cannot be read now.
        """
        pipeline = active_pipeline()
        if pipeline is None or self._is_emptied(table):
            return
        try:
            yield from self._select(pipeline, table, columns, where or {})
        except DestinationUndefinedEntity:
            return
        except SqlClientNotAvailable as error:
            logger.warning(
                f"`{table}` cannot be read from the destination, so values of earlier loads are "
                f"lost from the rows that are loaded again. {error}"
            )

    def is_append_only(self, table: str) -> bool:
        """Return whether the destination cannot merge rows into a table, as with plain files."""
        pipeline = active_pipeline()
        if pipeline is None or pipeline.destination is None:
            return False
        schema = self._loading(table)
        if schema.get("write_disposition") != "merge":
            return False
        self._capabilities = self._capabilities or _capabilities(pipeline)
        return resolve_merge_strategy({table: schema}, schema, self._capabilities) is None

    def file_formats(self, table: str) -> set[str]:
        """Return the formats of the files that a table consists of, if it consists of files."""
        pipeline = active_pipeline()
        if pipeline is None or self._is_emptied(table):
            return set()
        with pipeline.dataset(schema=dlt.current.source_schema()).destination_client as client:
            if not isinstance(client, FSClientBase):
                return set()
            try:
                files = client.list_table_files(_normalized(table))
            except DestinationUndefinedEntity:
                return set()
        return {PurePosixPath(name.removesuffix(".gz")).suffix.removeprefix(".") for name in files}

    def schema(self, table: str) -> TTableSchema:
        """Return the schema of a table that is loaded."""
        if table not in self._schemas:
            resource = dlt.current.source().resources[table]
            self._schemas[table] = schema_of(resource)
        return self._schemas[table]

    def _loading(self, table: str) -> TTableSchema:
        """Return the part of a table's schema that decides how it is loaded."""
        resource = dlt.current.source().resources[table]
        disposition, table_format = resource.write_disposition, resource.table_format
        if not isinstance(disposition, str) or callable(table_format):
            return self.schema(table)
        known: TTableSchema = {"name": table, "write_disposition": disposition, "columns": {}}
        return {**known, "table_format": table_format} if table_format else known

    def _is_emptied(self, table: str) -> bool:
        """Return whether the present load drops, empties or replaces a table."""
        if self._loading(table).get("write_disposition") == "replace":
            return True
        try:
            state = dlt.current.load_package_state()["state"]
        except CurrentLoadPackageStateNotAvailable:
            # the source is iterated without a load
            return False
        emptied = (*state.get("dropped_tables", ()), *state.get("truncated_tables", ()))
        return _normalized(table) in [each["name"] for each in emptied]

    def _select(
        self,
        pipeline: dlt.Pipeline,
        table: str,
        columns: Sequence[str],
        where: Mapping[str, Collection[int]],
    ) -> Iterator[tuple[Any, ...]]:
        naming = dlt.current.source_schema().naming
        with self._dataset_with(pipeline, table, {*columns, *where}).sql_client as client:
            names = {
                column: client.escape_column_name(naming.normalize_identifier(column))
                for column in (*columns, *where)
            }
            selected = ", ".join(names[column] for column in columns)
            qualified = client.make_qualified_table_name(_normalized(table))
            query = f"SELECT {selected} FROM {qualified}"  # noqa: S608, names are escaped
            if restricting := condition(where, names):
                query += f" WHERE {restricting}"
            with client.execute_query(query) as cursor:
                while chunk := cursor.fetchmany(_CHUNK):
                    yield from map(tuple, chunk)

    def _dataset_with(self, pipeline: dlt.Pipeline, table: str, columns: set[str]) -> dlt.Dataset:
        """Return a dataset with a table, even if another pipeline has loaded it.

        Unless the destination is a database, dlt finds a table only if its schema describes it as
        loaded. As a dataset takes milliseconds to open, few are made.

        Args:
            pipeline: The pipeline.
            table: The table.
            columns: The columns to read, as files of an earlier version may have no others.
        """
        schema, name = dlt.current.source_schema(), _normalized(table)
        is_database = issubclass(pipeline.destination.client_class, SqlJobClientBase)
        if is_database or (name in schema.tables and has_table_seen_data(schema.tables[name])):
            self._dataset = self._dataset or pipeline.dataset(schema=schema)
            return self._dataset
        unseen = self._unseen
        if unseen is None or not columns <= unseen.columns.get(name, columns):
            unseen = self._unseen = _UnseenTables(pipeline, schema)
        if name not in unseen.columns:
            unseen.describe(name, self.schema(table), columns)
        return unseen.dataset


def schema_of(resource: DltResource) -> TTableSchema:
    """Return the schema of a resource's table.

    dlt checks each column of a schema, which takes milliseconds, so it computes one without them.
    """
    columns = resource.columns
    if not isinstance(columns, dict):
        return resource.compute_table_schema()
    schema = resource.with_name(resource.name).apply_hints(columns={}).compute_table_schema()
    # the columns of keys, which have hints of their own
    keys = schema["columns"]
    merged = {name: {**columns.get(name, {}), **keys.get(name, {})} for name in {**columns, **keys}}
    return cast(TTableSchema, {**schema, "columns": merged})


class _UnseenTables:
    """Tables that another pipeline may have loaded.

    Args:
        pipeline: The pipeline.
        schema: A schema without the tables.

    Attributes:
        dataset: The dataset with the tables.
        columns: The columns of each table.
    """

    def __init__(self, pipeline: dlt.Pipeline, schema: Schema) -> None:
        self._schema = schema.clone()
        self.dataset = pipeline.dataset(schema=self._schema)
        self.columns: dict[str, set[str]] = {}

    def describe(self, name: str, table: TTableSchema, columns: set[str]) -> None:
        """Describe a table as loaded, with some of its columns."""
        read = {column: hints for column, hints in table["columns"].items() if column in columns}
        loaded = cast(TTableSchema, {**table, "columns": read, "x-normalizer": {"seen-data": True}})
        self._schema.drop_tables([name] if name in self._schema.tables else [])
        self._schema.update_table(normalize_table_identifiers(loaded, self._schema.naming))
        self.columns[name] = columns


def from_json(value: Any) -> Any:
    """Return the value of a JSON column, which some destinations return as text."""
    return json.loads(value) if isinstance(value, str) else value


def _capabilities(pipeline: dlt.Pipeline) -> DestinationCapabilitiesContext:
    """Return the capabilities of the destination, which dlt knows during an extraction."""
    known = Container()
    if DestinationCapabilitiesContext in known:
        return known[DestinationCapabilitiesContext]
    return pipeline.destination.capabilities()


def _normalized(table: str) -> str:
    """Return the name of a table in the destination."""
    return dlt.current.source_schema().naming.normalize_table_identifier(table)


def condition(where: Mapping[str, Collection[int]], names: Mapping[str, str]) -> str:
    """Return the condition of a query, without columns of too many values.

    Args:
        where: The values of columns.
        names: The escaped names of the columns.
    """
    return " AND ".join(
        f"{names[column]} IN ({', '.join(str(int(each)) for each in sorted(values))})"
        for column, values in where.items()
        if len(values) <= _VALUES
    )


_Key = tuple[Any, ...]
_SPAN = ("first_run_id", "last_run_id")
# the run whose catalog has the types of the columns
_CATALOG = "catalog_run_id"


class Versions:
    """The rows of `dbt_nodes` or `dbt_node_parents`, which runs share. Thread-safe.

    The current rows of an environment are those with its newest `last_run_id`. If the destination
    cannot merge, all rows of a run are written again if they differ from those of the run before.
    So this is true there as well.

    Args:
        table: The table.
        stored: The tables in the destination.
        is_catalogued: Whether rows have columns from a catalog, which not every run has.
    """

    def __init__(self, table: str, stored: StoredTables, *, is_catalogued: bool = False) -> None:
        self._table = table
        self._tables = stored
        self._keys = KEYS[table]
        self._kept = (*_SPAN, *((_CATALOG,) if is_catalogued else ()))
        self._rows: dict[_Key, Row] = {}
        self._lock = Lock()

    def add(self, run_id: int, rows: Iterable[Row]) -> None:
        """Add the rows of a run, in any order of runs."""
        with self._lock:
            for row in rows:
                self._add({**row, "first_run_id": run_id, "last_run_id": run_id})

    def take_rows(self) -> list[Row]:
        """Return and forget the rows that are new to the destination of the active pipeline."""
        if not self._rows:
            return []
        appends = self._tables.is_append_only(self._table)
        known = self._known(all_keys=appends)
        new = self._to_append(known) if appends else self._to_merge(known)
        before = self._with_columns({key: known[key] for key in new if key in known})
        self._rows = {}
        return [combined(row, before[key]) if key in before else row for key, row in new.items()]

    def _add(self, row: Row) -> None:
        key = self._key(row)
        self._rows[key] = combined(self._rows[key], row) if key in self._rows else row

    def _key(self, row: Row) -> _Key:
        return tuple(row[name] for name in self._keys)

    def _known(self, *, all_keys: bool) -> dict[_Key, Row]:
        """Return the rows in the destination, without their columns.

        Args:
            all_keys: Include the keys of the same environments that no new row has.
        """
        known: dict[_Key, Row] = {}
        names = [*self._keys, *self._kept]
        for values in self._stored(names):
            row = dict(zip(names, values, strict=True))
            key = self._key(row)
            is_newest = key not in known or row["last_run_id"] > known[key]["last_run_id"]
            if is_newest and (all_keys or key in self._rows):
                known[key] = row
        return known

    def _to_merge(self, known: Mapping[_Key, Row]) -> dict[_Key, Row]:
        """Return the rows that add to those in the destination."""
        return {
            key: row
            for key, row in self._rows.items()
            if key not in known or _adds_to(known[key], row)
        }

    def _to_append(self, known: Mapping[_Key, Row]) -> dict[_Key, Row]:
        """Return the missing rows, and all rows of a newest run that differs.

        Rows are never deleted there, so only the newest run of a row shows that it is gone.
        """
        previous = _newest(known)
        again: set[_Key] = set()
        for environment, (_, newest_keys) in _newest(self._rows).items():
            previous_run_id, previous_keys = previous.get(environment, (0, set()))
            new_keys = {
                key
                for key, row in self._rows.items()
                if row["environment_id"] == environment and row["last_run_id"] > previous_run_id
            }
            if new_keys and not (new_keys == previous_keys == newest_keys):
                again |= newest_keys
        return {key: row for key, row in self._rows.items() if key not in known or key in again}

    def _with_columns(self, known: dict[_Key, Row]) -> dict[_Key, Row]:
        """Add the columns, which are large, to the known rows that have a later catalog."""
        catalogs = {
            key: row[_CATALOG]
            for key, row in known.items()
            if _has_later_catalog(row, self._rows[key])
        }
        names = [*self._keys, _CATALOG, "columns"]
        for *key, catalog, columns in self._stored(names, catalogs.values()) if catalogs else ():
            if catalogs.get(tuple(key)) == catalog:
                known[tuple(key)]["columns"] = columns
        return known

    def _stored(
        self, names: Sequence[str], catalogs: Iterable[int] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the environments from the destination, from some catalogs or all."""
        environments = {row["environment_id"] for row in self._rows.values()}
        of_catalogs = {_CATALOG: {*catalogs}} if catalogs else {}
        where = {"environment_id": environments, **of_catalogs}
        return self._tables.rows(self._table, names, where)


def combined(row: Row, other: Row) -> Row:
    """Merge two rows of one key: the longer span and the later catalog."""
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
    """Return the newest run of each environment, with the keys of its rows."""
    found: dict[int, tuple[int, set[_Key]]] = {}
    for key, row in rows.items():
        environment, last = row["environment_id"], row["last_run_id"]
        if last > found.get(environment, (0,))[0]:
            found[environment] = last, set()
        if last == found[environment][0]:
            found[environment][1].add(key)
    return found


def _adds_to(known: Row, row: Row) -> bool:
    """Return whether a row has a longer span or later catalog than the known one."""
    is_longer = (
        row["first_run_id"] < known["first_run_id"] or row["last_run_id"] > known["last_run_id"]
    )
    return is_longer or _has_later_catalog(row, known)


def _has_later_catalog(row: Row, other: Row) -> bool:
    return (row.get(_CATALOG) or 0) > (other.get(_CATALOG) or 0)
