"""The dlt source of dbt Cloud run results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import dlt
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.exceptions import DltException
from dlt.common.schema.utils import has_table_seen_data
from dlt.extract import DltResource, DltSource

from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    find_job_id,
    refuse_placeholders,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.loads import (
    RESULTS_HINT,
    RESULTS_SCHEMA,
    last_load,
    note_failure,
    tables_by_load,
)
from dlt_dbtcloud.source.arrow import ArrowStep
from dlt_dbtcloud.source.destination import StoredTables, active_pipeline
from dlt_dbtcloud.source.extract import Extraction, Rows
from dlt_dbtcloud.source.incremental import (
    Bookmarks,
    finished_runs,
    one_run,
    without_stored,
)
from dlt_dbtcloud.source.rows import KnownLoad
from dlt_dbtcloud.source.schema import DLT_COLUMNS, KEYS, TABLES
from dlt_dbtcloud.values import as_datetime

__all__ = ["dbt_cloud_results", "results_source"]


def dbt_cloud_results(
    run_id: int | str | None = None,
    job_id: int | str | None = None,
    *,
    start_date: str | date | None = None,
    pipeline: dlt.Pipeline | None = None,
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    connection: str | None = None,
) -> DltSource:
    """Return a dlt source of the results of dbt Cloud runs.

    The tables go beside the data, with a dlt schema of their own: `dbt_runs`, `dbt_run_steps`,
    `dbt_node_results`, `dbt_nodes`, `dbt_node_parents`, `dbt_source_freshness` and `dbt_run_loads`.
    Each is a resource that can be loaded alone, and requests only the artifacts that it needs.
    docs/results.md describes the tables, their columns, their cost and outages.

    Loading a run again changes no row count. Do not load two sources at the same time if they share
    nodes, as each reads what the other stored.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Runs

    Args:
        run_id: The run. Without it, all runs of the job, or of the account if there is no job, that
            have finished since the last load. A skipped run has no id: check `run["id"]` before you
            pass it, as None means all runs.
        job_id: The job, by default that of the configured `job_name`; ignored if there is a run.
        start_date: The day or time from which the first load of a job or account takes finished
            runs, in UTC if it has no zone; by default, it takes all. Ignored with a `run_id`.
        pipeline: The pipeline that triggered the runs, by default the active one. `dbt_run_loads`
            has the dataset and the tables of its last load.
        credentials: As for `run_dbt_cloud_job`; config is resolved when this is called.
        connection: As for `run_dbt_cloud_job`.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ValueError: `start_date` is not a date.
        DBTCloudNotFoundError: During the extraction, if the run or job does not exist. dlt chains
            its own error to this and the API's other errors.
    """
    try:
        config = _config(
            credentials=credentials, run_id=run_id, job_id=job_id, connection=connection
        )
    except (DltException, TypeError, ValueError):
        # a traceback that shows variables would show the caller's token
        del credentials, run_id, job_id, connection
        raise
    # a job or date from the caller wins over a configured run
    is_one = run_id is not None or (job_id is None and start_date is None)
    if run_id is not None:
        resolved_config(config, "run_id")
    elif not (is_one and config.run_id):
        job_names = [] if config.job_id else ["job_name"]
        refuse_placeholders(config, *(["run_id"] if is_one else []), "job_id", *job_names)
    return results_source(
        config,
        run_id=config.run_id if is_one else None,
        start=_start(start_date),
        known=_known_load(pipeline or active_pipeline()),
    )


@with_dbt_cloud_config
def _config(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    job_id: int | str | None = None,
    connection: str | None = None,
) -> DBTCloudConfiguration:
    return resolved_config(credentials, "account_id")


def results_source(
    config: DBTCloudConfiguration,
    *,
    run_id: int | str | None = None,
    start: datetime | None = None,
    known: KnownLoad | None = None,
    clock: Clock = time,
) -> DltSource:
    """Return the source for a resolved config.

    Args:
        config: The account, and the job if there is no run.
        run_id: The run.
        start: The time from which a first load takes runs.
        known: The last load of the pipeline, which a run may be bound to.
        clock: A clock, injectable for tests.
    """

    def rows() -> Iterator[Any]:
        pipeline = active_pipeline()
        if pipeline:
            # the source may have been made before the data failed to load
            note_failure(pipeline)
        tables = [name for name in dlt.current.source().selected_resources if name in TABLES]
        with connect(config, clock) as client:
            job_id = None if run_id else find_job_id(client.patient(), config)
            bookmarks = None if run_id else _bookmarks(config, job_id, tables, start)
            runs = (
                finished_runs(client, job_id, bookmarks)
                if bookmarks
                else one_run(client, str(run_id), tables)
            )
            stored = StoredTables()
            runs = without_stored(runs, tables, stored)
            extraction = Extraction(client, runs, bookmarks=bookmarks, known=known, stored=stored)
            yield from extraction.rows(tables)

    return _source(rows)


@dlt.source(name=RESULTS_SCHEMA, spec=BaseConfiguration)
def _source(rows: Callable[[], Iterator[Any]]) -> Iterator[DltResource]:
    # they read no config, which dlt would otherwise look for in their signatures
    every_row = dlt.resource(rows, name="runs_of_dbt_cloud", spec=BaseConfiguration)
    for table in TABLES:
        resource = dlt.transformer(
            _rows_of(table),
            data_from=every_row,
            name=table,
            write_disposition="merge",
            primary_key=KEYS[table],
            columns={**TABLES[table], **DLT_COLUMNS},
            spec=BaseConfiguration,
        )
        resource.add_step(ArrowStep(table))
        resource.apply_hints(additional_table_hints={RESULTS_HINT: True})
        yield resource


def _rows_of(table: str) -> Callable[[Rows], Any]:
    """Return a transformer that selects the rows of a table."""

    def select(rows: Rows) -> Any:
        found = rows.get(table)
        return _new_table(table) if found == [] else found

    return select


def _new_table(table: str) -> Any:
    """Return the item that makes dlt create an empty table, or None if it exists."""
    schema = dlt.current.source_schema()
    exists = table in schema.tables and has_table_seen_data(schema.tables[table])
    return None if exists else dlt.mark.materialize_table_schema()


def _bookmarks(
    config: DBTCloudConfiguration, job_id: str | None, tables: list[str], start: datetime | None
) -> Bookmarks:
    scope = f"job {job_id}" if job_id else f"account {config.account_id}"
    # dlt resets the state of a resource with its table
    states = {table: dlt.current.resource_state(table).setdefault(scope, {}) for table in tables}
    return Bookmarks(states, start)


def _start(start_date: str | date | None) -> datetime | None:
    if start_date is None:
        return None
    text = start_date.isoformat() if isinstance(start_date, date) else start_date
    start = as_datetime(text.strip()) if isinstance(text, str) else None
    if start is None:
        raise ValueError(f"`start_date={start_date!r}` is not a date like `2026-01-31`.")
    return start


def _known_load(pipeline: dlt.Pipeline | None) -> KnownLoad | None:
    """Return the last load of a pipeline, before the load of results replaces it."""
    if pipeline:
        note_failure(pipeline)
    # no run was triggered for a failed load
    with suppress(DBTCloudException):
        load = last_load(pipeline) if pipeline else None
        if pipeline and load:
            return KnownLoad(
                load.pipeline_name,
                load.load_id,
                pipeline.dataset_name,
                tables_by_load(pipeline),
                load.adopted_run(),
            )
    return None
