"""Tables and columns of a pipeline's schemas, as they are in the destination."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import dlt
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.destination.client import DestinationClientConfiguration
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema

from dlt_dbtcloud.loads.packages import RESULTS_SCHEMA, check_type, is_data
from dlt_dbtcloud.loads.places import capabilities_of, configuration_of, place_of
from dlt_dbtcloud.values import Relation

__all__ = ["Identifier", "LoadedColumn", "LoadedSchema", "LoadedTable", "loaded_schemas"]


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# the case of names without quotes, by sqlglot's name of the dialect; others keep or ignore it
_FOLDS: dict[str, Callable[[str], str]] = {
    "postgres": str.lower,
    "redshift": str.lower,
    "snowflake": str.upper,
}
# words that are no names without quotes
# https://docs.snowflake.com/en/sql-reference/reserved-keywords
_RESERVED = frozenset(
    """
    account all alter and any as between by case cast check column connect connection constraint
    create cross current current_date current_time current_timestamp current_user database delete
    distinct drop else exists false following for from full grant group gscluster having ilike in
    increment inner insert intersect into is issue join lateral left like localtime localtimestamp
    minus natural not null of on or order organization qualify regexp revoke right rlike row rows
    sample schema select set some start table tablesample then to trigger true try_cast union
    unique update using values view when whenever where with
    """.split()
)


@dataclass(frozen=True)
class Identifier:
    """A name of a database, dataset, table or column.

    Args:
        text: The name; as the destination has it if it is quoted.
        is_quoted: Whether SQL has to quote it.
    """

    text: str
    is_quoted: bool = False


@dataclass(frozen=True)
class LoadedColumn:
    """A column of a loaded table.

    Args:
        identifier: Its name in SQL.
        data_type: The destination's name of its type; None if unknown.
        description: Its description in dlt's schema.
    """

    identifier: Identifier
    data_type: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class LoadedTable:
    """A table that a pipeline has loaded.

    Args:
        relation: Its place, as `only_loaded` compares it with sources.
        identifier: Its name in SQL.
        columns: Its columns, in dlt's order.
        description: Its description in dlt's schema.
    """

    relation: Relation
    identifier: Identifier
    columns: tuple[LoadedColumn, ...]
    description: str | None = None


@dataclass(frozen=True)
class LoadedSchema:
    """A dlt schema with the tables that a pipeline has loaded.

    Args:
        name: Its name.
        tables: Its tables of data, sorted by name.
        dataset: The dataset; None if the destination has none.
        database: The database; None if unknown.
        description: Its description.
        last_load: SQL that selects the end of its last load, with `{dataset}` for the dataset;
            None if it is not in SQL's reach.
    """

    name: str
    tables: tuple[LoadedTable, ...]
    dataset: Identifier | None = None
    database: Identifier | None = None
    description: str | None = None
    last_load: str | None = None


def loaded_schemas(pipeline: dlt.Pipeline) -> list[LoadedSchema]:
    """Return the schemas of a pipeline that have tables of data, sorted by name.

    Neither a connection nor credentials are needed; what only they provide is None.

    Raises:
        TypeError: It is not a pipeline.
        ValueError: It has no destination, or has not loaded on this machine.
    """
    check_type(pipeline)
    name = pipeline.pipeline_name
    if pipeline.destination is None:
        raise ValueError(
            f"Pipeline `{name}` has no destination, so the place of its tables is unknown. Pass "
            "`destination` and `dataset_name` to `dlt.pipeline`, as where it loads."
        )
    configuration = configuration_of(pipeline)
    schemas = [pipeline.schemas[each] for each in sorted(pipeline.schema_names)]
    found = [
        _loaded_schema(pipeline, each, configuration)
        for each in schemas
        if each.name != RESULTS_SCHEMA
    ]
    if not any(each.tables for each in found):
        raise ValueError(
            f"Pipeline `{name}` has not loaded any table on this machine. Run it first, or call "
            "its `sync_destination()` if another machine runs it."
        )
    return [each for each in found if each.tables]


def identifier(name: str, capabilities: DestinationCapabilitiesContext | None) -> Identifier:
    """Return a name as SQL of the destination needs it.

    Args:
        name: The name in dlt's schema.
        capabilities: The destination's; None if unknown.
    """
    created = capabilities.casefold_identifier(name) if capabilities else name
    dialect = capabilities.sqlglot_dialect if capabilities else None
    fold = _FOLDS.get(dialect or "")
    is_plain = _PLAIN.fullmatch(name) and name.lower() not in _RESERVED
    if is_plain and (fold is None or created == fold(name)):
        return Identifier(name)
    return Identifier(created, is_quoted=True)


def _loaded_schema(
    pipeline: dlt.Pipeline, schema: Schema, configuration: DestinationClientConfiguration | None
) -> LoadedSchema:
    place = place_of(pipeline, schema, configuration)
    capabilities = capabilities_of(pipeline, schema, configuration)
    database = place.database or place.attached_as
    return LoadedSchema(
        schema.name,
        tuple(_tables(schema, place, capabilities)),
        identifier(place.dataset, capabilities) if place.dataset else None,
        identifier(database, capabilities) if database else None,
        schema.to_dict().get("description"),
        _last_load(schema, place, capabilities),
    )


def _tables(
    schema: Schema, place: Relation, capabilities: DestinationCapabilitiesContext | None
) -> Iterator[LoadedTable]:
    for name in sorted(schema.data_table_names(seen_data_only=True)):
        if is_data(schema, name):
            table = schema.get_table(name)
            relation = replace(place, name=place.name + name, table=name)
            yield LoadedTable(
                relation,
                identifier(relation.name, capabilities),
                tuple(_columns(schema, name, capabilities)),
                table.get("description"),
            )


def _columns(
    schema: Schema, table: str, capabilities: DestinationCapabilitiesContext | None
) -> Iterator[LoadedColumn]:
    mapper = None
    if capabilities and capabilities.type_mapper:
        mapper = capabilities.get_type_mapper()
    # some types depend on hints of the table
    hints = cast(PreparedTableSchema, schema.get_table(table))
    # columns without values have no type, and are not created
    for name, column in schema.get_table_columns(table).items():
        data_type = None
        # the destination's own libraries may be missing on a machine that does not load
        with suppress(NotImplementedError):
            data_type = str(mapper.to_destination_type(column, hints)) if mapper else None
        yield LoadedColumn(identifier(name, capabilities), data_type, column.get("description"))


def _last_load(
    schema: Schema, place: Relation, capabilities: DestinationCapabilitiesContext | None
) -> str | None:
    """Return SQL that selects when the last load of a schema was completed."""
    if place.is_file or not (place.dataset or place.name):
        return None

    def quoted(name: str) -> str:
        escape = getattr(capabilities, "escape_identifier", None)
        if capabilities is None or escape is None:
            return name
        return str(escape(capabilities.casefold_identifier(name)))

    table = quoted(place.name + schema.loads_table_name)
    ended, of_schema, status = (
        quoted(schema.naming.normalize_identifier(name))
        for name in ("inserted_at", "schema_name", "status")
    )
    condition = f"{of_schema} = '{schema.name}' and {status} = 0"
    return f"select max({ended}) from {{dataset}}.{table} where {condition}"  # noqa: S608, names
