"""The sources of a dbt project are compared with the tables of a pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.declarations import Finding, compare_sources
from dlt_dbtcloud.loads import Identifier, LoadedColumn, LoadedSchema, LoadedTable
from dlt_dbtcloud.values import Relation
from tests.support.dbt.manifests import manifest_of, source_entry

COLUMNS = {"id": "BIGINT", "name": "VARCHAR"}


def table(name: str = "orders", dataset: str = "raw", **changes: Any) -> LoadedTable:
    columns = tuple(LoadedColumn(Identifier(each), kind) for each, kind in COLUMNS.items())
    return replace(
        LoadedTable(Relation(name, dataset), Identifier(name), columns),
        **changes,
    )


def documented(**types: str | None) -> dict[str, Any]:
    return {name: {"name": name, "data_type": kind} for name, kind in types.items()}


def source(name: str = "orders", **changes: Any) -> dict[str, Any]:
    return source_entry(name, **{"columns": documented(**COLUMNS), **changes})


def compare(
    *sources: dict[str, Any], tables: tuple[LoadedTable, ...] = (table(),), adapter: str = "duckdb"
) -> list[Finding]:
    manifest = manifest_of(*sources, metadata={"adapter_type": adapter})
    return compare_sources([LoadedSchema("shop", tables)], manifest)


def test_a_project_that_declares_everything_lacks_nothing() -> None:
    assert compare(source()) == []
    # what only the project has is not compared
    more = documented(**COLUMNS, extra="DATE")
    assert compare(source(columns=more), source("returns")) == []


def test_a_schema_without_any_source_is_one_finding() -> None:
    tables = (table("orders"), table("users"))
    (finding,) = compare(source("returns"), tables=tables)
    assert (finding.kind, finding.name) == ("source", "shop")
    assert finding.message == "No source declares a table of dlt schema `shop`: orders, users."


def test_a_table_without_a_source_is_missing() -> None:
    (finding,) = compare(source(), tables=(table("orders"), table("users")))
    assert finding == Finding("table", "users", "No source declares table `users`.")


def test_a_table_in_another_place_comes_with_the_line_to_change() -> None:
    (finding,) = compare(source(), tables=(table(dataset="landing"),))
    assert (finding.kind, finding.name) == ("place", "orders")
    assert "set `schema: landing` of source `raw.orders`" in finding.message


def test_missing_columns_are_listed() -> None:
    (finding,) = compare(source(columns=documented(id="BIGINT")))
    assert finding == Finding("columns", "orders", "Source `raw.orders` lacks columns: name.")
    (finding,) = compare(source(columns={}))
    assert finding.message.endswith("lacks columns: id, name.")


def test_columns_are_the_same_in_any_case_and_quotes() -> None:
    assert compare(source(columns=documented(**{'"Id"': "BIGINT", "NAME": "VARCHAR"}))) == []


def test_other_and_missing_types_are_listed() -> None:
    (finding,) = compare(source(columns=documented(id="DATE", name=None)))
    assert finding.kind == "types"
    assert finding.message == (
        "Source `raw.orders` lacks types: id is `BIGINT` and not `DATE`, name is `VARCHAR`."
    )


@pytest.mark.parametrize(
    ("adapter", "data_type"),
    [
        ("duckdb", "bigint"),
        ("duckdb", "int8"),
        ("postgres", "bigint"),
        ("an_adapter_without_a_dialect", "Bigint"),
    ],
)
def test_other_names_of_a_type_are_the_same_type(adapter: str, data_type: str) -> None:
    columns = documented(**{**COLUMNS, "id": data_type})
    assert compare(source(columns=columns), adapter=adapter) == []


@pytest.mark.parametrize("adapter", ["duckdb", "an_adapter_without_a_dialect"])
def test_a_type_that_cannot_be_read_is_another(adapter: str) -> None:
    (finding,) = compare(source(columns=documented(**{**COLUMNS, "id": "big("})), adapter=adapter)
    assert "id is `BIGINT` and not `big(`" in finding.message


def test_a_type_that_is_unknown_here_is_not_compared() -> None:
    columns = tuple(LoadedColumn(Identifier(name)) for name in COLUMNS)
    assert (
        compare(source(columns=documented(id=None, name="X")), tables=(table(columns=columns),))
        == []
    )


def test_one_of_several_sources_of_a_table_has_to_be_complete() -> None:
    bare = source(columns={}, source_name="bare")
    assert compare(bare, source()) == []


def test_another_file_than_a_manifest_is_an_error() -> None:
    with pytest.raises(DBTCloudException):
        compare_sources([LoadedSchema("shop", (table(),))], Manifest())
