"""Extraction of rows from runs and their artifacts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

import dlt

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN, RateLimiter
from dlt_dbtcloud.exceptions import DBTCloudAuthError, DBTCloudException, DBTCloudRateLimitError
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.source.destination import StoredTables, Versions, from_json
from dlt_dbtcloud.source.incremental import Bookmarks, NewRun
from dlt_dbtcloud.source.rows import (
    KnownLoad,
    freshness_rows,
    load_rows,
    node_rows,
    parent_rows,
    redacted_rows,
    result_rows,
    run_row,
    step_rows,
)
from dlt_dbtcloud.source.schema import KEYS, TABLES, Row

__all__ = ["Batch", "Extraction", "Rows", "UnreadRuns"]


# tables that need no artifacts
_WITHOUT_ARTIFACTS = ("dbt_runs", "dbt_run_loads")
# seconds of outage to wait out, for a run that an earlier load could not read
_OUTAGE_OF_RETRIED = 5.0
# this many unreadable runs in a row are an outage
_IN_A_ROW = 5
# a batch is complete with this many rows or runs
_ROWS_AT_ONCE = 1000
_RUNS_AT_ONCE = 50
_NEVER_DUE_TO_A_RUN = (DBTCloudAuthError, DBTCloudRateLimitError)

Rows = Mapping[str, list[Row]]


class Batch(NamedTuple):
    """Runs that were read, with the rows of their artifacts."""

    runs: Sequence[NewRun]
    rows: Rows


class UnreadRuns:
    """Unreadable runs, as distinct from an outage. Thread-safe.

    Args:
        retried: The ids of runs that an earlier load could not read either, which are no sign of an
            outage.

    Attributes:
        tables: The tables that lack each run, by the run's id.
    """

    def __init__(self, retried: Iterable[str] = ()) -> None:
        self.tables: dict[str, frozenset[str]] = {}
        self._retried = {*retried}
        self._in_a_row = 0
        self._has_success = False
        self._error: DBTCloudException | None = None
        self._lock = Lock()

    def is_retried(self, new: NewRun) -> bool:
        """Return whether an earlier load could not read a run."""
        return str(new.run["id"]) in self._retried

    def record_success(self) -> None:
        """Record that artifacts of a run could be read."""
        with self._lock:
            self._in_a_row = 0
            self._has_success = True

    def record_failure(self, new: NewRun, read: Iterable[str], error: DBTCloudException) -> None:
        """Record that a run could not be read.

        Args:
            new: The run.
            read: The tables for which it was read before.
            error: The error.

        Raises:
            DBTCloudException: The error, if it is the last of too many in a row.
        """
        with self._lock:
            self.tables[str(new.run["id"])] = new.tables - {*_WITHOUT_ARTIFACTS, *read}
            if not self.is_retried(new):
                self._error = error
                self._in_a_row += 1
            if self._in_a_row >= _IN_A_ROW:
                raise error

    def raise_if_outage(self, client: DBTCloudClientV2 | None = None) -> None:
        """Raise the last error if no run could be read.

        A single run is not an outage if dbt Cloud still returns the run itself. Two are, even if an
        earlier load could not read one of them either.

        Args:
            client: Fetches the single run; without it, a single run is an outage, too.

        Raises:
            DBTCloudException: The last error.
        """
        if self._error is None or self._has_success:
            return
        is_single = len(self.tables) == 1 and not isinstance(self._error, _NEVER_DUE_TO_A_RUN)
        if client is None or not is_single or not _exists(client, int(next(iter(self.tables)))):
            raise self._error


class Extraction:
    """The rows of runs, table by table.

    A run that cannot be read does not fail the extraction; the next loads read it again. An outage
    does, so that no run is remembered as loaded that was not.

    Args:
        client: The client.
        runs: The runs, with the tables that they are new to.
        bookmarks: Where the runs are remembered, if they are.
        known: The last load of the pipeline, which one of the runs may be bound to.
        stored: The tables in the destination.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        runs: Sequence[NewRun],
        *,
        bookmarks: Bookmarks | None = None,
        known: KnownLoad | None = None,
        stored: StoredTables | None = None,
    ) -> None:
        self._client = client
        self._runs = runs
        self._bookmarks = bookmarks
        self._known = known
        self._limiter = RateLimiter(clock=client.clock)
        self._stored = stored or StoredTables()
        self._nodes = Versions("dbt_nodes", self._stored, is_catalogued=True)
        self._parents = Versions("dbt_node_parents", self._stored)
        self._unread = UnreadRuns(bookmarks.unread if bookmarks else ())
        self._is_over = False

    def rows(self, tables: Sequence[str]) -> Generator[Any, None, None]:
        """Yield rows by table, and calls of `read_batch` for dlt's workers.

        Args:
            tables: The selected tables.
        """
        of_runs = [table for table in tables if table in _WITHOUT_ARTIFACTS]
        runs = self._runs if len(of_runs) < len(tables) else []
        pending, read = deque(runs), list[NewRun]()

        def taken() -> Iterator[NewRun]:
            # until another worker has taken the last one
            with suppress(IndexError):
                while True:
                    yield pending.popleft()

        @dlt.defer
        def read_batch() -> Rows:
            batch = self.read_batch(taken())
            read.extend(batch.runs)
            return _without_empty(batch.rows)

        try:
            yield _without_empty({table: self.rows_of_runs(table) for table in of_runs})
            while pending:
                yield read_batch()
            while len(read) < len(runs):
                # dlt polls its workers, and raises their errors
                yield None
            yield from self.finish()
        finally:
            self._is_over = True

    def rows_of_runs(self, table: str) -> list[Row]:
        """Return the rows of `dbt_runs` or `dbt_run_loads`, which need no artifacts."""
        runs = [new.run for new in self._runs if table in new.tables]
        if table == "dbt_runs":
            return redacted_rows(table, map(run_row, runs), self._client)
        of_runs = load_rows([*filter(has_finished, runs)], self._known, self._stored)
        return _without_known_tables(of_runs, self._stored)

    def read_batch(self, runs: Iterable[NewRun]) -> Batch:
        """Return the rows of the first runs, in any thread, until there are enough.

        dlt takes as long for one row as for a thousand.

        Raises:
            DBTCloudException: There is an outage.
        """
        read: list[NewRun] = []
        rows: dict[str, list[Row]] = {}
        for new in runs:
            for table, of_run in self.read_run(new).items():
                rows.setdefault(table, []).extend(of_run)
            read.append(new)
            if self._is_over or _are_enough(rows, len(read)):
                break
        return Batch(read, rows)

    def read_run(self, new: NewRun) -> Rows:
        """Return the rows of a run's artifacts, in any thread. `finish` returns those it shares.

        One warning names what could not be read.

        Raises:
            DBTCloudException: There is an outage.
        """
        try:
            return self._read_run(new)
        finally:
            # dlt waits two seconds for its workers; a later one has opened a connection again
            if self._is_over:
                self._client.close()

    def finish(self) -> Iterator[Rows]:
        """Yield the rows that runs share, when all runs are read, and remember the runs.

        The other tables are empty, so that dlt creates them.

        Raises:
            DBTCloudException: There is an outage.
        """
        # without bookmarks, no load would read a run again
        self._unread.raise_if_outage(self._client.patient(0) if self._bookmarks else None)
        shared = {"dbt_nodes": self._nodes, "dbt_node_parents": self._parents}
        for table, versions in shared.items():
            yield {table: versions.take_rows()}
        if self._bookmarks:
            self._bookmarks.remember([new.run for new in self._runs], self._unread.tables)
        yield {table: [] for table in TABLES if table not in shared}

    def _read_run(self, new: NewRun) -> Rows:
        outage = _OUTAGE_OF_RETRIED if self._unread.is_retried(new) else OUTAGE
        client = self._client.patient(outage, cool_down=COOL_DOWN, limiter=self._limiter)
        reader = RunReader(client, new.run)
        rows: dict[str, list[Row]] = {}
        try:
            for table, read in self._readers(reader).items() if has_finished(new.run) else ():
                if table in new.tables:
                    rows[table] = redacted_rows(table, read(), self._client)
        except DBTCloudException as error:
            self._unread.record_failure(new, rows, error)
            is_given_up = not self._bookmarks or self._bookmarks.is_last_attempt(id_of(new.run))
            reader.problems.note_outage(error, is_given_up=is_given_up)
            reader.warn()
        else:
            # a run without artifacts does not show that the API is up
            if reader.has_asked:
                self._unread.record_success()
            again = self._client.call("dbt_cloud_results", new.run["id"])
            reader.warn(f"{again} reads it again.")
        return rows

    def _readers(self, reader: RunReader) -> dict[str, Callable[[], Iterable[Row]]]:
        return {
            "dbt_run_steps": lambda: step_rows(reader.read_run(), self._client.redact),
            "dbt_node_results": lambda: _result_rows(reader),
            "dbt_source_freshness": lambda: _freshness_rows(reader),
            "dbt_node_parents": lambda: self._collect_parents(reader),
            "dbt_nodes": lambda: self._collect_nodes(reader),
        }

    def _collect_nodes(self, reader: RunReader) -> list[Row]:
        run, manifest = reader.read_run(), reader.read_manifest()
        self._nodes.add(id_of(run), node_rows(run, manifest.with_catalog(reader.read_catalog())))
        return []

    def _collect_parents(self, reader: RunReader) -> list[Row]:
        run = reader.read_run()
        self._parents.add(id_of(run), parent_rows(run, reader.read_manifest()))
        return []


