"""Artifacts of a small dbt project for scripted runs, and loads of their results."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import dlt
from dlt.extract import DltSource

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.source.schema import TABLES, Row
from dlt_dbtcloud.source.source import results_source
from tests.support.clock import FastClock
from tests.support.past_runs import ended_run

RUN_RESULTS: dict[str, Any] = {
    "results": [
        {
            "unique_id": "model.shop.orders",
            "status": "success",
            "execution_time": 1.5,
            "timing": [
                {
                    "name": "execute",
                    "started_at": "2026-01-31T06:00:01.000000Z",
                    "completed_at": "2026-01-31T06:00:02.500000Z",
                }
            ],
            "adapter_response": {"rows_affected": 7, "bytes_processed": 80},
        },
        {"unique_id": "test.shop.not_null_orders_id.ab12", "status": "pass"},
    ]
}
MANIFEST: dict[str, Any] = {
    "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
    "sources": {"source.shop.raw.orders": {"name": "orders", "schema": "raw"}},
    "nodes": {
        "model.shop.orders": {
            "name": "orders",
            "resource_type": "model",
            "config": {"materialized": "table"},
            "tags": ["nightly"],
            "columns": {"id": {"name": "id", "description": "An order."}},
            "depends_on": {"nodes": ["source.shop.raw.orders"]},
        },
        "test.shop.not_null_orders_id.ab12": {"depends_on": {"nodes": ["model.shop.orders"]}},
    },
    "exposures": {
        "exposure.shop.board": {
            "name": "board",
            "owner": {"email": "board@example.com"},
            "depends_on": {"nodes": ["model.shop.orders"]},
        }
    },
}
SOURCES: dict[str, Any] = {
    "results": [
        {
            "unique_id": "source.shop.raw.orders",
            "status": "warn",
            "max_loaded_at": "2026-01-30T06:00:00Z",
            "snapshotted_at": "2026-01-31T06:00:00.123456789Z",
            "max_loaded_at_time_ago_in_s": 86400.1,
            "criteria": {"warn_after": {"count": 1, "period": "day"}},
        }
    ]
}
FILES = {"run_results.json": RUN_RESULTS, "manifest.json": MANIFEST, "sources.json": SOURCES}


def rows(pipeline: dlt.Pipeline, query: str) -> list[tuple[Any, ...]]:
    with pipeline.sql_client() as client:
        return [tuple(row) for row in client.execute_sql(query) or ()]


def counts(pipeline: dlt.Pipeline, *tables: str) -> dict[str, int]:
    """Return the numbers of loaded rows of some or all tables."""
    tables = tables or (*TABLES,)
    each = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return dict(zip(tables, rows(pipeline, f"SELECT {each}")[0], strict=True))


def requested_files(cloud: DBTCloudEmulator) -> list[str]:
    paths = [request.path for request in cloud.requests]
    return [path.rpartition("/")[2] for path in paths if "/artifacts/" in path]


def nightly(cloud: DBTCloudEmulator, **options: Any) -> int:
    return cloud.create_job("Nightly", **{"artifacts": FILES, **options})


def finished_run(cloud: DBTCloudEmulator, job: int, **trigger: Any) -> int:
    return id_of(ended_run(cloud, job, **trigger))


def quick_results(run_id: int | None = None) -> DltSource:
    """Return a source of the embedded dbt Cloud's results that waits for no late artifacts.

    It does not resolve its configuration, which would take longer than making the source.
    """
    token, account_id, url = (
        os.environ[f"DBT_CLOUD__{name}"] for name in ("API_TOKEN", "ACCOUNT_ID", "BASE_API_URL")
    )
    config = DBTCloudConfiguration(api_token=token, account_id=account_id, base_api_url=url)
    run = None if run_id is None else str(run_id)
    return results_source(config, run_id=run, clock=FastClock(2000))


def extracted(pipeline: dlt.Pipeline, source: DltSource | None = None) -> dict[str, list[Row]]:
    """Return the rows of a source, by table, and let the pipeline remember them as loaded.

    It takes a tenth of the time of a load, as nothing is written.

    Args:
        pipeline: The pipeline, whose destination is read, and whose state changes on success.
        source: The source, by default `quick_results`.
    """
    source = source or quick_results()
    if source.name in pipeline.schema_names:
        # as dlt does before a load
        source.schema = pipeline.schemas[source.name].clone()
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    for table in rows:
        if table in source.selected_resources:
            # it keeps no row, so that the source yields nothing
            source.resources[table].add_filter(partial(_keep, rows[table]))
    with pipeline.managed_state():
        assert [*source] == []
    return rows


def sizes(tables: dict[str, list[Row]]) -> dict[str, int]:
    """Return the numbers of extracted rows, without those of empty tables."""
    return {table: len(rows) for table, rows in tables.items() if rows}


def _keep(rows: list[Row], row: Row) -> bool:
    rows.append(row)
    return False
