"""One extraction of what dbt did: the rows that runs give, listed and run by run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from threading import Lock

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import RateLimiter
from dlt_dbtcloud.exceptions import DBTCloudAuthError, DBTCloudException, DBTCloudRateLimitError
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.source.destination import Versions, from_json, stored
from dlt_dbtcloud.source.incremental import LISTED, Bookmarks, NewRun
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

__all__ = ["Extraction", "Rows", "UnreadRuns"]


# so many runs in a row that cannot be read are no fault of theirs
_IN_A_ROW = 5
_NO_FAULT_OF_A_RUN = (DBTCloudAuthError, DBTCloudRateLimitError)


class UnreadRuns:
    """Tells runs that cannot be read from a service that cannot be reached, in any thread.

    Args:
        retried: The ids of runs that could not be read before, which tell nothing of the service.
    """

    def __init__(self, retried: Iterable[str] = ()) -> None:
        self.unread: dict[str, frozenset[str]] = {}
        self._retried = {*retried}
        self._in_a_row = 0
        self._any_passed = False
        self._last: DBTCloudException | None = None
        self._lock = Lock()

    def passed(self, *, asked: bool) -> None:
        """Take note that a run could be read.

        Args:
            asked: It had artifacts to ask for; one that has none tells nothing of the service.
        """
        if not asked:
            return
        with self._lock:
            self._in_a_row = 0
            self._any_passed = True

    def is_retried(self, new: NewRun) -> bool:
        """Tell whether a run could not be read by an earlier load."""
        return str(new.run["id"]) in self._retried

    def met(self, new: NewRun, read: Iterable[str], error: DBTCloudException) -> None:
        """Take note that a run could not be read.

        Args:
            new: The run.
            read: The tables for which it had been read before.
            error: What was met.

        Raises:
            DBTCloudException: It is the last of too many in a row.
        """
        with self._lock:
            self.unread[str(new.run["id"])] = new.tables - {*LISTED, *read}
            if not self.is_retried(new):
                self._last = error
                self._in_a_row += 1
            if self._in_a_row >= _IN_A_ROW:
                raise error

    def check(self, ask: Callable[[int], object] | None = None) -> None:
        """Raise what was met if no run could be read, unless that is the fault of just one run.

        It is where the service still answers for the run itself, which is asked for once. Two runs
        that cannot be read, one of them by an earlier load, are an outage.

        Args:
            ask: Asks for a run, where one that cannot be read is remembered.

        Raises:
            DBTCloudException: What was met last.
        """
        if self._last is None or self._any_passed:
            return
        is_alone = len(self.unread) == 1 and not isinstance(self._last, _NO_FAULT_OF_A_RUN)
        if ask is None or not is_alone or not _answers(ask, *map(int, self.unread)):
            raise self._last


def _answers(ask: Callable[[int], object], run_id: int) -> bool:
    try:
        ask(run_id)
    except DBTCloudException:
        return False
    return True


# seconds, for a run that could not be read by an earlier load
_OUTAGE_AGAIN = 5.0
# the API takes no requests for five minutes after there were too many
_COOL_DOWN = 330.0

Rows = Mapping[str, list[Row]]


class Extraction:
    """Makes the rows of some runs.

    An outage that lasts is an error, so that nothing is remembered as loaded that was not; but one
    run that cannot be read does not keep the others back, nor fails load after load where it is the
    only one: it is read again by the next loads.

    Args:
        client: What fetches the runs' artifacts.
        news: The runs, and the tables to which each is new.
        bookmarks: Where runs that could not be read are remembered, if runs are.
        known: What is known of a load that a run may be bound to.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        news: Sequence[NewRun],
        *,
        bookmarks: Bookmarks | None = None,
        known: KnownLoad | None = None,
    ) -> None:
        self.news = news
        self._client = client
        self._bookmarks = bookmarks
        self._known = known
        self._limiter = RateLimiter(clock=client.clock)
        self._nodes = Versions("dbt_nodes", is_catalogued=True)
        self._parents = Versions("dbt_node_parents")
        self._unread = UnreadRuns(retried=bookmarks.unread if bookmarks else ())
        self._remaining = len(news)
        self._remembered: set[str] = set()
        self._has_failed = False

    def listed(self, table: str) -> list[Row]:
        """Return the rows of `dbt_runs` or `dbt_run_loads`, for which listing the runs is enough.

        Of a run that is not over there is nothing but its own row.
        """
        self._remember(table)
        runs = [new.run for new in self.news if table in new.tables]
        if table == "dbt_runs":
            return redacted_rows(table, map(run_row, runs), self._client)
        rows = load_rows([run for run in runs if has_finished(run)], self._known)
        return [*_not_told(rows)]

    def read(self, new: NewRun) -> Rows:
        """Return the rows of what a run left, in any thread, and collect those it shares.

        What cannot be read is said in one warning, and the rest is returned.

        Raises:
            DBTCloudException: An outage lasts.
        """
        try:
            return self._read(new)
        except DBTCloudException:
            self._has_failed = True
            raise
        finally:
            # who still reads after another one has failed lets go of what he opened meanwhile
            if self._has_failed:
                self._client.close()

    def end(self, rows: Rows) -> Rows:
        """Return the rows of a run, and after the last one those that runs share, too.

        Just after the last one, tables without rows are among them.

        Raises:
            DBTCloudException: No run could be read, and that is an outage.
        """
        self._remaining -= 1
        if self._remaining > 0:
            return {table: of_table for table, of_table in rows.items() if of_table}
        # where runs are not remembered, none can be read again
        ask = self._client.patient(0).get_run_status if self._bookmarks else None
        try:
            self._unread.check(ask)
        finally:
            self._client.close()
        shared = {"dbt_nodes": self._nodes.rows(), "dbt_node_parents": self._parents.rows()}
        return {**{table: [] for table in TABLES}, **rows, **shared}

    def taken(self, table: str, rows: Rows) -> list[Row] | None:
        """Return the rows of one table, or None where there are none yet."""
        if self._remaining <= 0:
            self._remember(table, self._unread.unread)
        return rows.get(table)

    def _read(self, new: NewRun) -> Rows:
        outage = _OUTAGE_AGAIN if self._unread.is_retried(new) else OUTAGE
        client = self._client.patient(outage, cool_down=_COOL_DOWN, limiter=self._limiter)
        reader = RunReader(client, new.run)
        rows: dict[str, list[Row]] = {}
        try:
            if has_finished(new.run):
                for table, read in self._readers(reader).items():
                    if table in new.tables:
                        read_rows = reader.problems.try_to_read(table, read)
                        rows[table] = redacted_rows(table, read_rows, self._client)
        except DBTCloudException as error:
            self._unread.met(new, rows, error)
            is_given_up = not self._bookmarks or self._bookmarks.is_given_up(id_of(new.run))
            reader.problems.note_outage(error, is_given_up=is_given_up)
            reader.warn()
        else:
            self._unread.passed(asked=reader.has_asked)
            again = f"`dbt_cloud_results(run_id={new.run['id']})` reads it again."
            reader.warn(again)
        return rows

    def _remember(self, table: str, unread: Mapping[str, Iterable[str]] | None = None) -> None:
        if self._bookmarks and table not in self._remembered:
            self._remembered.add(table)
            self._bookmarks.remember(table, [new.run for new in self.news], unread)

    def _readers(self, reader: RunReader) -> dict[str, Callable[[], list[Row]]]:
        return {
            "dbt_run_steps": lambda: [*step_rows(reader.read_run(), self._client.redact)],
            "dbt_node_results": lambda: [*self._result_rows(reader)],
            "dbt_source_freshness": lambda: [*self._freshness_rows(reader)],
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

    def _result_rows(self, reader: RunReader) -> Iterator[Row]:
        return chain.from_iterable(
            result_rows(reader.read_run(), step, results, reader.read_manifest())
            for step, results in reader.read_results()
        )

    def _freshness_rows(self, reader: RunReader) -> Iterator[Row]:
        return chain.from_iterable(
            freshness_rows(reader.read_run(), step, sources)
            for step, sources in reader.read_freshness()
        )


def _not_told(rows: list[Row]) -> Iterator[Row]:
    """Yield the rows of loads whose tables the destination does not know already."""
    if not rows:
        return
    key = KEYS["dbt_run_loads"]
    told = {each[:-1] for each in stored("dbt_run_loads", [*key, "tables"]) if from_json(each[-1])}
    yield from (row for row in rows if tuple(row[name] for name in key) not in told)
