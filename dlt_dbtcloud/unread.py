"""Runs whose artifacts could not be read in time: which they are, and when that is an outage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from dlt_dbtcloud.exceptions import DBTCloudAuthError, DBTCloudException, DBTCloudRateLimitError
from dlt_dbtcloud.listing import LISTED, NewRun

__all__ = ["UnreadRuns"]

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
