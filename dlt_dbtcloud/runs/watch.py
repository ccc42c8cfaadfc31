"""Watching runs to their end: one or many, through outages, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock, outage_pause, through_outages
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRunTimeout,
    DBTCloudServerError,
)
from dlt_dbtcloud.payloads import has_finished, id_of, time_of
from dlt_dbtcloud.typing import Run

__all__ = ["Watch", "cancel_and_confirm", "request_cancel", "watch_runs"]


# for so long a run that was just triggered may be not found: seen at about one check in a hundred
_UNKNOWN_AT_FIRST = 60.0
_RUNS_A_REQUEST = 100


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
    watch = Watch(client, runs, are_new=are_new, clock=clock)
    watch.until(timeout, wait_seconds)
    for error in watch.errors.values():
        raise error
    return [watch.runs[id_of(run)] for run in runs]


class Watch:
    """What was seen of some runs, and what keeps it from seeing more.

    Args:
        client: What asks for their status.
        runs: The runs as they were last seen.
        are_new: They were triggered just now, so that they may be unknown at first.
        clock: What the time is told by.

    Attributes:
        runs: The runs as they were last seen, by their ids.
        errors: Why runs that are not over are watched no longer, by their ids.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        runs: Sequence[Run],
        *,
        are_new: bool = False,
        clock: Clock = time,
    ) -> None:
        self.runs = {id_of(run): run for run in runs}
        self.errors: dict[int, DBTCloudException] = {}
        self._client = client.without_retries()
        self._are_new = are_new
        self._clock = clock
        self._began = clock.monotonic()
        ages = (_age(run, clock) for run in runs)
        self._age = 0.0 if are_new else min(ages, default=0.0)
        self._failures = 0
        self._trouble: DBTCloudException | None = None

    @property
    def pending(self) -> list[Run]:
        """Return the runs that are still waited for."""
        others = self.errors
        return [
            run for run in self.runs.values() if not has_finished(run) and id_of(run) not in others
        ]

    def until(self, timeout: float, wait_seconds: float) -> None:
        """Watch until all runs are over, or the time is.

        Args:
            timeout: Seconds to wait; the last check comes after them.
            wait_seconds: The longest pause between two checks, but for outages.

        Raises:
            DBTCloudAuthError: The token is not accepted.
            DBTCloudAPIError: Any other error that does not pass by itself and is not one run's.
        """
        pause = self._regular_pause(wait_seconds)
        while pending := self.pending:
            left = timeout - self._waited
            if left <= 0:
                self.errors |= {id_of(run): self._timeout(run, timeout) for run in pending}
                return
            self._clock.sleep(min(pause, left))
            pause = self._check() or self._regular_pause(wait_seconds)

    @property
    def _waited(self) -> float:
        return self._clock.monotonic() - self._began

    def _check(self) -> float | None:
        """Look at the runs that are not over; return the pause that an outage asks for."""
        try:
            for run in self._fetch([id_of(run) for run in self.pending]):
                _note_change(self.runs[id_of(run)], run)
                self.runs[id_of(run)] = run
        except DBTCloudException as error:
            return self._wait_out(error)
        self._failures, self._trouble = 0, None
        return None

    def _wait_out(self, error: DBTCloudException) -> float:
        if not error.is_outage and not isinstance(error, DBTCloudNotFoundError):
            raise error
        if self._trouble is None:
            logger.warning(f"A status check failed, and is tried again. {error}")
        self._trouble = error
        self._failures += 1
        return outage_pause(error, self._failures)

    def _fetch(self, run_ids: Sequence[int]) -> Iterator[Run]:
        """Yield runs: one by itself, many by the hundred, and of those who is missing by itself."""
        if len(run_ids) == 1:
            yield from self._fetch_one(run_ids[0])
            return
        for start in range(0, len(run_ids), _RUNS_A_REQUEST):
            missing = set(run_ids[start : start + _RUNS_A_REQUEST])
            for run in self._client.list_runs(pk__in=sorted(missing)):
                if run["id"] in missing:
                    missing.discard(run["id"])
                    yield run
            if missing:
                yield from self._fetch_one(min(missing))

    def _fetch_one(self, run_id: int) -> Iterator[Run]:
        """Yield a run, or note that it is gone, unless it is too new for that."""
        try:
            run = self._client.get_run_status(run_id)
        except DBTCloudNotFoundError as error:
            if self._are_new and self._waited <= _UNKNOWN_AT_FIRST:
                raise
            self.errors[run_id] = error
            return
        if run["id"] != run_id:
            said = f"this is run {run['id']}"
            raise DBTCloudServerError("GET", f".../runs/{run_id}/", 200, said)
        yield run

    def _timeout(self, run: Run, timeout: float) -> DBTCloudRunTimeout:
        error = DBTCloudRunTimeout(run, timeout, trouble=self._trouble)
        error.__cause__ = self._trouble
        return error

    def _regular_pause(self, wait_seconds: float) -> float:
        """Return the seconds to the next check: one, and a tenth of the youngest run's age."""
        return min(wait_seconds, 1.0 + (self._age + self._waited) / 10)


def _note_change(before: Run, after: Run) -> None:
    if before.get("status") != after.get("status"):
        logger.info(f"dbt Cloud run {after['id']}: {after.get('status_humanized')}")


def _age(run: Run, clock: Clock) -> float:
    """Return the seconds since a run was triggered, as far as the clocks agree."""
    created = time_of(run, "created_at")
    return 0.0 if created is None else max(0.0, clock.time() - created)


def request_cancel(
    client: DBTCloudClientV2, run_id: int, *, timeout: float = 60.0, clock: Clock = time
) -> None:
    """Ask for a run to be cancelled, again and again until the request is known to have arrived.

    Raises:
        DBTCloudAuthError: The token is not accepted.
        DBTCloudNotFoundError: There is no such run.
        DBTCloudException: An outage lasted for longer than `timeout` seconds.
    """
    once = client.without_retries()
    try:
        through_outages(lambda: once.cancel_run(run_id), timeout=timeout, clock=clock)
    except DBTCloudAPIError as error:
        # one that cannot be cancelled any more has its own end
        if error.status_code != 400:
            raise


def cancel_and_confirm(
    client: DBTCloudClientV2, runs: Sequence[Run], *, timeout: float = 60.0, clock: Clock = time
) -> Watch:
    """Cancel runs, and return what was seen of them when they had ended, or the time was up.

    A run may have come to another end than cancelled; why one is not known to have ended is among
    the `errors`.
    """
    began = clock.monotonic()

    def left() -> float:
        return max(0.0, timeout - (clock.monotonic() - began))

    watch = Watch(client, runs, clock=clock)
    for run in runs:
        try:
            request_cancel(client, id_of(run), timeout=left(), clock=clock)
        except DBTCloudException as error:
            watch.errors[id_of(run)] = error
    try:
        watch.until(left(), wait_seconds=1.0)
    except DBTCloudException as error:
        watch.errors |= {id_of(run): error for run in watch.pending}
    return watch
