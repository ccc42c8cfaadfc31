"""Watching runs to their end: one or many, through outages, for a bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Literal, Protocol, TypeVar

from dlt.common import logger

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
)
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = [
    "Clock",
    "is_over",
    "moment",
    "outage_pause",
    "run_error",
    "through_outages",
    "watch_runs",
]

# for so long a run that was just triggered may be not found: seen at about one check in a hundred
_UNKNOWN_AT_FIRST = 60.0
_LONGEST_OUTAGE_PAUSE = 60.0
_LONGEST_OUTAGE = 120.0
_RUNS_A_REQUEST = 100


_T = TypeVar("_T")


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
    until: Callable[[Run], bool] | None = None,
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
        until: Tells whether a run is waited for no longer, by default when it is over.
        clock: What the time is told by.

    Raises:
        DBTCloudRunTimeout: One is still going on.
        DBTCloudAuthError: The token is not accepted.
        DBTCloudNotFoundError: There is no such run, or not any more.
        DBTCloudAPIError: Any other error that does not pass by itself.
    """
    watch = _Watch(client, runs, wait_seconds, timeout, are_new, until or is_over, clock)
    while watch.pending:
        watch.sleep()
        watch.check()
    return [watch.runs[run["id"]] for run in runs]


def through_outages(
    ask: Callable[[], _T], *, timeout: float = _LONGEST_OUTAGE, clock: Clock = time
) -> _T:
    """Return the answer to something that may be asked again and again, once there is one.

    Args:
        ask: Asks once.
        timeout: Seconds after which an outage is taken for an error.
        clock: What the time is told by.

    Raises:
        DBTCloudException: An error that does not pass by itself, or not within `timeout`.
    """
    began, failures = clock.monotonic(), 0
    while True:
        try:
            return ask()
        except DBTCloudException as error:
            failures += 1
            pause = outage_pause(error, failures)
            if not error.is_outage or clock.monotonic() - began + pause > timeout:
                raise
            clock.sleep(pause)


def outage_pause(error: DBTCloudException, failures: int) -> float:
    """Return the seconds to the next try: more each time, not in step with others, as asked."""
    jitter = random.uniform(0.5, 1.0)  # noqa: S311, it keeps no secret
    growing = min(_LONGEST_OUTAGE_PAUSE, 2.0**failures) * jitter
    return max(growing, getattr(error, "retry_after", None) or 0.0)


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, by what the API says, as its codes may become more."""
    for says, means_over in (("is_complete", True), ("in_progress", False)):
        if isinstance(run.get(says), bool):
            return run.get(says) is means_over
    return (run.get("status") or 0) >= RunStatus.SUCCESS


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
        until: Callable[[Run], bool],
        clock: Clock,
    ) -> None:
        self.runs = {run["id"]: run for run in runs}
        self._client = client.without_retries()
        self._wait_seconds = wait_seconds
        self._timeout = timeout
        self._are_new = are_new
        self._until = until
        self._clock = clock
        self._began = clock.monotonic()
        self._age = 0.0 if are_new else min(map(_age, runs), default=0.0)
        self._failures = 0
        self._error: DBTCloudException | None = None
        self._pause = self._regular_pause()

    @property
    def pending(self) -> list[Run]:
        """Return the runs that are still waited for."""
        return [run for run in self.runs.values() if not self._until(run)]

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
            others_left = len(others)
            raise DBTCloudRunTimeout(
                first, self._timeout, others_left, self._error
            ) from self._error
        self._clock.sleep(min(self._pause, left))

    def check(self) -> None:
        """Look at the runs that are not over, and decide when to look again."""
        try:
            for run in _fetch(self._client, [run["id"] for run in self.pending]):
                _note_change(self.runs[run["id"]], run)
                self.runs[run["id"]] = run
        except DBTCloudException as error:
            is_early = self._are_new and self._waited <= _UNKNOWN_AT_FIRST
            if not error.is_outage and not (is_early and isinstance(error, DBTCloudNotFoundError)):
                raise
            self._wait_out(error)
        else:
            self._failures, self._error = 0, None
            self._pause = self._regular_pause()

    def _wait_out(self, error: DBTCloudException) -> None:
        if self._error is None:
            logger.warning(f"A status check failed, and is tried again. {error}")
        self._error = error
        self._failures += 1
        self._pause = outage_pause(error, self._failures)

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


def moment(run: Run, field: Literal["created_at", "finished_at"]) -> float | None:
    """Return when something happened to a run, in seconds since 1970, where it says so."""
    try:
        said = datetime.fromisoformat(str(run.get(field)).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (said if said.tzinfo else said.replace(tzinfo=timezone.utc)).timestamp()


def _age(run: Run) -> float:
    """Return the seconds since a run was triggered, as far as the clocks agree."""
    created = moment(run, "created_at")
    return 0.0 if created is None else max(0.0, time.time() - created)
