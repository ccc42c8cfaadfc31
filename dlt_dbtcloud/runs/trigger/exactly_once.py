"""Exactly one run per trigger, even if a response is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import SEVERAL_COOL_DOWNS, outage_pause
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudException,
    DBTCloudTriggerUnknownError,
)
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.runs.trigger.history import Found
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run

__all__ = ["ExactlyOnce", "Sent", "keep_one"]

# pauses between searches for an accepted run that is not listed yet, in seconds
_SETTLE = (1.0, 2.0, 4.0, 8.0)
# the search ends when this many requests in a row have failed, for this many seconds
_FAILURES = 5
_SILENCE = 300.0
_REFUSED_LIMIT = 15.0
_LOST_RESPONSES = 5


@dataclass(frozen=True)
class Sent:
    """The run that a POST created.

    Args:
        run: The run.
        was_lost: Whether a response was lost, so that a second run may appear.
    """

    run: Run
    was_lost: bool = False


class ExactlyOnce:
    """Sends a POST that creates a run until there is exactly one.

    Args:
        client: The client.
        job_id: The job of the run.
        post: Sends the POST with the client that it is given.
        search: Searches for the runs of this POST with the client that it is given.
        cause: The text by which a person recognizes the run.
        timeout: Seconds until the POST has to be accepted.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        job_id: str,
        post: Callable[[DBTCloudClientV2], Run],
        search: Callable[[DBTCloudClientV2], Found],
        cause: str,
        timeout: float,
    ) -> None:
        self.job_id = job_id
        self.cause = cause
        self.search = search
        self._client = client
        self._post = post
        self._deadline = client.clock.monotonic() + timeout

    def send(self) -> Sent:
        """Return the run.

        Raises:
            DBTCloudTriggerUnknownError: There may be a run, and it could not be found.
            DBTCloudAPIError: The API refused the POST; there is no run.
            DBTCloudTransportError: The API cannot be reached; there is no run.
        """
        for lost_responses in range(_LOST_RESPONSES + 1):
            was_lost = lost_responses > 0
            try:
                found = [self._post(self._sender)]
            except DBTCloudException as error:
                found = self._after(error, lost_responses)
                if not found and lost_responses == _LOST_RESPONSES:
                    raise
                was_lost = True
            if found and lost_responses:
                found += self._late_runs()
            if found:
                return Sent(keep_one(self._client, found), was_lost)
        raise AssertionError("the last lost response raises")

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - self._client.clock.monotonic())

    @property
    def _sender(self) -> DBTCloudClientV2:
        refused = min(_REFUSED_LIMIT, self._seconds_left)
        limited = min(SEVERAL_COOL_DOWNS, self._seconds_left)
        return self._client.patient(refused, cool_down=limited - refused)

    @property
    def _searcher(self) -> DBTCloudClientV2:
        """A client that sends a request once, but waits out cool-downs of the API."""
        limited = min(SEVERAL_COOL_DOWNS, self._seconds_left)
        return self._client.patient(0, cool_down=limited, within=self._seconds_left)

    def _after(self, error: DBTCloudException, lost_responses: int) -> list[Run]:
        """Return the runs that exist in spite of an error."""
        if error.may_have_arrived:
            return self._find(error)
        found = self._late_runs() if lost_responses else []
        if not found:
            raise error
        return found

    def _find(self, lost: DBTCloudException) -> list[Run]:
        """Search for the run of a lost response until it is listed, or certainly absent."""
        logger.warning(f"The response to the trigger was lost; searching for its run. {lost}")
        found = Found()
        for pause in map(_jittered, _SETTLE):
            is_too_short = pause > self._seconds_left
            self._sleep(pause)
            found = self._look(lost)
            if found.runs:
                return [*found.runs]
            if is_too_short:
                raise self._unknown(lost, "`timeout` ended the search for it.")
        if found.unclear:
            ids = " or ".join(str(run["id"]) for run in found.unclear)
            reason = f"It may be run {ids}, whose cause dbt Cloud does not show."
            raise self._unknown(lost, reason, is_refused=False)
        return []

    def _look(self, lost: DBTCloudException) -> Found:
        """Search once, and again after failures."""
        began, failures = self._client.clock.monotonic(), 0
        while True:
            try:
                return self.search(self._searcher)
            except DBTCloudException as error:
                failures += 1
                silence = self._client.clock.monotonic() - began
                is_given_up = failures >= _FAILURES and silence >= _SILENCE
                if is_given_up or not error.is_outage or not self._seconds_left:
                    raise self._unknown(lost, f"The last search for it failed: {error}") from error
                self._sleep(outage_pause(error, failures))

    def _late_runs(self) -> list[Run]:
        """Search for runs of earlier POSTs whose responses were lost."""
        found: Sequence[Run] = []
        for pause in _SETTLE:
            self._sleep(_jittered(pause))
            try:
                found = self.search(self._searcher).runs
            except DBTCloudException as error:
                logger.warning(f"A second run of the same trigger could not be ruled out. {error}")
            if len(found) > 1:
                break
        return [*found]

    def _sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until the deadline."""
        self._client.clock.sleep(min(seconds, self._seconds_left))

    def _unknown(
        self, lost: DBTCloudException, reason: str, *, is_refused: bool = True
    ) -> DBTCloudException:
        """Return the API's refusal if there was one, else the unknown-run error."""
        if is_refused and isinstance(lost, DBTCloudAPIError) and 400 <= lost.status_code < 500:
            return lost
        return DBTCloudTriggerUnknownError(int(self.job_id), self.cause, f"{lost} {reason}")


def keep_one(client: DBTCloudClientV2, runs: Iterable[Run], keep: Run | None = None) -> Run:
    """Cancel all but one of the runs of a trigger, and return that one.

    A run that cannot be cancelled is logged as an error.

    Args:
        client: The client.
        runs: The runs.
        keep: The run to keep, by default the first.
    """
    by_id = {id_of(run): run for run in runs}
    kept = keep or by_id[min(by_id)]
    for run_id, run in by_id.items():
        if run_id != id_of(kept) and not has_finished(run):
            _cancel(client, run_id, id_of(kept))
    return kept


def _cancel(client: DBTCloudClientV2, run_id: int, kept_id: int) -> None:
    duplicate = f"Run {run_id} is a duplicate of run {kept_id}, created by the same trigger,"
    try:
        request_cancel(client, run_id, cool_down=SEVERAL_COOL_DOWNS)
    except DBTCloudException as error:
        logger.error(f"{duplicate} and could not be cancelled: cancel it yourself. {error}")
    else:
        logger.warning(f"{duplicate} and was cancelled.")


def _jittered(seconds: float) -> float:
    """Return a randomly longer pause; a list may lag by the sum of all pauses."""
    return seconds * random.uniform(1.0, 1.25)  # noqa: S311, not used for secrets
