"""Watching and cancelling runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock, outage_pause
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRunTimeout,
)
from dlt_dbtcloud.payloads import has_finished, id_of, time_of
from dlt_dbtcloud.runs.progress import Pace, Progress
from dlt_dbtcloud.typing import Run

__all__ = ["Watch", "cancel_and_confirm", "find_run", "request_cancel"]

_T = TypeVar("_T")

# seconds in which a new run may be reported as not found, as about one check in a hundred is
_UNKNOWN_AT_FIRST = 60.0
# the same if only the id of a run is known, which may be mistyped
_UNKNOWN_BY_ID = 15.0
_RUNS_PER_REQUEST = 100
# so that a returned run has its overrides
_RELATED = ("trigger",)


class Watch:
    """Status checks of some runs.

    Args:
        client: The client.
        runs: The runs as last seen.
        are_new: Whether they were triggered a moment ago, so that the API may not know them yet; by
            default as their `created_at` shows.
        after_check: Is called with this watch after each answered check.
        progress: The progress of these runs, which also places the checks; by default it is not
            shown, and no past runs are read.

    Attributes:
        runs: The runs as last seen, by id.
        errors: Why unfinished runs are no longer watched, by id.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        runs: Sequence[Run],
        *,
        are_new: bool = False,
        after_check: Callable[[Watch], object] = lambda _: None,
        progress: Progress | None = None,
    ) -> None:
        self.runs = {id_of(run): run for run in runs}
        self.errors: dict[int, DBTCloudException] = {}
        self._client = client
        self._after_check = after_check
        self._clock = client.clock
        self._began = self._clock.monotonic()
        ages = {id_of(run): 0.0 if are_new else _age(run, self._clock) for run in runs}
        self._age = min((age for age in ages.values() if age is not None), default=0.0)
        self._created = {
            run_id: self._began - age for run_id, age in ages.items() if age is not None
        }
        self._progress = progress or Progress(None, Pace(self._clock), self._clock)
        for run in runs:
            self._progress.note(run, ages[id_of(run)] or 0.0)
        self._failures = 0
        self._last_failure: DBTCloudException | None = None

    @property
    def pending(self) -> list[Run]:
        """The runs that have not finished and are still watched."""
        return [
            run
            for run in self.runs.values()
            if not has_finished(run) and id_of(run) not in self.errors
        ]

    def until(self, timeout: float, wait_seconds: float, *, at_once: bool = False) -> None:
        """Watch until all runs have finished, or the time is up.

        Args:
            timeout: Seconds to wait; the last check follows them.
            wait_seconds: The longest pause between two checks; 0 for a second. It is exceeded in
                outages, and after the API has limited the rate of requests.
            at_once: Whether the first check has no pause before it.

        A permanent error ends the watch of all runs.
        """
        try:
            self._until(timeout, wait_seconds, at_once=at_once)
        except DBTCloudException as error:
            self.give_up(error)
        finally:
            self._progress.close()

    def give_up(self, error: DBTCloudException, run_id: int | None = None) -> None:
        """Stop watching a run, or all that have not finished, because of an error."""
        ids = [id_of(run) for run in self.pending] if run_id is None else [run_id]
        self.errors |= dict.fromkeys(ids, error)

    def replace(self, run_id: int, run: Run) -> None:
        """Watch a run in place of another."""
        del self.runs[run_id]
        self.runs[id_of(run)] = run
        self._progress.replace(run_id, run, _age(run, self._clock) or 0.0)

    def _until(self, timeout: float, wait_seconds: float, *, at_once: bool) -> None:
        self._progress.show()
        pause = self._client.shortest_pause if at_once else self._next_pause(wait_seconds)
        while pending := self.pending:
            left = timeout - self._waited
            if left <= 0:
                self.errors |= {id_of(run): self._timeout(run, timeout) for run in pending}
                return
            self._progress.sleep(min(pause, left))
            client = self._client.patient(0, within=timeout - self._waited)
            pause = self._check(client) or self._next_pause(wait_seconds)

    @property
    def _waited(self) -> float:
        return self._clock.monotonic() - self._began

    def _check(self, client: DBTCloudClientV2) -> float | None:
        """Check the unfinished runs; during an outage, return the pause until the next check."""
        try:
            for run in self._fetch(client, [id_of(run) for run in self.pending]):
                _log_change(self.runs[id_of(run)], run)
                self.runs[id_of(run)] = self._progress.note(run)
        except DBTCloudException as error:
            return self._wait_out(error)
        self._failures, self._last_failure = 0, None
        self._after_check(self)
        self._progress.show()
        return None

    def _wait_out(self, error: DBTCloudException) -> float:
        if not error.is_outage and not isinstance(error, DBTCloudNotFoundError):
            raise error
        if self._last_failure is None:
            logger.warning(f"A status check failed; retrying. {error}")
        self._last_failure = error
        self._failures += 1
        return outage_pause(error, self._failures)

    def _fetch(self, client: DBTCloudClientV2, run_ids: Sequence[int]) -> Iterator[Run]:
        """Fetch the runs in pages of 100; fetch single and missing runs by id."""
        if len(run_ids) == 1:
            yield from self._fetch_one(client, run_ids[0])
            return
        for start in range(0, len(run_ids), _RUNS_PER_REQUEST):
            missing = set(run_ids[start : start + _RUNS_PER_REQUEST])
            listed = client.list_runs(pk__in=sorted(missing), include_related=_RELATED)
            for run in islice(listed, _RUNS_PER_REQUEST):
                if id_of(run) in missing:
                    missing.discard(id_of(run))
                    yield run
            if missing:
                yield from self._fetch_one(client, min(missing))

    def _fetch_one(self, client: DBTCloudClientV2, run_id: int) -> Iterator[Run]:
        """Yield a run, or record that it is missing unless it is new."""
        try:
            run = client.get_run_status(run_id, self._progress.related())
        except DBTCloudNotFoundError as error:
            created = self._created.get(run_id, -math.inf)
            if self._clock.monotonic() - created <= _UNKNOWN_AT_FIRST:
                raise
            self.errors[run_id] = error
            return
        yield run

    def _timeout(self, run: Run, timeout: float) -> DBTCloudRunTimeout:
        resume = self._client.call("get_dbt_cloud_run_status", run["id"])
        error = DBTCloudRunTimeout(run, timeout, trouble=self._last_failure, resume=resume)
        error.__cause__ = self._last_failure
        return error

    def _next_pause(self, wait_seconds: float) -> float:
        """Return the pause before the next check, longer after the API has limited requests."""
        age = self._age + self._waited
        pause = self._progress.pause(self.pending, age, wait_seconds)
        return max(pause, self._client.shortest_pause)


