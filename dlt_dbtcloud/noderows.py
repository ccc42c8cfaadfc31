"""The rows that tell of dbt's nodes: what became of each, what it is, what it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from dlt.common.json import json

from dlt_dbtcloud.columns import Row
from dlt_dbtcloud.manifest import Manifest, as_mapping
from dlt_dbtcloud.moments import timestamp
from dlt_dbtcloud.results import step_results, told_results
from dlt_dbtcloud.typing import Run, RunStep

__all__ = ["freshness_rows", "node_rows", "parent_rows", "result_rows"]

_HASH_DIGITS = 16


def result_rows(
    run: Run, step: RunStep, run_results: Mapping[str, Any], manifest: Mapping[str, Any] | None
) -> Iterator[Row]:
    """Yield a row for each node that a step executed.

    Args:
        run: The run.
        step: The step.
        run_results: Its `run_results.json`.
        manifest: A `manifest.json` that tells the nodes' names and files.
    """
    told = told_results(run_results)
    for raw, result in zip(told, step_results(run["id"], step, run_results, manifest), strict=True):
        response = as_mapping(raw.get("adapter_response"))
        yield {
            **result,
            "message": _text(result["message"]),
            "failures": _integer(result["failures"]),
            "thread_id": _text(result["thread_id"]),
            "started_at": timestamp(result["started_at"]),
            "completed_at": timestamp(result["completed_at"]),
            "rows_affected": _integer(result["rows_affected"]),
            "bytes_processed": _integer(response.get("bytes_processed")),
            "bytes_billed": _integer(response.get("bytes_billed")),
            "adapter_response": response or None,
        }


def node_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each node of a project, with what its content is known by.

    What a catalog tells is no part of that: a run that generates no docs knows just as good a node.
    """
    environment = run.get("environment_id") or 0
    for unique_id in project.unique_ids:
        node = project.node(unique_id)
        version = None if node["version"] is None else str(node["version"])
        row: Row = {"environment_id": environment, **node, "version": version}
        row["content_hash"] = _hash({**node, "columns": project.documented_columns(unique_id)})
        yield row


def parent_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each edge of a project's lineage."""
    environment = run.get("environment_id") or 0
    for unique_id in project.unique_ids:
        kind = unique_id.partition(".")[0]
        for parent in dict.fromkeys(project.dependencies(unique_id)):
            yield {
                "environment_id": environment,
                "unique_id": unique_id,
                "parent_unique_id": parent,
                "resource_type": kind,
                "parent_resource_type": parent.partition(".")[0],
            }


def freshness_rows(run: Run, step: RunStep, sources: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each source whose freshness a step has looked at.

    Args:
        run: The run.
        step: The step.
        sources: Its `sources.json`.
    """
    for result in _dicts(sources.get("results")):
        yield {
            "run_id": run["id"],
            "step_index": step.get("index") or 0,
            "unique_id": str(result.get("unique_id")),
            "status": str(result.get("status")),
            "message": _text(result.get("error")),
            "max_loaded_at": timestamp(result.get("max_loaded_at")),
            "snapshotted_at": timestamp(result.get("snapshotted_at")),
            "age_seconds": _number(result.get("max_loaded_at_time_ago_in_s")),
            "criteria": as_mapping(result.get("criteria")) or None,
            "execution_time": _number(result.get("execution_time")),
        }


def _hash(content: Mapping[str, Any]) -> str:
    told = json.dumpb(content, sort_keys=True)
    return hashlib.sha256(told).hexdigest()[:_HASH_DIGITS]


def _dicts(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _integer(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value
