"""Runs that are new to the result tables, and bookmarks of those already loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudAuthError
from dlt_dbtcloud.payloads import RELATED, has_finished, id_of, lean_run
from dlt_dbtcloud.source.destination import StoredTables
from dlt_dbtcloud.source.schema import KEYS
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import as_datetime

__all__ = ["Bookmarks", "NewRun", "finished_runs", "one_run", "without_stored"]


# a run may be listed as finished some minutes after its `finished_at`
_OVERLAP = timedelta(minutes=10)
_BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)
# further loads that try to read an unreadable run
_ATTEMPTS = 5


class NewRun(NamedTuple):
    """A run, with the tables that it is new to."""

    run: Run
    tables: frozenset[str]


class Bookmarks:
    """The finished runs that each table already has, kept in the state of dlt's resources.

    A table's bookmark contains:

    - `finished_at`: when the newest run finished
    - `recent`: the runs of the ten minutes before, as several runs finish in the same second, and
      some are listed late
    - `unread`: the runs that could not be read, with their number of attempts
    - `start`: the start of a first load that found no run

    Args:
        states: The bookmark of each table.
        start: The time from which a table without a bookmark takes runs.
    """

    def __init__(
        self, states: Mapping[str, MutableMapping[str, Any]], start: datetime | None = None
    ) -> None:
        self._states = states
        self._start = start

    @property
    def are_empty(self) -> bool:
        """Return whether no table has a bookmark."""
        return not any(self._states.values())

    @property
    def since(self) -> datetime:
        """Return the time from which runs may be new to a table."""
        return min(map(self._since, self._states), default=self._start or _BEGINNING)

    @property
    def unread(self) -> dict[str, frozenset[str]]:
        """Return the ids of unreadable runs, with the tables that lack them."""
        found: dict[str, set[str]] = {}
        for table, state in self._states.items():
            for run_id in state.get("unread", ()):
                found.setdefault(run_id, set()).add(table)
        return {run_id: frozenset(tables) for run_id, tables in found.items()}

    def is_last_attempt(self, run_id: int) -> bool:
        """Return whether no later load will read a run again if this one cannot."""
        states = self._states.values()
        return any(state.get("unread", {}).get(str(run_id), 0) >= _ATTEMPTS for state in states)

    def new_tables(self, run: Run) -> frozenset[str]:
        """Return the tables that lack a finished run."""
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
        self, runs: Iterable[Run], unread: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Remember finished runs as loaded.

        Args:
            runs: The runs.
            unread: The ids of those that could not be read, with the tables that lack them.
        """
        ends = {
            str(run["id"]): time.isoformat(timespec="microseconds")
            for run in runs
            if (time := as_datetime(run.get("finished_at")))
        }
        for table, state in self._states.items():
            lacking = [run_id for run_id, tables in (unread or {}).items() if table in tables]
            _remember_unread(state, lacking)
            if ends:
                _remember_ends(state, ends)
            elif self._start and "finished_at" not in state:
                state["start"] = self._start.isoformat()

    def _since(self, table: str) -> datetime:
        newest = as_datetime(self._states[table].get("finished_at"))
        if newest:
            return newest - _OVERLAP
        return self._start or as_datetime(self._states[table].get("start")) or _BEGINNING


def one_run(client: DBTCloudClientV2, run_id: str, tables: Iterable[str]) -> list[NewRun]:
    """Return a run in its present state, as new to all of the tables.

    Raises:
        DBTCloudNotFoundError: The run does not exist.
        DBTCloudAPIError: The API returned another error.
        DBTCloudTransportError: There was no response.
    """
    return [NewRun(lean_run(client.get_run_status(run_id, RELATED)), frozenset(tables))]


def finished_runs(
    client: DBTCloudClientV2, job_id: int | str | None, bookmarks: Bookmarks
) -> list[NewRun]:
    """Return the finished runs that a table lacks; unreadable runs come last.

    Args:
        client: The client.
        job_id: The job; without it, all jobs of the account.
        bookmarks: The bookmarks of the tables.

    Raises:
        DBTCloudNotFoundError: The job does not exist.
        DBTCloudAPIError: The API returned another error.
        DBTCloudTransportError: There was no response.
    """
    if job_id and bookmarks.are_empty:
        # the list of runs is empty if the job does not exist; not every token may read jobs
        with suppress(DBTCloudAuthError):
            client.get_job(job_id)
    # the API requires an end of the range, and clocks differ
    until = datetime.fromtimestamp(client.clock.time(), timezone.utc) + timedelta(days=1)
    listed = client.list_runs(
        job_definition_id=job_id,
        finished_at__range=[_naive(bookmarks.since), _naive(until)],
        order_by="finished_at",
        include_related=RELATED,
    )
    runs = {str(run["id"]): lean_run(run) for run in listed if has_finished(run)}
    unread = bookmarks.unread
    new = [NewRun(run, tables) for run in runs.values() if (tables := bookmarks.new_tables(run))]
    new.sort(key=lambda each: str(each.run["id"]) in unread)
    older = [run_id for run_id in unread if run_id not in runs]
    # the reader of a run without steps fetches it
    return new + [NewRun(Run(id=int(each), is_complete=True), unread[each]) for each in older]


def _naive(moment: datetime) -> str:
    """Format a time in UTC without an offset, which the API would misread."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()


def without_stored(runs: list[NewRun], tables: Iterable[str], stored: StoredTables) -> list[NewRun]:
    """Return runs without the append-only tables that already have them.

    Append-only tables do not take runs in progress, whose rows could not be replaced later.

    Args:
        runs: The runs.
        tables: The tables that are loaded.
        stored: The tables in the destination.
    """
    lacking = {table: {id_of(run) for run, of_run in runs if table in of_run} for table in tables}
    known = {
        table: {run_id for (run_id,) in stored.rows(table, ["run_id"], {"run_id": run_ids})}
        for table, run_ids in lacking.items()
        if run_ids and "run_id" in KEYS[table] and stored.is_append_only(table)
    }
    return [
        NewRun(run, frozenset(table for table in of_run if _takes(known.get(table), run)))
        for run, of_run in runs
    ]


def _takes(known: Collection[int] | None, run: Run) -> bool:
    return known is None or (has_finished(run) and run["id"] not in known)


def _remember_ends(state: MutableMapping[str, Any], ends: Mapping[str, str]) -> None:
    known = state.get("recent", {}) | ends
    # times in one format compare as texts
    newest = max([*known.values(), state.get("finished_at", "")])
    oldest = (datetime.fromisoformat(newest) - _OVERLAP).isoformat(timespec="microseconds")
    state["finished_at"] = newest
    state["recent"] = {run_id: time for run_id, time in known.items() if time >= oldest}


def _remember_unread(state: MutableMapping[str, Any], run_ids: Iterable[str]) -> None:
    before = state.pop("unread", {})
    attempts = {run_id: before.get(run_id, 0) + 1 for run_id in run_ids}
    unread = {run_id: number for run_id, number in attempts.items() if number <= _ATTEMPTS}
    if unread:
        state["unread"] = unread
