"""What the destination of the active pipeline has already, and what it does with more of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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

__all__ = ["active_pipeline", "from_json", "is_append_only", "stored"]

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
