"""Namespaces follow the rules of OpenLineage, so that a table is the same for all producers."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.namespaces import dataset_namespace


@pytest.mark.parametrize(
    ("adapter", "connection", "expected"),
    [
        ("postgres", {"host": "db.example.com", "port": 5433}, "postgres://db.example.com:5433"),
        ("postgres", {"hostname": "db.example.com"}, "postgres://db.example.com:5432"),
        (
            "redshift",
            {"hostname": "shop.abc123.eu-west-1.redshift.amazonaws.com", "port": 5439},
            "redshift://shop.eu-west-1:5439",
        ),
        ("redshift", {"host": "tunnel.example.com"}, "redshift://tunnel.example.com:5439"),
        ("snowflake", {"account": "shop-prod"}, "snowflake://shop-prod"),
        ("snowflake", {"account": "xy12345"}, "snowflake://xy12345.us-west-1.aws"),
        ("snowflake", {"account": "xy12345.us-east-1"}, "snowflake://xy12345.us-east-1.aws"),
        ("snowflake", {"account": "xy1.west-europe.azure"}, "snowflake://xy1.west-europe.azure"),
        ("bigquery", {"project": "shop"}, "bigquery"),
        ("bigquery", {}, "bigquery"),
        (
            "databricks",
            {"host": "dbc-1.cloud.databricks.com"},
            "databricks://dbc-1.cloud.databricks.com",
        ),
        ("spark", {"host": "spark", "port": 10001}, "spark://spark:10001"),
        ("trino", {"host": "trino"}, "trino://trino:443"),
        ("athena", {"region_name": "eu-west-1"}, "awsathena://athena.eu-west-1.amazonaws.com"),
        ("sqlserver", {"server": "sql"}, "mssql://sql:1433"),
        ("synapse", {"server": "sql"}, "sqlserver://sql:1433"),
        ("fabric", {"server": "shop.datawarehouse"}, "fabric-warehouse://shop.datawarehouse"),
        ("teradata", {"host": "tera"}, "teradata://tera:1025"),
        ("clickhouse", {"host": "click", "port": ""}, "clickhouse://click:8123"),
        ("duckdb", {"path": "/data/shop.duckdb"}, "duckdb:///data/shop.duckdb"),
        ("duckdb", {"path": "md:shop"}, "duckdb://md:shop"),
    ],
)
def test_a_connection_has_the_namespace_of_the_rules(
    adapter: str, connection: dict[str, Any], expected: str
) -> None:
    assert dataset_namespace(adapter, connection) == expected


@pytest.mark.parametrize(
    ("adapter", "connection"),
    [("postgres", {}), ("postgres", {"port": 5432}), ("snowflake", {"account": None}), ("db9", {})],
)
def test_a_connection_that_does_not_tell_has_none(adapter: str, connection: dict[str, Any]) -> None:
    assert dataset_namespace(adapter, connection) is None
