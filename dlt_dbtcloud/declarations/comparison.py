"""Differences between the tables of a pipeline and the sources of a dbt project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlglot.errors import SqlglotError
from sqlglot.expressions import DataType

from dlt_dbtcloud.dbt import Manifest, match_sources, sources_by_relation
from dlt_dbtcloud.loads import LoadedSchema, LoadedTable
from dlt_dbtcloud.redaction import listed

__all__ = ["Finding", "compare_sources"]


# names that a message lists
_LISTED = 20
_QUOTES = "\"`[]'"


@dataclass(frozen=True)
class Finding:
    """A difference between a pipeline and a dbt project.

    Args:
        kind: What is missing or different: the `source` of a whole dlt schema, a `table`, its
            `place`, its `columns`, or their `types`.
        name: The name of the dlt schema of a `source`, else that of the table.
        message: The difference, and the line to change if it is a place.
    """

    kind: Literal["source", "table", "place", "columns", "types"]
    name: str
    message: str


def compare_sources(schemas: Iterable[LoadedSchema], manifest: Manifest) -> list[Finding]:
    """Return what the sources of a dbt project lack of the tables of a pipeline.

    Sources are matched with tables as `only_loaded` does, so their names do not count. What only
    the project has is not reported.

    Args:
        schemas: The schemas of the pipeline, as `loaded_schemas` returns them.
        manifest: The manifest of the project.

    Returns:
        The differences, by schema and table; none if the project declares all of it.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    return [finding for schema in schemas for finding in _of_schema(schema, manifest)]


def _of_schema(schema: LoadedSchema, manifest: Manifest) -> Iterator[Finding]:
    relations = [table.relation for table in schema.tables]
    match, declared = match_sources(relations, manifest), sources_by_relation(relations, manifest)
    if len(match.undeclared) == len(relations):
        names = listed(match.undeclared, _LISTED)
        message = f"No source declares a table of dlt schema `{schema.name}`: {names}."
        yield Finding("source", schema.name, message)
        return
    for each in match.misplaced:
        yield Finding("place", each.name, each.advice)
    for table in schema.tables:
        name = table.relation.name
        if name in match.undeclared:
            yield Finding("table", name, f"No source declares table `{name}`.")
        findings = [[*_of_table(table, manifest, each)] for each in declared[table.relation]]
        # of several sources, one has to be complete
        yield from min(findings, key=len, default=[])


def _of_table(table: LoadedTable, manifest: Manifest, unique_id: str) -> Iterator[Finding]:
    entry, name = manifest.entry(unique_id), table.relation.name
    source = f"Source `{entry.source_name}.{entry.name}`"
    declared = {
        _letters(column["name"]): column["type"] or ""
        for column in manifest.documented_columns(unique_id)
    }
    columns = {column.identifier.text: column.data_type for column in table.columns}
    missing = [column for column in columns if _letters(column) not in declared]
    if missing:
        yield Finding("columns", name, f"{source} lacks columns: {listed(missing, _LISTED)}.")
    different = [
        f"{column} is `{data_type}`" + (f" and not `{other}`" if other else "")
        for column, data_type in columns.items()
        for other in [declared.get(_letters(column))]
        if data_type and other is not None
        if not _is_same_type(data_type, other, manifest.adapter_type)
    ]
    if different:
        yield Finding("types", name, f"{source} lacks types: {listed(different, _LISTED)}.")


def _letters(column: str) -> str:
    """Return the name of a column without quotes and case."""
    return column.strip(_QUOTES).casefold()


def _is_same_type(data_type: str, other: str, dialect: str | None) -> bool:
    """Return whether two names are of one type, such as `varchar` and `character varying`."""
    if data_type.casefold() == other.casefold():
        return True
    # what cannot be parsed, or an adapter without a dialect, has no other names
    with suppress(SqlglotError, ValueError):
        parsed = [DataType.build(name, dialect=dialect) for name in (data_type, other)]
        return parsed[0] == parsed[1]
    return False