def find_run(
    client: DBTCloudClientV2,
    run_id: int | str | None,
    include_related: Sequence[str] = (),
    *,
    timeout: float = _UNKNOWN_BY_ID,
) -> Run:
    """Return a run that is known only by its id.

    The API may not know a run in its first seconds, so a 404 is final after fifteen seconds.

    Args:
        client: The client.
        run_id: The run.
        include_related: As for `DBTCloudClientV2.get_run_status`.
        timeout: Seconds after which a 404 is final, if they are fewer.

    Raises:
        DBTCloudNotFoundError: The run does not exist, or the token has no permission to read it.
        DBTCloudAPIError: The API returned another error.
        DBTCloudTransportError: The API did not respond.
    """
    return _once_known(
        lambda: client.get_run_status(run_id, include_related), client.clock, timeout
    )


def request_cancel(
    client: DBTCloudClientV2, run_id: int, *, timeout: float = 60.0, cool_down: float = 0.0
) -> None:
    """Request the cancellation of a run until the request has certainly arrived.

    Args:
        client: The client.
        run_id: The run.
        timeout: Seconds after which an outage is an error.
        cool_down: Additional seconds while the API limits the rate of requests.

    Raises:
        DBTCloudAuthError: The token is not accepted.
        DBTCloudNotFoundError: The run does not exist.
        DBTCloudException: An outage lasted longer than `timeout` seconds.
    """
    patient = client.patient(timeout, cool_down=cool_down)
    try:
        _once_known(lambda: patient.cancel_run(run_id), client.clock, timeout)
    except DBTCloudAPIError as error:
        # a finished run cannot be cancelled
        if error.status_code != 400:
            raise


def cancel_and_confirm(
    client: DBTCloudClientV2, runs: Sequence[Run], *, timeout: float = 60.0
) -> Watch:
    """Cancel runs and watch them until they have finished, or the time is up.

    A run may finish otherwise than cancelled. The `errors` of the result contain the runs that are
    not known to have finished.

    Args:
        client: The client.
        runs: The runs.
        timeout: Seconds for the requests and for watching together.
    """
    began = client.clock.monotonic()

    def left() -> float:
        return max(0.0, timeout - (client.clock.monotonic() - began))

    watch = Watch(client, runs)
    for run in runs:
        try:
            request_cancel(client, id_of(run), timeout=left())
        except DBTCloudException as error:
            watch.give_up(error, id_of(run))
    watch.until(left(), wait_seconds=1.0, at_once=True)
    return watch


def _log_change(before: Run, after: Run) -> None:
    if before.get("status") != after.get("status"):
        logger.info(f"dbt Cloud run {after['id']}: {after.get('status_humanized')}")


def _once_known(request: Callable[[], _T], clock: Clock, timeout: float) -> _T:
    """Repeat a request about a run while a 404 may mean that it is new."""
    began, failures = clock.monotonic(), 0
    while True:
        try:
            return request()
        except DBTCloudNotFoundError as error:
            failures += 1
            left = min(timeout, _UNKNOWN_BY_ID) - (clock.monotonic() - began)
            if left <= 0:
                raise
            if failures == 1:
                logger.warning(
                    "The API does not know this run, which is normal in its first seconds; "
                    f"retrying for up to {left:.0f} seconds. {error}"
                )
            clock.sleep(min(outage_pause(error, failures), left))


def _age(run: Run, clock: Clock) -> float | None:
    """Return the seconds since a run was triggered, assuming that the clocks agree."""
    created = time_of(run, "created_at")
    return None if created is None else max(0.0, clock.time() - created)
