"""Watching runs to their end: one or many, through outages, for a bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from dlt.common import logger
from dlt.common.time import ensure_pendulum_datetime

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    DBTCloudServerError,
    DBTCloudTransportError,
)
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["Clock", "is_over", "run_error", "watch_runs"]

# for so long a run that was just triggered may be not found: seen at about one check in a hundred
_UNKNOWN_AT_FIRST = 60.0
_LONGEST_OUTAGE_PAUSE = 60.0
_RUNS_A_REQUEST = 100
_OUTAGES = (DBTCloudServerError, DBTCloudRateLimitError, DBTCloudTransportError)


class Clock(Protocol):
    """What the time is told by, and passed with; the module `time` is one."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Let seconds pass."""


def watch_runs(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    *,
    wait_seconds: float,
    timeout: float,
    are_new: bool = False,
    clock: Clock = time,
) -> list[Run]:
    """Return runs when they are over, in the order given.

    A check that fails is not a run that failed: outages are waited out until `timeout`. Many runs
    are checked with one request for each hundred.

    Args:
        client: What asks for their status.
        runs: The runs as they were last seen, which costs no request.
        wait_seconds: The longest pause between two checks, but for outages.
        timeout: Seconds to wait; the last check comes after them.
        are_new: They were triggered just now, so that they may be unknown at first.
        clock: What the time is told by.

    Raises:
        DBTCloudRunTimeout: One is still going on.
        DBTCloudAuthError: The token is not accepted.
        DBTCloudNotFoundError: There is no such run, or not any more.
        DBTCloudAPIError: Any other error that does not pass by itself.
    """
    watch = _Watch(client, runs, wait_seconds, timeout, are_new, clock)
    while watch.pending:
        watch.sleep()
        watch.check()
    return [watch.runs[run["id"]] for run in runs]


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, by what the API says, as its codes may become more."""
    if "is_complete" in run:
        return bool(run["is_complete"])
    return not run.get("in_progress", run.get("status", 0) < RunStatus.SUCCESS)


def run_error(run: Run) -> DBTCloudRunError | None:
    """Return the error that a run's end means, or None where it succeeded or is not over."""
    if not is_over(run) or run.get("is_success") or run.get("status") == RunStatus.SUCCESS:
        return None
    if run.get("is_cancelled") or run.get("status") == RunStatus.CANCELLED:
        return DBTCloudRunCancelled(run)
    return DBTCloudRunFailed(run)


class _Watch:
    """What was seen of some runs, and when to look again."""

    def __init__(
        self,
        client: DBTCloudClientV2,
        runs: Sequence[Run],
        wait_seconds: float,
        timeout: float,
        are_new: bool,
        clock: Clock,
    ) -> None:
        self.runs = {run["id"]: run for run in runs}
        self._client = client.without_retries()
        self._wait_seconds = wait_seconds
        self._timeout = timeout
        self._are_new = are_new
        self._clock = clock
        self._began = clock.monotonic()
        self._age = 0.0 if are_new else min(map(_age, runs), default=0.0)
        self._failures = 0
        self._error: DBTCloudException | None = None
        self._pause = self._regular_pause()

    @property
    def pending(self) -> list[Run]:
        """Return the runs that are not over."""
        return [run for run in self.runs.values() if not is_over(run)]

    @property
    def _waited(self) -> float:
        return self._clock.monotonic() - self._began

    def sleep(self) -> None:
        """Let the time to the next check pass.

        Raises:
            DBTCloudRunTimeout: It was up before the last check.
        """
        left = self._timeout - self._waited
        if left <= 0:
            first, *others = self.pending
            raise DBTCloudRunTimeout(first, self._timeout, len(others)) from self._error
        self._clock.sleep(min(self._pause, left))

    def check(self) -> None:
        """Look at the runs that are not over, and decide when to look again."""
        try:
            for run in _fetch(self._client, [run["id"] for run in self.pending]):
                _note_change(self.runs[run["id"]], run)
                self.runs[run["id"]] = run
        except DBTCloudNotFoundError as error:
            if not self._are_new or self._waited > _UNKNOWN_AT_FIRST:
                raise
            self._wait_out(error)
        except _OUTAGES as error:
            self._wait_out(error)
        else:
            self._failures, self._error = 0, None
            self._pause = self._regular_pause()

    def _wait_out(self, error: DBTCloudException) -> None:
        """Pause longer after each failure, not in step with others, and as long as is asked."""
        if self._error is None:
            logger.warning(f"A status check failed, and is tried again. {error}")
        self._error = error
        self._failures += 1
        jitter = random.uniform(0.5, 1.0)  # noqa: S311, it keeps no secret
        growing = min(_LONGEST_OUTAGE_PAUSE, 2.0**self._failures) * jitter
        self._pause = max(growing, getattr(error, "retry_after", None) or 0.0)

    def _regular_pause(self) -> float:
        """Return the seconds to the next check: one, and a tenth of the youngest run's age."""
        return min(self._wait_seconds, 1.0 + (self._age + self._waited) / 10)


def _fetch(client: DBTCloudClientV2, run_ids: Sequence[int]) -> Iterator[Run]:
    """Yield runs: one by itself, many by the hundred, and of those who is missing by itself."""
    if len(run_ids) == 1:
        yield client.get_run_status(run_ids[0])
        return
    for start in range(0, len(run_ids), _RUNS_A_REQUEST):
        missing = set(run_ids[start : start + _RUNS_A_REQUEST])
        for run in client.list_runs(pk__in=sorted(missing)):
            missing.discard(run["id"])
            yield run
        if missing:
            yield client.get_run_status(min(missing))


def _note_change(before: Run, after: Run) -> None:
    if before.get("status") != after.get("status"):
        logger.info(f"dbt Cloud run {after['id']}: {after.get('status_humanized')}")


def _age(run: Run) -> float:
    """Return the seconds since a run was triggered, as far as the clocks agree."""
    created = run.get("created_at")
    if not created:
        return 0.0
    return max(0.0, time.time() - ensure_pendulum_datetime(created).timestamp())