def _are_enough(rows: Rows, runs: int) -> bool:
    """Return whether the rows or runs complete a batch."""
    return runs >= _RUNS_AT_ONCE or sum(map(len, rows.values())) >= _ROWS_AT_ONCE


def _without_empty(rows: Rows) -> Rows:
    return {table: of_table for table, of_table in rows.items() if of_table}


def _result_rows(reader: RunReader) -> Iterator[Row]:
    for step, results in reader.read_results():
        yield from result_rows(reader.read_run(), step, results, reader.read_manifest())


def _freshness_rows(reader: RunReader) -> Iterator[Row]:
    for step, sources in reader.read_freshness():
        yield from freshness_rows(reader.read_run(), step, sources)


def _without_known_tables(rows: list[Row], stored: StoredTables) -> list[Row]:
    """Return the rows of loads whose tables the destination does not know yet."""
    if not rows:
        return []
    key = KEYS["dbt_run_loads"]
    of_runs = {"run_id": {row["run_id"] for row in rows}}
    found = stored.rows("dbt_run_loads", [*key, "tables"], of_runs)
    known = {each[:-1] for each in found if from_json(each[-1])}
    return [row for row in rows if tuple(row[name] for name in key) not in known]


def _exists(client: DBTCloudClientV2, run_id: int) -> bool:
    try:
        client.get_run_status(run_id)
    except DBTCloudException:
        return False
    return True
