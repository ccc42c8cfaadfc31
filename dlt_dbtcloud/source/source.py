"""The dlt source of what dbt did: runs, steps, nodes and lineage as tables beside the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import dlt
from dlt.common.schema.utils import has_table_seen_data
from dlt.extract import DltResource, DltSource

from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
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
from dlt_dbtcloud.source.destination import active_pipeline, is_append_only
from dlt_dbtcloud.source.extract import Extraction, Rows
from dlt_dbtcloud.source.incremental import (
    LISTED,
    Bookmarks,
    NewRun,
    finished_runs,
    not_stored,
    one_run,
)
from dlt_dbtcloud.source.rows import KnownLoad
from dlt_dbtcloud.source.schema import KEYS, TABLES, Row
from dlt_dbtcloud.values import as_datetime

__all__ = ["dbt_cloud_results", "results_source"]


def dbt_cloud_results(
    run_id: int | str | None = None,
    job_id: int | str | None = None,
    *,
    start_date: str | date | None = None,
    pipeline: dlt.Pipeline | None = None,
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
) -> DltSource:
    """Load what dbt did: one run, or each that has finished since the last time.

    The source has a schema of its own, so that it goes through the pipeline that loads the data,
    into the same dataset. Its resources, each of which can be loaded by itself:

    - `dbt_runs`, `dbt_run_steps`: runs and their steps
    - `dbt_node_results`: what each node did in each step of a run, retried runs not included
    - `dbt_nodes`, `dbt_node_parents`: nodes and lineage; not once per run, but one row for each
      content of a node in an environment, with the first and the last run that had it
    - `dbt_source_freshness`: how old sources were
    - `dbt_run_loads`: the dlt loads that runs were triggered for; `load_id` joins `_dlt_loads`

    What has a structure of its own, such as tags, meta and columns, is JSON in a column: a node
    stays one row, and each warehouse has functions to look into it. Of a run in progress just its
    own row is loaded; loaded again when it is over, the rest follows.

    Runs are listed with one request for each hundred of them. Of each run that is new, one
    `run_results.json` is read for every step that executes nodes, one manifest, a catalog where the
    run generated docs, and one `sources.json` for every step that checks freshness: two requests
    for a run of one step. What no table that is loaded takes is not asked for.

    What a run does not have, or has in an unknown form, is said in one warning. An outage that is
    longer than a minute is an error, and the next load begins where this one did; where the API
    answers that there were too many requests, and when to come again, that is waited for, up to
    five and a half minutes more. One run that cannot be read is no outage where others can be, or
    where it is the only one and dbt Cloud still answers for the run itself, which is asked for once
    more: the rest is loaded, and the next five loads try to read it again. Two of them, and none
    that can be read, are an outage. What needs no artifacts can be loaded meanwhile:
    `.with_resources("dbt_runs", "dbt_run_loads")`.

    Loading a run again changes no row count. Where the destination cannot merge, as with plain
    files, that is because rows that are there are left out, and runs in progress, too; there a run
    whose nodes or lineage differ from those of the run before has all of them written again, so
    that everywhere the newest `last_run_id` of an environment tells what it has now. Load one
    source after the other, not two at a time, where they share nodes: each has to see what the
    others have stored.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Runs

    Args:
        run_id: The run. Without it, all runs of the job, or of the account where there is no job
            either, that have finished since these tables were loaded last. A skipped run has no id:
            look at `run["id"]` first, as None means all of them.
        job_id: The job; it does not count where there is a run.
        start_date: From when on the first load of a job or account takes the runs that finished;
            by default it takes all. A time without a zone is in UTC. It does not count where a
            `run_id` is passed.
        pipeline: The pipeline that the runs were triggered for, by default the active one: with it
            `dbt_run_loads` tells dataset and tables of its last load.
        credentials: As for `run_dbt_cloud_job`; config is read when this is called.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        ValueError: `start_date` is not a date.
        DBTCloudNotFoundError: On extraction: there is no such run or job; dlt raises its own error
            from that, and from the other errors of the API.
    """
    config = _config(credentials=credentials, run_id=run_id, job_id=job_id)
    # a job or a date that is passed wins over a run that is configured
    is_one = run_id is not None or (job_id is None and start_date is None)
    if run_id is not None:
        resolved_config(config, "run_id")
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
    """Return the source for a config that is resolved.

    Args:
        config: The account, and the job where there is no run.
        run_id: The run.
        start: From when on a first load takes runs.
        known: What is known of a load that a run may be bound to.
        clock: A clock, injectable for tests.
    """

    def runs() -> Iterator[Extraction]:
        # the source may have been made before the data failed to load
        pipeline = active_pipeline()
        if pipeline:
            note_failure(pipeline)
        with connect(config, clock) as client:
            tables = [name for name in dlt.current.source().selected_resources if name in TABLES]
            bookmarks = None if run_id else _bookmarks(config, tables, start)
            news = (
                finished_runs(client, config.job_id, bookmarks)
                if bookmarks
                else one_run(client, str(run_id), tables)
            )
        append_only = [*filter(is_append_only, tables)]
        yield Extraction(
            client,
            not_stored(news, append_only) if append_only else news,
            bookmarks=bookmarks,
            known=known,
        )

    return _source(runs)


@dlt.source(name=RESULTS_SCHEMA)
def _source(runs: Callable[[], Iterator[Extraction]]) -> Iterator[DltResource]:
    extraction = dlt.resource(runs, name="runs_of_dbt_cloud")
    artifacts = dlt.transformer(_read, name="artifacts_of_dbt_cloud").add_map(_ended)
    rows = extraction | artifacts
    for table in TABLES:
        is_listed = table in LISTED
        made = dlt.transformer(
            _listed(table) if is_listed else _taken(table),
            name=table,
            write_disposition="merge",
            primary_key=KEYS[table],
            columns=TABLES[table],
        )
        made.apply_hints(additional_table_hints={RESULTS_HINT: True})
        yield (extraction if is_listed else rows) | made


def _read(extraction: Extraction) -> Iterator[Any]:
    """Yield the rows of each run, read by the extract workers."""
    for new in extraction.news:
        yield _read_run(extraction, new)
    if not extraction.news:
        yield extraction, {}


@dlt.defer
def _read_run(extraction: Extraction, new: NewRun) -> tuple[Extraction, Rows]:
    return extraction, extraction.read(new)


def _ended(read: tuple[Extraction, Rows]) -> tuple[Extraction, Rows]:
    extraction, rows = read
    return extraction, extraction.end(rows)


def _listed(table: str) -> Callable[[Extraction], Any]:
    def listed(extraction: Extraction) -> Any:
        return _or_schema(table, extraction.listed(table))

    return listed


def _taken(table: str) -> Callable[[tuple[Extraction, Rows]], Any]:
    def taken(read: tuple[Extraction, Rows]) -> Any:
        extraction, rows = read
        found = extraction.taken(table, rows)
        return None if found is None else _or_schema(table, found)

    return taken


def _or_schema(table: str, rows: list[Row]) -> Any:
    """Return rows, or what makes dlt create a table that has none yet."""
    if rows:
        return rows
    schema = dlt.current.source_schema()
    is_there = table in schema.tables and has_table_seen_data(schema.tables[table])
    return None if is_there else dlt.mark.materialize_table_schema()


def _bookmarks(
    config: DBTCloudConfiguration, tables: list[str], start: datetime | None
) -> Bookmarks:
    whose = f"job {config.job_id}" if config.job_id else f"account {config.account_id}"
    # in the resources' state, which a refresh of these tables resets
    states = {table: dlt.current.resource_state(table).setdefault(whose, {}) for table in tables}
    return Bookmarks(states, start)


def _start(said: str | date | None) -> datetime | None:
    if said is None:
        return None
    text = said.isoformat() if isinstance(said, date) else said
    start = as_datetime(text.strip()) if isinstance(text, str) else None
    if start is None:
        raise ValueError(f"`start_date={said!r}` is not a date: give one like `2026-01-31`.")
    return start


def _known_load(pipeline: dlt.Pipeline | None) -> KnownLoad | None:
    """Return the last load of a pipeline, before another one takes its place."""
    if pipeline:
        note_failure(pipeline)
    # a load that failed is not one that a run was triggered for
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
