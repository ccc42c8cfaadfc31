"""A pipeline tells where its tables live, without credentials and without a connection."""

from __future__ import annotations

import sys
from typing import Any

import dlt
import pytest

from dlt_dbtcloud.relations import loaded_relations
from dlt_dbtcloud.sources import Relation
from tests.conftest import WriteConfig
from tests.warehouse import warehouse


def load(dataset: str = "raw") -> dlt.Pipeline:
    destination = warehouse("warehouse.duckdb")
    pipeline = dlt.pipeline("shop", destination=destination, dataset_name=dataset)
    first = dlt.source(lambda: dlt.resource([{"id": 1}], name="orders"), name="shop")()
    second = dlt.source(lambda: dlt.resource([{"id": 1}], name="users"), name="crm")()
    pipeline.run([first, second])
    return pipeline


def moved(pipeline: dlt.Pipeline, destination: Any) -> set[Relation]:
    """Return the relations as they would be in a destination that is not there."""
    pipeline.destination = destination
    return set(loaded_relations(pipeline))


def test_tables_live_in_their_dataset() -> None:
    # dbt may attach the file under another name, so DuckDB's database says nothing
    assert set(loaded_relations(load())) == {Relation("orders", "raw"), Relation("users", "raw")}


def test_clickhouse_has_the_dataset_in_the_name() -> None:
    found = moved(load(), dlt.destinations.clickhouse("clickhouse://me:secret@host/landing"))
    assert {(relation.name, relation.dataset) for relation in found} == {
        ("raw___orders", None),
        ("raw___users", None),
    }


def test_a_load_info_tells_the_same() -> None:
    pipeline = load()
    trace = pipeline.last_trace
    assert trace is not None
    assert loaded_relations(trace.last_load_info) == loaded_relations(pipeline)
    assert loaded_relations(None) == []


@pytest.mark.filterwarnings("ignore")
def test_the_dataset_has_the_name_that_dlt_gives_it() -> None:
    pipeline = load("Raw Data")
    with pipeline.sql_client() as client:
        expected = client.dataset_name
    assert expected != "Raw Data"
    assert {relation.dataset for relation in loaded_relations(pipeline)} == {expected}


def test_each_schema_may_have_a_dataset_of_its_own(write_config: WriteConfig) -> None:
    write_config("config.toml", "use_single_dataset = false\n")
    pipeline = load()
    datasets = {relation.name: relation.dataset for relation in loaded_relations(pipeline)}
    for schema, table in (("shop", "orders"), ("crm", "users")):
        with pipeline.sql_client(schema) as client:
            assert datasets[table] == client.dataset_name
            assert client.execute_sql(f"FROM {datasets[table]}.{table}")
    assert len(set(datasets.values())) == 2


def test_what_only_credentials_tell_is_unknown_without_them() -> None:
    pipeline = load()
    assert moved(pipeline, dlt.destinations.snowflake()) == {
        Relation("orders", "raw"),
        Relation("users", "raw"),
    }
    # its default database says nothing while the token is missing
    assert Relation("orders", "raw") in moved(pipeline, dlt.destinations.motherduck())


def test_credentials_tell_the_database() -> None:
    pipeline = load()
    snowflake = dlt.destinations.snowflake("snowflake://me:secret@host/LANDING")
    assert Relation("orders", "raw", "LANDING") in moved(pipeline, snowflake)
    postgres = dlt.destinations.postgres("postgresql://me:secret@host/landing")
    assert Relation("orders", "raw", "landing") in moved(pipeline, postgres)


def test_the_configuration_is_the_pipelines_own(write_config: WriteConfig) -> None:
    url = "postgresql://me:secret@host/landing"
    write_config("secrets.toml", f"[shop.destination.postgres]\ncredentials = '{url}'\n")
    pipeline = load()
    assert Relation("orders", "raw", "landing") in moved(pipeline, dlt.destinations.postgres())


def test_case_counts_where_the_destination_says_so() -> None:
    pipeline = load()
    bigquery = dlt.destinations.bigquery(project_id="landing")
    assert Relation("orders", "raw", "landing", True) in moved(pipeline, bigquery)


def test_a_destination_whose_libraries_are_missing_tells_the_dataset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = load()
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    assert Relation("orders", "raw") in moved(pipeline, dlt.destinations.mssql())
