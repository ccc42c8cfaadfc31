"""One extraction of what dbt did: the rows that runs give, listed and run by run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from dlt_dbtcloud.artifacts import OUTAGE
from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.columns import KEYS, TABLES, Row
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.listing import NewRun
from dlt_dbtcloud.manifest import Manifest
from dlt_dbtcloud.noderows import freshness_rows, node_rows, parent_rows, result_rows
from dlt_dbtcloud.pacing import Pace
from dlt_dbtcloud.reader import RunReader
from dlt_dbtcloud.rows import KnownLoad, load_rows, run_row, step_rows
from dlt_dbtcloud.stored import from_json, stored
from dlt_dbtcloud.unread import UnreadRuns
from dlt_dbtcloud.versions import Versions

__all__ = ["Extraction", "Rows"]

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
        clock: What the time is told by.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        news: Sequence[NewRun],
        *,
        bookmarks: Bookmarks | None = None,
        known: KnownLoad | None = None,
        clock: Clock = time,
    ) -> None:
        self.news = news
        self._client = client
        self._bookmarks = bookmarks
        self._known = known
        self._clock = clock
        self._pace = Pace(clock=clock)
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
            return [run_row(run, self._client.without_token) for run in runs]
        rows = load_rows([run for run in runs if is_over(run)], self._known)
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
        ask = self._client.without_retries().get_run_status if self._bookmarks else None
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
        reader = RunReader(
            self._client,
            new.run,
            pace=self._pace,
            clock=self._clock,
            outage=_OUTAGE_AGAIN if self._unread.is_retried(new) else OUTAGE,
            cool_down=_COOL_DOWN,
        )
        rows: dict[str, list[Row]] = {}
        try:
            if is_over(new.run):
                for table, read in self._readers(reader).items():
                    if table in new.tables:
                        rows[table] = reader.problems.try_to_read(table, read)
        except DBTCloudException as error:
            self._unread.met(new, rows, error)
            is_given_up = not self._bookmarks or self._bookmarks.is_given_up(new.run["id"])
            reader.problems.note_outage(error, is_given_up=is_given_up)
            reader.problems.warn()
        else:
            self._unread.passed(asked=reader.has_asked)
            again = f"`dbt_cloud_results(run_id={new.run['id']})` reads it again."
            reader.problems.warn(again)
        return rows

    def _remember(self, table: str, unread: Mapping[str, Iterable[str]] | None = None) -> None:
        if self._bookmarks and table not in self._remembered:
            self._remembered.add(table)
            self._bookmarks.remember(table, [new.run for new in self.news], unread)

    def _readers(self, reader: RunReader) -> dict[str, Callable[[], list[Row]]]:
        return {
            "dbt_run_steps": lambda: [*step_rows(reader.run, self._client.without_token)],
            "dbt_node_results": lambda: [*self._result_rows(reader)],
            "dbt_source_freshness": lambda: [*self._freshness_rows(reader)],
            "dbt_node_parents": lambda: self._collect_parents(reader),
            "dbt_nodes": lambda: self._collect_nodes(reader),
        }

    def _collect_nodes(self, reader: RunReader) -> list[Row]:
        project = Manifest(reader.manifest, reader.catalog)
        rows = node_rows(reader.run, project)
        self._nodes.add(reader.run["id"], rows)
        return []

    def _collect_parents(self, reader: RunReader) -> list[Row]:
        rows = parent_rows(reader.run, Manifest(reader.manifest))
        self._parents.add(reader.run["id"], rows)
        return []

    def _result_rows(self, reader: RunReader) -> Iterator[Row]:
        hide = self._client.without_token
        return chain.from_iterable(
            result_rows(reader.run, step, results, reader.manifest, hide)
            for step, results in reader.results
        )

    def _freshness_rows(self, reader: RunReader) -> Iterator[Row]:
        hide = self._client.without_token
        return chain.from_iterable(
            freshness_rows(reader.run, step, sources, hide) for step, sources in reader.freshness
        )


def _not_told(rows: list[Row]) -> Iterator[Row]:
    """Yield the rows of loads whose tables the destination does not know already."""
    if not rows:
        return
    key = KEYS["dbt_run_loads"]
    told = {each[:-1] for each in stored("dbt_run_loads", [*key, "tables"]) if from_json(each[-1])}
    yield from (row for row in rows if tuple(row[name] for name in key) not in told)
