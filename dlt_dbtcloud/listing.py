"""Which runs an extraction loads, and to which tables each of them is new."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, cast

from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.columns import KEYS
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.exceptions import DBTCloudAuthError
from dlt_dbtcloud.guards import as_mapping, dicts, integer, text
from dlt_dbtcloud.stored import stored
from dlt_dbtcloud.typing import Run, RunStatus, RunStep

__all__ = ["LISTED", "RELATED", "NewRun", "finished_runs", "lean", "not_stored", "one_run"]

# of a failed step; more than a table takes, so that no secret is cut in two
_LOG_LINES = 500
_LOGS = ("logs", "debug_logs", "truncated_debug_logs")
_STEP_TYPES = {"index": integer, "name": text, "status": integer}
# the tables that are made from the list of runs; the others from what each run left
LISTED = ("dbt_runs", "dbt_run_loads")
RELATED = ("trigger", "job", "run_steps", "audit")


class NewRun(NamedTuple):
    """A run, and the tables to which it is new."""

    run: Run
    tables: frozenset[str]


def one_run(client: DBTCloudClientV2, run_id: str, tables: Iterable[str]) -> list[NewRun]:
    """Return a run as it is now, new to all of the tables.

    Raises:
        DBTCloudNotFoundError: There is no such run.
        DBTCloudAPIError: The API answered with another error.
        DBTCloudTransportError: There was no answer.
    """
    return [NewRun(lean(client.get_run_status(run_id, RELATED)), frozenset(tables))]


def finished_runs(
    client: DBTCloudClientV2, job_id: str | None, bookmarks: Bookmarks, clock: Clock = time
) -> list[NewRun]:
    """Return the finished runs that are new to a table.

    Those that could not be read before come last.

    Args:
        client: What lists them.
        job_id: Whose runs; without it all of the account's.
        bookmarks: Tells which are new.
        clock: What the time is told by.

    Raises:
        DBTCloudNotFoundError: There is no such job.
        DBTCloudAPIError: The API answered with another error.
        DBTCloudTransportError: There was no answer.
    """
    if job_id and bookmarks.are_new:
        # the API lists no runs of a job that does not exist; not every token may read jobs
        with suppress(DBTCloudAuthError):
            client.get_job(job_id)
    # a range needs an end, and clocks differ
    until = datetime.fromtimestamp(clock.time(), timezone.utc) + timedelta(days=1)
    listed = client.list_runs(
        job_definition_id=job_id,
        finished_at__range=[bookmarks.since.isoformat(), until.isoformat()],
        order_by="finished_at",
        include_related=RELATED,
    )
    runs = {str(run["id"]): lean(run) for run in listed if is_over(run)}
    unread = bookmarks.unread
    news = [NewRun(run, tables) for run in runs.values() if (tables := bookmarks.news(run))]
    news.sort(key=lambda new: str(new.run["id"]) in unread)
    return [*news, *(_again(run_id, unread[run_id]) for run_id in unread if run_id not in runs)]


def not_stored(news: Iterable[NewRun], append_only: Iterable[str]) -> list[NewRun]:
    """Return the runs that still are new to a table, where nothing is taken out of some tables.

    A run in progress is not new to those: its row could not be replaced when it is over.

    Args:
        news: The runs.
        append_only: The tables that just grow.
    """
    told = {
        table: {run_id for (run_id,) in stored(table, ["run_id"])}
        for table in append_only
        if "run_id" in KEYS[table]
    }
    return [
        NewRun(
            new.run,
            frozenset(
                table
                for table in new.tables
                if table not in told or (is_over(new.run) and new.run["id"] not in told[table])
            ),
        )
        for new in news
    ]


def _again(run_id: str, tables: frozenset[str]) -> NewRun:
    """Return a run that could not be read before; who reads its artifacts asks for the run, too."""
    return NewRun(Run(id=int(run_id), is_complete=True), tables)


def lean(run: Run) -> Run:
    """Return a run without what no table takes, and that is most of it: logs, the whole job."""
    job = {"name": as_mapping(run.get("job")).get("name")}
    steps = [_lean_step(step) for step in dicts(run.get("run_steps")) if step]
    return cast(Run, {**run, "job": job, "run_steps": steps})


def _lean_step(step: dict[str, Any]) -> RunStep:
    kept = {name: value for name, value in step.items() if name not in _LOGS}
    typed = {name: read(step[name]) for name, read in _STEP_TYPES.items() if name in step}
    logs = {"logs": _end(step)} if step.get("status") == RunStatus.ERROR else {}
    return cast(RunStep, {**kept, **typed, **logs})


def _end(step: dict[str, Any]) -> str:
    """Return the end of a log as it is, for who cuts secrets out of it."""
    return "\n".join((text(step.get("logs")) or "").split("\n")[-_LOG_LINES:])
