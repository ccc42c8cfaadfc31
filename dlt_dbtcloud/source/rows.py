"""Rows of the result tables, from runs and their artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from dlt.common.json import json

from dlt_dbtcloud.artifacts.results import step_results
from dlt_dbtcloud.cause import bound_load, retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import FreshnessResult, Manifest, Result, Results
from dlt_dbtcloud.payloads import command_of, has_finished, id_of, log_tail
from dlt_dbtcloud.redaction import Redact, redact
from dlt_dbtcloud.source.destination import StoredTables, from_json
from dlt_dbtcloud.source.schema import TABLES, Row
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import (
    as_boolean,
    as_datetime,
    as_dicts,
    as_integer,
    as_mapping,
    as_number,
    as_plain,
    as_seconds,
    as_text,
)

__all__ = [
    "KnownLoad",
    "freshness_rows",
    "load_rows",
    "node_rows",
    "parent_rows",
    "redacted_rows",
    "result_rows",
    "run_row",
    "step_rows",
]


_RUN_FIELDS = (
    *("account_id", "project_id", "environment_id", "job_definition_id", "deferring_run_id"),
    *("status_humanized", "is_success", "is_error", "is_cancelled"),
    *("git_branch", "git_sha", "dbt_version", "href"),
    *("artifacts_saved", "has_docs_generated", "has_sources_generated"),
)
_TRIGGER_FIELDS = ("cause_category", "schema_override", "target_name_override")
_CONVERTERS: Mapping[str | None, Callable[[object], object]] = {
    "bigint": as_integer,
    "bool": as_boolean,
    "double": as_number,
    "text": as_text,
}
_TIME_FIELDS = ("created_at", "dequeued_at", "started_at", "finished_at")
# columns that contain what users and databases wrote; the log is redacted before it is cut
_COLUMNS_WITH_SECRETS = {
    "dbt_runs": {"cause", "status_message", "steps_override"},
    "dbt_run_steps": {"command", "name"},
    "dbt_node_results": {"adapter_response", "command", "message"},
    "dbt_source_freshness": {"criteria", "message"},
}
_HASH_DIGITS = 16
_CACHED_TEXTS = 1000


@dataclass(frozen=True)
class KnownLoad:
    """The details of a pipeline's last load, of which a cause contains only the newest load id.

    Args:
        pipeline_name: The pipeline.
        load_id: The newest load id.
        dataset_name: The dataset.
        tables: The changed tables with their number of new rows, by load id.
        adopted_run_id: The run that was adopted for the load, if any.
    """

    pipeline_name: str
    load_id: str
    dataset_name: str | None
    tables: Mapping[str, Mapping[str, int | None]]
    adopted_run_id: int | None = None


def redacted_rows(table: str, rows: Iterable[Row], client: DBTCloudClientV2) -> list[Row]:
    """Return rows without the API token and other secrets.

    Other secrets are searched for only in the columns that may contain them.

    Args:
        table: The table.
        rows: Its rows.
        client: The client, which redacts.
    """
    columns = _COLUMNS_WITH_SECRETS.get(table)
    if columns is None:
        return [*rows]
    # rows of one run repeat commands and messages
    cached = lru_cache(_CACHED_TEXTS)(client.redact)
    return [
        {
            name: _redacted(value, cached if name in columns else client.without_token)
            for name, value in row.items()
        }
        for row in rows
    ]


def run_row(run: Run) -> Row:
    """Return the row of a run, with its trigger, job and audit."""
    fields: Mapping[str, Any] = run
    trigger = as_mapping(run.get("trigger"))
    actor = as_mapping(as_mapping(as_mapping(run.get("audit")).get("trigger")).get("actor"))
    row = {
        "run_id": run["id"],
        **{name: fields.get(name) for name in _RUN_FIELDS},
        **{name: trigger.get(name) for name in _TRIGGER_FIELDS},
        **{name: as_datetime(fields.get(name)) for name in _TIME_FIELDS},
        "status": as_integer(run.get("status")) or 0,
        "status_message": run.get("status_message"),
        "cause": trigger.get("cause"),
        "steps_override": _commands(trigger.get("steps_override")),
        "job_name": as_mapping(run.get("job")).get("name"),
        "retried_run_id": retried_run(run),
        "in_progress": not has_finished(run),
        "triggered_by": actor.get("name"),
        "triggered_by_type": actor.get("type"),
        "duration_seconds": as_seconds(run.get("duration")),
        "queued_seconds": as_seconds(run.get("queued_duration")),
        "run_seconds": as_seconds(run.get("run_duration")),
    }
    return _typed("dbt_runs", row)


def step_rows(run: Run, redact: Redact = redact) -> Iterator[Row]:
    """Yield a row for each step of a run; with a log if it failed.

    Args:
        run: The run, with its steps.
        redact: Redacts a text.
    """
    for step in cast(list[RunStep], as_dicts(run.get("run_steps"))):
        has_failed = step.get("status") == RunStatus.ERROR
        row = {
            "run_id": run["id"],
            "step_index": as_integer(step.get("index")) or 0,
            "step_id": step.get("id"),
            "name": step.get("name"),
            "command": command_of(step),
            "status": as_integer(step.get("status")) or 0,
            "status_humanized": step.get("status_humanized"),
            "started_at": as_datetime(step.get("started_at")),
            "finished_at": as_datetime(step.get("finished_at")),
            "duration_seconds": as_seconds(step.get("duration")),
            "log_tail": log_tail(step, redact) or None if has_failed else None,
        }
        yield _typed("dbt_run_steps", row)


def result_rows(
    run: Run, step: RunStep, run_results: Results[Result], manifest: Manifest
) -> Iterator[Row]:
    """Yield a row for each node that a step executed.

    Args:
        run: The run.
        step: The step.
        run_results: Its `run_results.json`.
        manifest: A manifest with the nodes' names and files.
    """
    results = step_results(id_of(run), step, run_results, manifest)
    for reported, result in zip(run_results.results, results, strict=True):
        response = as_plain(reported.adapter_response or {})
        yield {
            **result,
            "started_at": as_datetime(result["started_at"]),
            "completed_at": as_datetime(result["completed_at"]),
            "bytes_processed": as_integer(response.get("bytes_processed")),
            "bytes_billed": as_integer(response.get("bytes_billed")),
            "adapter_response": response or None,
        }


def node_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each node of a project, with a hash of its content.

    The hash covers neither the catalog, as not every run generates docs, nor the schema of a run
    that overrides it, as each pull request has its own.
    """
    has_own_schema = bool(as_mapping(run.get("trigger")).get("schema_override"))
    for unique_id in project.unique_ids:
        node: Row = {**project.node(unique_id)}
        if has_own_schema and node["resource_type"] != "source":
            node |= {"relation_name": None, "schema": None}
        content = {**node, "columns": project.documented_columns(unique_id)}
        yield {
            "environment_id": as_integer(run.get("environment_id")) or 0,
            **{name: value for name, value in node.items() if name != "group"},
            "group_name": node["group"],
            "version": None if node["version"] is None else str(node["version"]),
            "content_hash": _hash(content),
            "catalog_run_id": run["id"] if project.is_catalogued(unique_id) else None,
        }


