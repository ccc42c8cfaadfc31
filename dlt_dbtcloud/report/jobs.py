"""The runs of a job over time, read through the API or from the tables of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import step_results
from dlt_dbtcloud.cause import bound_load, retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.loads import RESULTS_SCHEMA
from dlt_dbtcloud.payloads import has_finished, id_of, time_of
from dlt_dbtcloud.report.trend import Kind, NodeTime, SourceAge, Trend, TrendRun
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import as_integer, as_mapping, as_number, as_seconds, as_text

__all__ = ["read_trend", "stored_trend"]


_DAY = 86_400.0
# runs that are listed, and of which the results are read
_MAX_RUNS, _MAX_READ = 1_000, 60
# runs that cannot be read, after which the others are not tried
_MAX_OUTAGES = 3
# rows of results
_MAX_ROWS = 500_000
_RUN_COLUMNS = (
    *("run_id", "job_name", "status_humanized", "created_at", "run_seconds", "href"),
    *("steps_override", "cause", "retried_run_id"),
)
_NODE_COLUMNS = ("run_id", "unique_id", "name", "resource_type", "status", "execution_time")
_SOURCE_COLUMNS = ("run_id", "unique_id", "status", "age_seconds")


def read_trend(client: DBTCloudClientV2, job_id: int, days: int) -> Trend:
    """Return the runs of a job in the last days, read through the API.

    It takes a request for each 100 runs, and for each of the newest runs one for itself and one for
    the results of each step. What cannot be read is left out, and named in `problems`.

    Args:
        client: The client.
        job_id: The job.
        days: The number of days.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    patient = client.patient(OUTAGE, cool_down=COOL_DOWN)
    job = patient.get_job(job_id)
    made_at = client.clock.time()
    payloads = [*_listed(patient, job_id, made_at - days * _DAY)]
    finished = [run for run in payloads if has_finished(run)]
    problems = Problems(None)
    nodes, sources = _all_results(client, finished[:_MAX_READ], problems)
    if len(finished) > _MAX_READ:
        problems.note(
            f"the results of {len(finished) - _MAX_READ} earlier runs; load them with "
            "`dbt_cloud_results`, and name the pipeline"
        )
    return Trend(
        job_id,
        days,
        made_at,
        "dbt Cloud's API",
        as_text(job.get("name")),
        tuple(map(_run, reversed(payloads))),
        tuple(nodes),
        tuple(sources),
        problems.found,
    )


def stored_trend(pipeline: dlt.Pipeline, job_id: int, days: int, now: float) -> Trend | None:
    """Return the last runs of a job from the tables that `dbt_cloud_results` loaded.

    Args:
        pipeline: The pipeline that has loaded them.
        job_id: The job.
        days: The number of days.
        now: The current time, in seconds since 1970.

    Returns:
        The runs, or None if the destination has none of the job.

    Raises:
        DltException: The destination cannot be queried.
    """
    first = now - days * _DAY
    rows = _rows(pipeline, "dbt_runs", _RUN_COLUMNS, ("job_definition_id", f"= {int(job_id)}"))
    if not rows:
        return None
    runs = [run for row in rows if (run := _stored_run(row)) and run.created_at >= first]
    runs.sort(key=lambda run: run.id)
    ids = {run.id for run in runs}
    # ids rise with time, so that a bound is enough for the database
    since = "run_id", f">= {min(ids, default=0)}"
    nodes = _rows(pipeline, "dbt_node_results", _NODE_COLUMNS, since)
    sources = _rows(pipeline, "dbt_source_freshness", _SOURCE_COLUMNS, since)
    return Trend(
        int(job_id),
        days,
        now,
        f"dataset {pipeline.dataset_name} of pipeline {pipeline.pipeline_name}",
        next((name for row in rows if (name := as_text(row[1]))), None),
        tuple(runs[-_MAX_RUNS:]),
        tuple(node for row in nodes if (node := _stored_node(row)) and node.run in ids),
        tuple(age for row in sources if (age := _stored_age(row)) and age.run in ids),
    )


def _listed(client: DBTCloudClientV2, job_id: int, first: float) -> Iterator[Run]:
    """Yield the runs of a job since a time, newest first."""
    listed = client.list_runs(
        job_definition_id=job_id, order_by="-id", include_related=["trigger"], limit=100
    )
    for count, run in enumerate(listed):
        created = time_of(run, "created_at")
        if count == _MAX_RUNS or (created is not None and created < first):
            return
        yield run


def _run(run: Run) -> TrendRun:
    trigger = as_mapping(run.get("trigger"))
    return TrendRun(
        id=id_of(run),
        status=run.get("status_humanized") or "",
        created_at=time_of(run, "created_at") or 0.0,
        seconds=as_seconds(run.get("run_duration")),
        url=run.get("href"),
        kind=_kind(run, trigger.get("steps_override"), retried_run(run)),
    )


