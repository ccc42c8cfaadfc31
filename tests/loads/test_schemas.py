"""The tables and columns of a pipeline, with the destination's own names and types."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import dlt
import pytest

from dlt_dbtcloud.loads import Identifier, LoadedSchema, loaded_relations, loaded_schemas
from dlt_dbtcloud.loads.packages import RESULTS_SCHEMA
from dlt_dbtcloud.loads.schemas import identifier
from tests.support.loading.loads import SharedLoads, load_sources, source_of


@pytest.fixture
def shop(shared_loads: SharedLoads) -> Iterator[dlt.Pipeline]:
    """Return a pipeline that has loaded two sources; it is shared."""
    with shared_loads.pipeline("sales", load_sources) as pipeline:
        yield pipeline


def moved(pipeline: dlt.Pipeline, destination: Any) -> LoadedSchema:
    """Return the schema `shop` as it would be in a destination that is not there."""
    own, pipeline.destination = pipeline.destination, destination
    try:
        (schema,) = [each for each in loaded_schemas(pipeline) if each.name == "shop"]
        return schema
    finally:
        pipeline.destination = own


def types(schema: LoadedSchema) -> dict[str, str | None]:
    return {column.identifier.text: column.data_type for column in schema.tables[0].columns}


def test_nested_tables_are_listed_and_neither_dlts_own_nor_results(shop: dlt.Pipeline) -> None:
    found = {
        schema.name: [table.identifier.text for table in schema.tables]
        for schema in loaded_schemas(shop)
    }
    assert found == {"crm": ["users"], "shop": ["orders", "orders__items"]}


def test_relations_are_those_that_are_compared_with_sources(shop: dlt.Pipeline) -> None:
    relations = [table.relation for each in loaded_schemas(shop) for table in each.tables]
    assert {*relations} == {*loaded_relations(shop)}


def test_columns_have_the_types_that_duckdb_reports(shop: dlt.Pipeline) -> None:
    (_, schema) = loaded_schemas(shop)
    with shop.sql_client() as client:
        described = client.execute_sql("DESCRIBE raw.orders")
    assert types(schema) == {name: data_type for name, data_type, *_ in described or ()}


def test_descriptions_are_those_of_dlts_schema(shop: dlt.Pipeline) -> None:
    orders, items = moved(shop, shop.destination).tables
    assert (orders.description, items.description) == ("One row per order.", None)
    assert [column.description for column in orders.columns][:2] == ["The key.", None]


def test_each_destination_has_its_own_names_and_types(shop: dlt.Pipeline) -> None:
    snowflake = moved(shop, dlt.destinations.snowflake("snowflake://me:secret@host/LANDING"))
    assert types(snowflake)["id"] == "NUMBER(19,0)"
    assert (snowflake.database, snowflake.dataset) == (Identifier("LANDING"), Identifier("raw"))
    assert snowflake.last_load == (
        'select max("INSERTED_AT") from {dataset}."_DLT_LOADS" '
        'where "SCHEMA_NAME" = \'shop\' and "STATUS" = 0'
    )
    bigquery = moved(shop, dlt.destinations.bigquery(project_id="landing-1"))
    assert types(bigquery)["id"] == "INT64"
    assert bigquery.database == Identifier("landing-1", is_quoted=True)
    assert "`_dlt_loads`" in (bigquery.last_load or "")


def test_clickhouse_has_the_dataset_in_the_names(shop: dlt.Pipeline) -> None:
    clickhouse = moved(shop, dlt.destinations.clickhouse("clickhouse://me:secret@host/landing"))
    assert (clickhouse.dataset, clickhouse.database) == (None, None)
    assert clickhouse.tables[0].identifier == Identifier("raw___orders")
    assert "{dataset}.`raw____dlt_loads`" in (clickhouse.last_load or "")


def test_files_have_neither_types_nor_loads_in_sql(shop: dlt.Pipeline) -> None:
    files = moved(shop, dlt.destinations.filesystem("lake"))
    assert {*types(files).values()} == {None}
    assert (files.dataset, files.database, files.last_load) == (None, None, None)


def test_a_destination_without_its_libraries_has_types(
    shop: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    assert types(moved(shop, dlt.destinations.mssql()))["at"] == "datetimeoffset"


def test_types_that_need_the_destinations_libraries_are_unknown_without_them(
    shop: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    database = moved(shop, dlt.destinations.sqlalchemy())
    assert {*types(database).values()} == {None}
    assert database.tables[0].identifier == Identifier("orders")


def test_a_pipeline_of_results_only_has_not_loaded(pipeline: dlt.Pipeline) -> None:
    pipeline.extract(source_of(RESULTS_SCHEMA, dlt.resource([{"id": 1}], name="dbt_runs")))
    pipeline.normalize()
    with pytest.raises(ValueError, match="has not loaded any table"):
        loaded_schemas(pipeline)


@pytest.mark.parametrize(
    ("destination", "name", "expected"),
    [
        ("snowflake", "orders", Identifier("orders")),
        ("snowflake", "order", Identifier("ORDER", is_quoted=True)),
        ("snowflake", "my orders", Identifier("MY ORDERS", is_quoted=True)),
        ("postgres", "orders", Identifier("orders")),
        ("bigquery", "Orders", Identifier("Orders")),
        ("bigquery", "1st", Identifier("1st", is_quoted=True)),
    ],
)
def test_a_name_is_quoted_only_if_sql_needs_it(
    destination: str, name: str, expected: Identifier
) -> None:
    capabilities = getattr(dlt.destinations, destination)().capabilities()
    assert identifier(name, capabilities) == expected


def test_names_that_keep_their_case_are_quoted_where_sql_folds_them() -> None:
    snowflake = dlt.destinations.snowflake(naming_convention="sql_cs_v1").capabilities()
    snowflake.casefold_identifier = str
    assert identifier("orders", snowflake) == Identifier("orders", is_quoted=True)
    assert identifier("ORDERS", snowflake) == Identifier("ORDERS")


def test_without_capabilities_a_name_is_as_it_is() -> None:
    assert identifier("Orders", None) == Identifier("Orders")
