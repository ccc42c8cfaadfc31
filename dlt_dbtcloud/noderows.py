"""The rows that tell of dbt's nodes: what became of each, what it is, what it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlt.common.json import json

from dlt_dbtcloud.columns import Row
from dlt_dbtcloud.guards import as_mapping, integer, number, text
from dlt_dbtcloud.manifest import Manifest
from dlt_dbtcloud.moments import timestamp
from dlt_dbtcloud.quoting import redacted
from dlt_dbtcloud.results import step_results, told_results
from dlt_dbtcloud.typing import Run, RunStep

__all__ = ["freshness_rows", "node_rows", "parent_rows", "result_rows"]

_HASH_DIGITS = 16
# of JSON; more is not dbt's, and no warehouse takes it
_DEPTH = 100


def result_rows(
    run: Run,
    step: RunStep,
    run_results: Mapping[str, Any],
    manifest: Mapping[str, Any] | None,
    hide: Callable[[str], str],
) -> Iterator[Row]:
    """Yield a row for each node that a step executed.

    Args:
        run: The run.
        step: The step.
        run_results: Its `run_results.json`.
        manifest: A `manifest.json` that tells the nodes' names and files.
        hide: Cuts the API's token out of a text.
    """
    told = told_results(run_results)
    for raw, result in zip(told, step_results(run["id"], step, run_results, manifest), strict=True):
        response = as_mapping(raw.get("adapter_response"))
        yield {
            **result,
            "command": redacted(result["command"], hide),
            "message": redacted(result["message"], hide),
            "started_at": timestamp(result["started_at"]),
            "completed_at": timestamp(result["completed_at"]),
            "bytes_processed": integer(response.get("bytes_processed")),
            "bytes_billed": integer(response.get("bytes_billed")),
            "adapter_response": _redacted_json(response, hide) or None,
        }


def node_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each node of a project, with what its content is known by.

    What a catalog tells is no part of that: a run that generates no docs knows just as good a node.
    Nor is the schema that a run overrides: each pull request has one of its own.
    """
    overrides = bool(as_mapping(run.get("trigger")).get("schema_override"))
    for unique_id in project.unique_ids:
        node: Row = {**project.node(unique_id)}
        if overrides and node["resource_type"] != "source":
            node |= {"relation_name": None, "schema": None}
        content = {**node, "columns": project.documented_columns(unique_id)}
        yield {
            "environment_id": integer(run.get("environment_id")) or 0,
            **{name: value for name, value in node.items() if name != "group"},
            "group_name": node["group"],
            "version": None if node["version"] is None else str(node["version"]),
            "content_hash": _hash(content),
            "catalog_run_id": run["id"] if project.is_catalogued(unique_id) else None,
        }


def parent_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each edge of a project's lineage."""
    environment = integer(run.get("environment_id")) or 0
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


def freshness_rows(
    run: Run, step: RunStep, sources: Mapping[str, Any], hide: Callable[[str], str]
) -> Iterator[Row]:
    """Yield a row for each source whose freshness a step has looked at.

    Args:
        run: The run.
        step: The step.
        sources: Its `sources.json`.
        hide: Cuts the API's token out of a text.
    """
    for result in told_results(sources):
        yield {
            "run_id": run["id"],
            "step_index": step.get("index") or 0,
            "unique_id": result["unique_id"],
            "status": text(result.get("status")) or "",
            "message": redacted(text(result.get("error")), hide),
            "max_loaded_at": timestamp(result.get("max_loaded_at")),
            "snapshotted_at": timestamp(result.get("snapshotted_at")),
            "age_seconds": number(result.get("max_loaded_at_time_ago_in_s")),
            "criteria": _redacted_json(as_mapping(result.get("criteria")), hide) or None,
            "execution_time": number(result.get("execution_time")),
        }


def _hash(content: Mapping[str, Any]) -> str:
    told = json.dumpb(content, sort_keys=True)
    return hashlib.sha256(told).hexdigest()[:_HASH_DIGITS]


def _redacted_json(value: Any, hide: Callable[[str], str], depth: int = _DEPTH) -> Any:
    if isinstance(value, (dict, list)) and not depth:
        return None
    if isinstance(value, dict):
        return {name: _redacted_json(part, hide, depth - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted_json(part, hide, depth - 1) for part in value]
    return redacted(value, hide) if isinstance(value, str) else value
