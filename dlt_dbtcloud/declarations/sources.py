"""dbt's declaration of the tables that a pipeline loads."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any

import dlt
import yaml

from dlt_dbtcloud.loads import (
    Identifier,
    LoadedColumn,
    LoadedSchema,
    LoadedTable,
    loaded_schemas,
)

__all__ = ["dbt_sources", "declaration", "is_sources_yaml", "sources_yaml"]


# dbt evaluates these in every text
_JINJA = re.compile(r"\{[{%#]")
_ENDRAW = re.compile(r"\{%(?=[+-]?\s*endraw)")
_NOT_IN_NAMES = re.compile(r"\W+", re.ASCII)
_WIDTH = 100
_HEADER = "# Written by `dlt dbt-cloud sources`, which replaces this file.\n"
# ends a raw block for the two characters that would end it
_BRACE = "{% endraw %}{{ '{%' }}{% raw %}"
# the place of the source as dbt sees it, which a project may change
_DATASET = "{{ this.include(identifier=false) }}"


def dbt_sources(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """Return the dbt `sources:` of the tables that a pipeline loads.

    Each dlt schema is a source. It has the database, schema, columns, descriptions and types of the
    tables, nested ones included. `loaded_at_query` selects the end of the schema's last load from
    `_dlt_loads`, on dbt Core from 1.10.13 and on dbt Fusion. There are no thresholds for freshness:
    until the project sets them, dbt does not check it.

    Neither a connection nor credentials are needed; a database that only they provide is omitted.

    Docs: https://docs.getdbt.com/reference/source-properties

    Args:
        pipeline: A pipeline that has loaded on this machine.

    Returns:
        The content of a YAML file of a dbt project: `{"version": 2, "sources": [...]}`.

    Raises:
        TypeError: It is not a pipeline.
        ValueError: It has no destination, or has not loaded on this machine.
    """
    return declaration(loaded_schemas(pipeline))


def declaration(schemas: Iterable[LoadedSchema]) -> dict[str, Any]:
    """Return the dbt `sources:` of loaded schemas."""
    return {"version": 2, "sources": [_source(schema) for schema in schemas]}


def sources_yaml(sources: dict[str, Any]) -> str:
    """Return sources as the text of a YAML file; equal sources have equal texts.

    A comment at its beginning distinguishes it from other files: see `is_sources_yaml`.

    Args:
        sources: The value that `dbt_sources` returned.
    """
    # without references between equal values, which few people can read
    plain = json.loads(json.dumps(sources))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return _HEADER + text


def is_sources_yaml(text: str) -> bool:
    """Return whether a text is from `sources_yaml`, or empty, and may be replaced."""
    return text.startswith(_HEADER) or not text.strip()


def _source(schema: LoadedSchema) -> dict[str, Any]:
    places = {"database": schema.database, "schema": schema.dataset}
    source: dict[str, Any] = {"name": schema.name}
    source |= {field: _literal(place.text) for field, place in places.items() if place}
    if schema.last_load and not schema.dataset:
        # ClickHouse has databases only, and dlt's dataset is a prefix of the tables' names
        source["schema"] = "{{ target.schema }}"
    source |= {"loader": "dlt", **_description(schema.description)}
    source |= _quoting({field: place for field, place in places.items() if place})
    if schema.last_load:
        query = _literal(schema.last_load).replace("{dataset}", _DATASET)
        source["config"] = {"loaded_at_query": query}
    return {**source, "tables": [*_tables(schema.tables)]}


def _tables(tables: Iterable[LoadedTable]) -> Iterator[dict[str, Any]]:
    names: set[str] = set()
    for table in tables:
        name = _unused(_NOT_IN_NAMES.sub("_", table.relation.table or table.relation.name), names)
        names.add(name)
        entry: dict[str, Any] = {"name": name}
        if table.identifier.text != name:
            entry["identifier"] = _literal(table.identifier.text)
        entry |= _description(table.description)
        entry |= _quoting({"identifier": table.identifier})
        yield {**entry, "columns": [_column(column) for column in table.columns]}


def _column(column: LoadedColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": _literal(column.identifier.text)}
    if column.data_type:
        entry["data_type"] = column.data_type
    if column.identifier.is_quoted:
        entry["quote"] = True
    return {**entry, **_description(column.description)}


def _quoting(identifiers: Mapping[str, Identifier]) -> dict[str, Any]:
    quoted = {field: True for field, each in identifiers.items() if each.is_quoted}
    return {"quoting": quoted} if quoted else {}


def _description(text: str | None) -> dict[str, Any]:
    return {"description": _literal(text)} if text else {}


def _literal(text: str) -> str:
    """Return a text that dbt shows as it is."""
    if not _JINJA.search(text):
        return text
    return f"{{% raw %}}{_ENDRAW.sub(_BRACE, text)}{{% endraw %}}"


def _unused(name: str, names: Container[str]) -> str:
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in names)
