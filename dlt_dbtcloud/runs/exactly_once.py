"""Exactly one run per trigger, even if a response is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudException,
    DBTCloudTriggerUnknownError,
)
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run

__all__ = ["ExactlyOnce", "Sent", "keep_one"]

# pauses between searches for an accepted run that is not listed yet, in seconds
_SETTLE = (1.0, 2.0, 4.0, 8.0)
_SEARCH_LIMIT = 60.0
_REFUSED_LIMIT = 15.0
_RATE_LIMIT = 600.0
_LOST_RESPONSES = 5


@dataclass(frozen=True)
class Sent:
    """The run that a POST created.

    Args:
        run: The run.
        was_repeated: Whether the POST was sent more than once, so that a second run may appear.
    """

    run: Run
    was_repeated: bool = False


class ExactlyOnce:
    """Sends a POST that creates a run until there is exactly one.

    Args:
        client: The client.
        job_id: The job of the run.
        post: Sends the POST with the client that it is given.
        search: Lists the runs that this POST created, with the client that it is given.
        cause: The text by which a person recognizes the run.
        timeout: Seconds until the POST has to be accepted.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        job_id: str,
        post: Callable[[DBTCloudClientV2], Run],
        search: Callable[[DBTCloudClientV2], list[Run]],
        cause: str,
        timeout: float,
    ) -> None:
        refused, limited = min(_REFUSED_LIMIT, timeout), min(_RATE_LIMIT, timeout)
        self._client = client
        self._sender = client.patient(refused, cool_down=limited - refused)
        self._searcher = client.patient(min(_SEARCH_LIMIT, timeout))
        self._job_id = job_id
        self._post = post
        self._search = search
        self._cause = cause

    def send(self) -> Sent:
        """Return the run.

        An interrupt, such as Ctrl-C, may leave a run behind; a warning names its cause.

        Raises:
            DBTCloudTriggerUnknownError: There may be a run, and it could not be found.
            DBTCloudAPIError: The API refused the POST; there is no run.
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

    def _send(self) -> Sent:
        for lost_responses in range(_LOST_RESPONSES + 1):
            try:
                found = [self._post(self._sender)]
            except DBTCloudException as error:
                found = self._after(error, lost_responses)
                if not found and lost_responses == _LOST_RESPONSES:
                    raise
            was_repeated = lost_responses > 0
            if found and was_repeated:
                found += self._late_runs()
            if found:
                return Sent(keep_one(self._client, found), was_repeated)
        raise AssertionError("the last lost response raises")

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
        found: list[Run] = []
        for pause in _SETTLE:
            self._client.clock.sleep(_jittered(pause))
            try:
                found = self._search(self._searcher)
            except DBTCloudException as error:
                raise self._unknown(lost) from error
            if found:
                break
        return found

    def _late_runs(self) -> list[Run]:
        """Search for runs of earlier POSTs whose responses were lost."""
        found: list[Run] = []
        for pause in _SETTLE:
            self._client.clock.sleep(_jittered(pause))
            try:
                found = self._search(self._client.patient(0))
            except DBTCloudException as error:
                logger.warning(f"A second run of the same trigger could not be ruled out. {error}")
            if len(found) > 1:
                break
        return found

    def _unknown(self, lost: DBTCloudException) -> DBTCloudException:
        """Return the API's refusal if there was one, else the unknown-run error."""
        if isinstance(lost, DBTCloudAPIError) and 400 <= lost.status_code < 500:
            return lost
        return DBTCloudTriggerUnknownError(int(self._job_id), self._cause, str(lost))


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
        request_cancel(client, run_id)
    except DBTCloudException as error:
        logger.error(f"{duplicate} and could not be cancelled: cancel it yourself. {error}")
    else:
        logger.warning(f"{duplicate} and was cancelled.")


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311, not used for secrets