def parent_rows(run: Run, project: Manifest) -> Iterator[Row]:
    """Yield a row for each edge of a project's lineage."""
    environment = as_integer(run.get("environment_id")) or 0
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


def freshness_rows(run: Run, step: RunStep, sources: Results[FreshnessResult]) -> Iterator[Row]:
    """Yield a row for each source whose freshness a step checked.

    Args:
        run: The run.
        step: The step.
        sources: Its `sources.json`.
    """
    for result in sources.results:
        yield {
            "run_id": run["id"],
            "step_index": step.get("index") or 0,
            "unique_id": result.unique_id,
            # capitalized by dbt Fusion
            "status": result.status.lower(),
            "message": as_text(result.error),
            "max_loaded_at": as_datetime(result.max_loaded_at),
            "snapshotted_at": as_datetime(result.snapshotted_at),
            "age_seconds": result.max_loaded_at_time_ago_in_s,
            "criteria": as_plain(result.criteria) or None,
            "execution_time": result.execution_time,
        }


def load_rows(
    runs: Sequence[Run], known: KnownLoad | None, stored: StoredTables | None = None
) -> list[Row]:
    """Return the rows of the loads that triggered runs.

    A retry has the loads of the run that it retries.

    Args:
        runs: The runs, with their triggers.
        known: The details of a load that may be among them.
        stored: The tables in the destination, which have the loads of other retried runs.
    """
    rows = {id_of(run): [*_own_rows(run, known)] for run in runs}
    unknown = (run for run in runs if not any(row["tables"] for row in rows[id_of(run)]))
    retries = {id_of(run): before for run in unknown if (before := retried_run(run))}
    # the tables of an earlier load are known to the destination only
    lacking = {
        each for each in retries.values() if not any(row["tables"] for row in rows.get(each, ()))
    }
    for run_id, found in _stored_rows(lacking, stored).items():
        rows[run_id] = found or rows.get(run_id, [])
    # in the order of ids, a retry follows the run that it retries
    for run_id, before in sorted(retries.items()):
        key = next((row["key"] for row in rows[run_id]), None)
        inherited = [{**row, "run_id": run_id, "key": key} for row in rows[before]]
        rows[run_id] = inherited or rows[run_id]
    return [row for run in runs for row in rows[id_of(run)]]


def _own_rows(run: Run, known: KnownLoad | None) -> Iterator[Row]:
    bound = bound_load(run)
    is_known = known and bound and bound[:2] == (known.pipeline_name, known.load_id)
    if bound and not is_known:
        yield {"run_id": run["id"], **bound._asdict(), "dataset_name": None, "tables": None}
    if known and (is_known or known.adopted_run_id == run["id"]):
        yield from _known_rows(run, known, bound.key if bound and is_known else None)


def _known_rows(run: Run, known: KnownLoad, key: str | None) -> Iterator[Row]:
    for load_id, tables in {known.load_id: None, **known.tables}.items():
        yield {
            "run_id": run["id"],
            "pipeline_name": known.pipeline_name,
            "load_id": load_id,
            "key": key,
            "dataset_name": known.dataset_name,
            "tables": None if tables is None else dict(tables),
        }


def _stored_rows(run_ids: Collection[int], stored: StoredTables | None) -> dict[int, list[Row]]:
    """Return the rows of runs from the destination."""
    rows: dict[int, list[Row]] = {run_id: [] for run_id in run_ids}
    names = [*TABLES["dbt_run_loads"]]
    found = stored.rows("dbt_run_loads", names, {"run_id": run_ids}) if stored and run_ids else ()
    for values in found:
        row = dict(zip(names, values, strict=True))
        rows[row["run_id"]].append({**row, "tables": from_json(row["tables"])})
    return rows


def _commands(value: object) -> list[str] | None:
    return [str(command) for command in value] if isinstance(value, list) else None


def _typed(table: str, row: Row) -> Row:
    """Return a row with values of its columns' types or None."""
    return {
        name: read(value) if (read := _CONVERTERS.get(TABLES[table][name]["data_type"])) else value
        for name, value in row.items()
    }


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumpb(content, sort_keys=True)).hexdigest()[:_HASH_DIGITS]


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(part, redact) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted(part, redact) for part in value]
    return redact(value) if isinstance(value, str) else value
