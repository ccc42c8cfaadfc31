"""Which runs an extraction loads, and to which tables each of them is new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, cast

from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.manifest import as_mapping
from dlt_dbtcloud.typing import Run, RunStatus, RunStep

__all__ = ["RELATED", "NewRun", "finished_runs", "lean", "one_run"]

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
    client: DBTCloudClientV2, job_id: str | None, bookmarks: Bookmarks
) -> list[NewRun]:
    """Return the finished runs that are new to a table, and remember them.

    Args:
        client: What lists them.
        job_id: Whose runs; without it all of the account's.
        bookmarks: Tells which are new.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    # a range needs an end, and clocks differ
    until = datetime.now(timezone.utc) + timedelta(days=1)
    listed = client.list_runs(
        job_definition_id=job_id,
        finished_at__range=[bookmarks.since.isoformat(), until.isoformat()],
        order_by="finished_at",
        include_related=RELATED,
    )
    runs = {run["id"]: lean(run) for run in listed if is_over(run)}
    news = [NewRun(run, tables) for run in runs.values() if (tables := bookmarks.news(run))]
    bookmarks.remember(new.run for new in news)
    return news


def lean(run: Run) -> Run:
    """Return a run without what no table takes, and that is most of it: logs, the whole job."""
    job = {"name": as_mapping(run.get("job")).get("name")}
    steps = [_lean_step(step) for step in run.get("run_steps") or []]
    return cast(Run, {**run, "job": job, "run_steps": steps})


def _lean_step(step: RunStep) -> RunStep:
    has_failed = step.get("status") == RunStatus.ERROR
    dropped = {"debug_logs", "truncated_debug_logs", *([] if has_failed else ["logs"])}
    return cast(RunStep, {name: value for name, value in step.items() if name not in dropped})