def _kind(run: Run, steps: object, retried: object) -> Kind:
    """Return which part of its job a run executed.

    Args:
        run: The run, with its cause.
        steps: The commands that replaced those of the job: a list or its JSON.
        retried: The run that it retries, if any.
    """
    listed = steps if isinstance(steps, list) else ()
    commands = steps if isinstance(steps, str) else " ".join(map(str, listed))
    if retried is not None:
        return "other"
    if commands in ("", "null", "[]"):
        return "whole"
    return "narrowed" if "source:" in commands and bound_load(run) else "other"


def _all_results(
    client: DBTCloudClientV2, runs: Sequence[Run], problems: Problems
) -> tuple[list[NodeTime], list[SourceAge]]:
    """Return the executions and source ages of runs; note their problems."""
    patient = client.patient(OUTAGE, cool_down=COOL_DOWN)
    nodes: list[NodeTime] = []
    sources: list[SourceAge] = []
    outages = 0
    for position, run in enumerate(runs):
        try:
            of_run, ages = _results(patient, run, problems)
        except DBTCloudException as error:
            problems.note(f"the results of run {id_of(run)} cannot be read ({error})")
            outages += 1
            if outages == _MAX_OUTAGES:
                problems.note(f"{len(runs) - position - 1} earlier runs are not tried, either")
                break
            # only the first outage is waited out
            patient = client.patient(0)
            continue
        nodes += of_run
        sources += ages
    return nodes, sources


def _results(
    client: DBTCloudClientV2, run: Run, problems: Problems
) -> tuple[list[NodeTime], list[SourceAge]]:
    """Return the executions and source ages of a run; note its problems."""
    reader = RunReader(client, Run(id=id_of(run)))
    nodes = [
        NodeTime(
            id_of(run),
            result["unique_id"],
            result["name"],
            result["resource_type"],
            result["status"],
            result["execution_time"],
        )
        for step, found in reader.read_results()
        for result in step_results(id_of(run), step, found, Manifest())
    ]
    sources = [
        SourceAge(id_of(run), each.unique_id, each.status, each.max_loaded_at_time_ago_in_s)
        for _, found in reader.read_freshness()
        for each in found.results
    ]
    # a run that failed may have no results
    if reader.problems.found and (nodes or run.get("is_success")):
        missing = "; ".join(reader.problems.found)
        problems.note(f"run {id_of(run)} is not read completely: {missing}")
    return nodes, sources


def _rows(
    pipeline: dlt.Pipeline, table: str, columns: Sequence[str], condition: tuple[str, str]
) -> list[tuple[Any, ...]]:
    """Return rows of a table in dlt's dataset, newest runs first.

    Args:
        pipeline: The pipeline that has loaded it.
        table: The table.
        columns: The columns to read.
        condition: A column, and the rest of the condition.
    """
    schemas = [pipeline.schemas[name] for name in pipeline.schema_names]
    known = [each for each in schemas if each.naming.normalize_tables_path(table) in each.tables]
    known.sort(key=lambda schema: schema.name != RESULTS_SCHEMA)
    if not known:
        return []
    schema = known[0]
    with pipeline.sql_client(schema.name) as client:

        def quoted(column: str) -> str:
            return client.escape_column_name(schema.naming.normalize_identifier(column))

        name = schema.naming.normalize_tables_path(table)
        stored = schema.tables[name]["columns"]
        # an older version may not have loaded all
        read = [
            quoted(each) if schema.naming.normalize_identifier(each) in stored else "NULL"
            for each in columns
        ]
        place = client.make_qualified_table_name(name)
        query = f"SELECT {', '.join(read)} FROM {place} "  # noqa: S608, names are escaped
        query += f"WHERE {quoted(condition[0])} {condition[1]} ORDER BY {quoted('run_id')} DESC"
        try:
            with client.execute_query(query) as cursor:
                return [tuple(row) for row in cursor.fetchmany(_MAX_ROWS)]
        except DestinationUndefinedEntity:
            return []


def _stored_run(row: Sequence[Any]) -> TrendRun | None:
    run_id, _, status, created, seconds, url, steps, cause, retried = row
    number = _integer(run_id)
    if number is None or not isinstance(created, datetime):
        return None
    moment = created if created.tzinfo else created.replace(tzinfo=timezone.utc)
    run = Run(id=number, trigger={"cause": as_text(cause) or ""})
    return TrendRun(
        id=number,
        status=as_text(status) or "",
        created_at=moment.timestamp(),
        seconds=_number(seconds),
        url=as_text(url),
        kind=_kind(run, steps, retried),
    )


def _stored_node(row: Sequence[Any]) -> NodeTime | None:
    run, (key, name, kind, status), seconds = _integer(row[0]), map(as_text, row[1:5]), row[5]
    if run is None or not key:
        return None
    return NodeTime(run, key, name or key, kind or "", status or "", _number(seconds) or 0.0)


def _stored_age(row: Sequence[Any]) -> SourceAge | None:
    run, (key, status), age = _integer(row[0]), map(as_text, row[1:3]), row[3]
    return None if run is None or not key else SourceAge(run, key, status or "", _number(age))


def _number(value: object) -> float | None:
    """Return a number of a destination, which may be a decimal."""
    return as_number(float(value)) if isinstance(value, Decimal) else as_number(value)


def _integer(value: object) -> int | None:
    return as_integer(_number(value))
