"""Small handwritten artifacts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dlt_dbtcloud.lineage.outcomes import Outcome
from dlt_dbtcloud.typing import NodeResult, Run
from tests.support.dbt.manifests import read_manifest

RUN: Run = {
    "id": 7,
    "account_id": 1,
    "environment_id": 4,
    "job_definition_id": 5,
    "status": 10,
    "href": "https://cloud.getdbt.com/deploy/1/projects/3/runs/7/",
    "dbt_version": "latest",
    "created_at": "2026-01-31 05:59:00.000000+00:00",
    "started_at": "2026-01-31 06:00:00.000000+00:00",
    "finished_at": "2026-01-31 06:05:00.000000+00:00",
}


def manifest(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    sources = {e["unique_id"]: e for e in entries if e["unique_id"].startswith("source.")}
    nodes = {e["unique_id"]: e for e in entries if e["unique_id"] not in sources}
    return {"metadata": {"adapter_type": "postgres"}, "nodes": nodes, "sources": sources, **more}


def node(unique_id: str, *parents: str, **more: Any) -> dict[str, Any]:
    name = unique_id.split(".")[2]
    place = {"database": "db", "schema": "marts", "alias": name}
    return {
        "unique_id": unique_id,
        "name": name,
        "depends_on": {"nodes": [*parents]},
        **place,
        **more,
    }


def result(unique_id: str, status: str = "success", **more: Any) -> NodeResult:
    kind, _, name, *_ = unique_id.split(".")
    fields: dict[str, Any] = {
        "run_id": 7,
        "step_index": 4,
        "command": "dbt build",
        "unique_id": unique_id,
        "name": name,
        "resource_type": kind,
        "status": status,
        "message": None,
        "failures": None,
        "execution_time": 1.5,
        "thread_id": "Thread-1",
        "started_at": "2026-01-31T06:01:00.000000Z",
        "completed_at": "2026-01-31T06:01:01.500000Z",
        "rows_affected": None,
        "relation_name": None,
        "path": None,
        **more,
    }
    return cast(NodeResult, fields)


def outcome(artifact: Any, *results: NodeResult, catalog: Any = None, **more: Any) -> Outcome:
    return Outcome(results, read_manifest(artifact, catalog), **more)


BUILT = {"unique_id": "model.shop.orders", "status": "success"}

NODE = {"name": "orders", "depends_on": {"nodes": ["source.shop.raw.orders"]}}

# what the API can retry
FAILED_FILES = {
    "run_results.json": {
        "results": [{"unique_id": "model.shop.a", "status": "error", "execution_time": 0.1}]
    }
}

FILES = {
    "run_results.json": {"results": [BUILT]},
    "manifest.json": {"nodes": {"model.shop.orders": NODE}},
    "catalog.json": {"nodes": {"model.shop.orders": {"columns": {"id": {"type": "BIGINT"}}}}},
}


def warnings_of(run: Run, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if str(run["id"]) in each.message]
