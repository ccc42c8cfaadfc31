"""How a POST that makes a run makes exactly one, whatever becomes of its answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from itertools import chain, repeat

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudException,
    DBTCloudRateLimitError,
    DBTCloudTransportError,
    DBTCloudTriggerUnknownError,
)
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run

__all__ = ["Once"]


# how long an accepted run may take to be listed: pauses between searches, in seconds
_SETTLE = (1.0, 2.0, 4.0, 8.0)
_SEARCH_PAUSE = 4.0
_SEARCH_LIMIT = 60.0
_REFUSED_LIMIT = 15.0
_RATE_LIMIT = 600.0
_LOST_ANSWERS = 5


class Once:
    """Sends a POST until there is the run that it makes, and sees to it that there is but one.

    Args:
        client: What it is sent with.
        job_id: The job whose run it makes.
        post: Sends it, once.
        search: Asks once for the runs that this POST has made.
        cause: What a person would recognise the run by.
        timeout: Seconds that may pass until it is accepted.
        clock: What the time is told by.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        job_id: str,
        post: Callable[[], Run],
        search: Callable[[], list[Run]],
        cause: str,
        timeout: float,
        clock: Clock = time,
    ) -> None:
        self.was_repeated = False
        self._client = client
        self._job_id = job_id
        self._post = post
        self._search = search
        self._cause = cause
        self._timeout = timeout
        self._clock = clock

    def send(self) -> Run:
        """Return the run.

        Whatever else is raised into it, such as Ctrl-C, leaves a run that may not be known.

        Raises:
            DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
            DBTCloudAPIError: The API did not accept it; there is no run.
            DBTCloudTransportError: The API cannot be reached; there is no run.
        """
        try:
            return self._send()
        except DBTCloudException:
            raise
        except BaseException:
            logger.warning(
                f"Job {self._job_id} may have been triggered: look in its run history in dbt Cloud "
                f"for the cause `{self._cause}`."
            )
            raise

    def _send(self) -> Run:
        for lost_answers in range(_LOST_ANSWERS + 1):
            try:
                found = [self._accepted()]
            except DBTCloudException as error:
                found = self._after(error, lost_answers)
                if not found and lost_answers == _LOST_ANSWERS:
                    raise
            self.was_repeated = lost_answers > 0
            if found and self.was_repeated:
                found += self._late()
            if found:
                return self.only(found)
        raise AssertionError("the last lost answer raises")

    def _after(self, error: DBTCloudException, lost_answers: int) -> list[Run]:
        """Return the run that there is in spite of an error."""
        if error.may_have_arrived:
            return self._settled(error)
        found = self._late() if lost_answers else []
        if not found:
            raise error
        return found

    def _accepted(self) -> Run:
        """Send, and try again while it is certain that nothing has arrived."""
        began = self._clock.monotonic()
        for pause in chain(_SETTLE, repeat(60.0)):
            try:
                return self._post()
            except (DBTCloudRateLimitError, DBTCloudTransportError) as error:
                if error.may_have_arrived:
                    raise
                limit = _RATE_LIMIT if isinstance(error, DBTCloudAPIError) else _REFUSED_LIMIT
                pause = max(_jittered(pause), getattr(error, "retry_after", None) or 0.0)
                waited = self._clock.monotonic() - began + pause
                if waited > min(limit, self._timeout):
                    raise
                self._clock.sleep(pause)
        raise AssertionError("the pauses have no end")

    def _settled(self, lost: DBTCloudException) -> list[Run]:
        """Look for the run of a lost answer until it is there, or has had its time to appear."""
        logger.warning(f"The answer to a trigger was lost, its run is looked for. {lost}")
        began = self._clock.monotonic()
        trouble: DBTCloudException | None = None
        for number, pause in enumerate(chain(_SETTLE, repeat(_SEARCH_PAUSE)), start=1):
            self._clock.sleep(_jittered(pause))
            try:
                found, trouble = self._search(), None
            except DBTCloudException as error:
                if not error.is_outage:
                    raise self._unknown(lost) from error
                found, trouble = [], error
            if found or (trouble is None and number >= len(_SETTLE)):
                return found
            searched = self._clock.monotonic() - began
            if trouble and searched > min(_SEARCH_LIMIT, self._timeout):
                raise self._unknown(lost) from trouble
        raise AssertionError("the pauses have no end")

    def _late(self) -> list[Run]:
        """Look for runs of answers that were lost before the one that came."""
        found: list[Run] = []
        for pause in _SETTLE:
            self._clock.sleep(_jittered(pause))
            try:
                found = self._search()
            except DBTCloudException as error:
                logger.warning(f"A second run of the same trigger could not be ruled out. {error}")
            if len(found) > 1:
                break
        return found

    def only(self, runs: Iterable[Run], kept: Run | None = None) -> Run:
        """Return one of some runs, by default the first, and cancel the others.

        One that cannot be cancelled is said to go on; it does not make the one that is kept fail.
        """
        by_id = {id_of(run): run for run in runs}
        kept = kept or by_id[min(by_id)]
        for run_id, run in by_id.items():
            if run_id != kept["id"] and not has_finished(run):
                self._cancel(run_id, id_of(kept))
        return kept

    def _cancel(self, run_id: int, kept_id: int) -> None:
        beside = f"Run {run_id} was made by the same trigger as run {kept_id}"
        try:
            request_cancel(self._client, run_id, clock=self._clock)
        except DBTCloudException as error:
            logger.error(f"{beside}, and could not be cancelled: cancel it yourself. {error}")
        else:
            logger.warning(f"{beside}, and is cancelled.")

    def _unknown(self, lost: DBTCloudException) -> DBTCloudException:
        """Return the error for a run of which nothing is known: the API's no where it said no."""
        if isinstance(lost, DBTCloudAPIError) and 400 <= lost.status_code < 500:
            return lost
        return DBTCloudTriggerUnknownError(int(self._job_id), self._cause, str(lost))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311, it keeps no secret
