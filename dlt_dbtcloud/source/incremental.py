"""Which runs an extraction loads, and to which tables each of them is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudAuthError
from dlt_dbtcloud.payloads import RELATED, has_finished, lean_run
from dlt_dbtcloud.source.destination import stored
from dlt_dbtcloud.source.schema import KEYS
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import as_datetime

__all__ = ["LISTED", "Bookmarks", "NewRun", "finished_runs", "not_stored", "one_run"]


# a run may be listed as finished a while after the time at which it says it has finished
_OVERLAP = timedelta(minutes=10)
_BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ATTEMPTS = 5


class Bookmarks:
    """Tells which finished runs are new to which tables, and remembers them.

    Of each table it keeps when the newest run ended, and the ids of the runs of the ten minutes
    before that, which tells runs of one second apart and finds those that were listed late. It also
    keeps the ids of runs that could not be read, for another five loads, and the start of a first
    load that found no run.

    Args:
        states: Where that is kept of each table: parts of the state of dlt's resources.
        start: From when on runs count for a table that has no bookmark yet.
    """

    def __init__(
        self, states: Mapping[str, MutableMapping[str, Any]], start: datetime | None = None
    ) -> None:
        self._states = states
        self._start = start

    @property
    def since(self) -> datetime:
        """Return from when on there may be finished runs that are new to a table."""
        return min(map(self._since, self._states), default=self._start or _BEGINNING)

    @property
    def are_new(self) -> bool:
        """Return whether nothing has been remembered yet."""
        return not any(self._states.values())

    @property
    def unread(self) -> dict[str, frozenset[str]]:
        """Return which runs could not be read, though they are remembered, and for which tables."""
        found: dict[str, set[str]] = {}
        for table, state in self._states.items():
            for run_id in state.get("unread", ()):
                found.setdefault(run_id, set()).add(table)
        return {run_id: frozenset(tables) for run_id, tables in found.items()}

    def is_given_up(self, run_id: int) -> bool:
        """Tell whether a run is not read again, if it cannot be read this time either."""
        states = self._states.values()
        return any(state.get("unread", {}).get(str(run_id), 0) >= _ATTEMPTS for state in states)

    def news(self, run: Run) -> frozenset[str]:
        """Return the tables to which a finished run is new, or which could not read it."""
        finished = as_datetime(run.get("finished_at"))
        if finished is None:
            return frozenset()
        run_id = str(run["id"])
        return frozenset(
            table
            for table, state in self._states.items()
            if run_id in state.get("unread", ())
            or (finished >= self._since(table) and run_id not in state.get("recent", ()))
        )

    def remember(
        self, table: str, runs: Iterable[Run], unread: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        """Remember finished runs as loaded to a table.

        Args:
            table: The table.
            runs: The runs.
            unread: The ids of those of them that could not be read, and the tables that lack them.
        """
        state = self._states[table]
        self._remember_unread(
            state, [run_id for run_id, tables in (unread or {}).items() if table in tables]
        )
        ends = {
            str(run["id"]): time.isoformat(timespec="microseconds")
            for run in runs
            if (time := as_datetime(run.get("finished_at")))
        }
        if not ends:
            if self._start and "finished_at" not in state:
                state["start"] = self._start.isoformat()
            return
        known = state.get("recent", {}) | ends
        newest = max([*known.values(), state.get("finished_at", "")])
        # times that are written alike compare as texts
        oldest = (datetime.fromisoformat(newest) - _OVERLAP).isoformat(timespec="microseconds")
        state["finished_at"] = newest
        state["recent"] = {run_id: time for run_id, time in known.items() if time >= oldest}

    @staticmethod
    def _remember_unread(state: MutableMapping[str, Any], run_ids: Iterable[str]) -> None:
        before = state.pop("unread", {})
        attempts = {run_id: before.get(run_id, 0) + 1 for run_id in run_ids}
        unread = {run_id: number for run_id, number in attempts.items() if number <= _ATTEMPTS}
        if unread:
            state["unread"] = unread

    def _since(self, table: str) -> datetime:
        newest = as_datetime(self._states[table].get("finished_at"))
        if newest:
            return newest - _OVERLAP
        return self._start or as_datetime(self._states[table].get("start")) or _BEGINNING


# the tables that are made from the list of runs; the others from what each run left
LISTED = ("dbt_runs", "dbt_run_loads")


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
    return [NewRun(lean_run(client.get_run_status(run_id, RELATED)), frozenset(tables))]


def finished_runs(
    client: DBTCloudClientV2, job_id: int | str | None, bookmarks: Bookmarks
) -> list[NewRun]:
    """Return the finished runs that are new to a table.

    Those that could not be read before come last.

    Args:
        client: What lists them.
        job_id: Whose runs; without it all of the account's.
        bookmarks: Tells which are new.

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
    until = datetime.fromtimestamp(client.clock.time(), timezone.utc) + timedelta(days=1)
    listed = client.list_runs(
        job_definition_id=job_id,
        finished_at__range=[bookmarks.since.isoformat(), until.isoformat()],
        order_by="finished_at",
        include_related=RELATED,
    )
    runs = {str(run["id"]): lean_run(run) for run in listed if has_finished(run)}
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
                if table not in told or (has_finished(new.run) and new.run["id"] not in told[table])
            ),
        )
        for new in news
    ]


def _again(run_id: str, tables: frozenset[str]) -> NewRun:
    """Return a run that could not be read before; who reads its artifacts asks for the run, too."""
    return NewRun(Run(id=int(run_id), is_complete=True), tables)
