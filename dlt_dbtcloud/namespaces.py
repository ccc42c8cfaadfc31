"""Where OpenLineage says that a warehouse's tables live.

Naming: https://openlineage.io/docs/spec/naming
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["dataset_namespace"]

_FORMS = {
    "athena": "awsathena://athena.{region_name}.amazonaws.com",
    "bigquery": "bigquery",
    "clickhouse": "clickhouse://{host}:{port}",
    "databricks": "databricks://{host}",
    "duckdb": "duckdb://{path}",
    "fabric": "fabric-warehouse://{host}",
    "postgres": "postgres://{host}:{port}",
    "redshift": "redshift://{cluster}:{port}",
    "snowflake": "snowflake://{account}",
    "spark": "spark://{host}:{port}",
    "sqlserver": "mssql://{host}:{port}",
    "synapse": "sqlserver://{host}:{port}",
    "teradata": "teradata://{host}:{port}",
    "trino": "trino://{host}:{port}",
}
_PORTS = {
    "clickhouse": 8123,
    "postgres": 5432,
    "redshift": 5439,
    "spark": 443,
    "sqlserver": 1433,
    "synapse": 1433,
    "teradata": 1025,
    "trino": 443,
}
_HOSTS = ("host", "hostname", "server")


def dataset_namespace(adapter_type: str, connection: Mapping[str, Any]) -> str | None:
    """Return the namespace of the tables behind a connection, or None where that is not told.

    Args:
        adapter_type: dbt's adapter: `postgres`, `snowflake` …
        connection: The fields of a dbt profile's target, or the details of a dbt Cloud
            connection: `host` and `port`, `account`, `path` …
    """
    told = {name: str(value) for name, value in connection.items() if value not in (None, "")}
    host = next((told[name] for name in _HOSTS if name in told), None)
    if host:
        told |= {"host": host, "cluster": _cluster(host)}
    if "account" in told:
        told["account"] = _snowflake_account(told["account"])
    try:
        return _FORMS[adapter_type].format_map({"port": _PORTS.get(adapter_type), **told})
    except KeyError:
        return None


def _cluster(host: str) -> str:
    """Return `cluster.region` of `cluster.id.region.redshift.amazonaws.com`, or another host."""
    parts = host.split(".")
    return f"{parts[0]}.{parts[2]}" if host.endswith("amazonaws.com") else host


def _snowflake_account(account: str) -> str:
    """Return `organization-account`, or a locator with the region and cloud that it stands for."""
    locator, *place = account.split(".")
    if "-" in locator:
        return locator
    return ".".join([locator, *(place or ["us-west-1"]), *(["aws"] if len(place) < 2 else [])])
