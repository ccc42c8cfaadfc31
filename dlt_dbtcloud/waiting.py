"""Watching a run to its end, and what that end means."""

from __future__ import annotations

import time
from typing import Protocol

from dlt.common import logger

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import (
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
)
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["Clock", "is_over", "run_error", "watch_run"]


class Clock(Protocol):
    """What the time is told by, and passed with; the module `time` is one."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Let seconds pass."""


def watch_run(
    client: DBTCloudClientV2,
    run: Run,
    *,
    wait_seconds: float,
    timeout: float,
    clock: Clock = time,
) -> Run:
    """Return a run when it is over.

    Args:
        client: what asks for its status.
        run: the run as it was last seen, which costs no request.
        wait_seconds: the longest pause between two checks.
        timeout: seconds to wait; the last check comes after them.
        clock: what the time is told by.

    Raises:
        DBTCloudRunTimeout: it is still going on.
        DBTCloudAPIError: a check was answered with an error.
        DBTCloudTransportError: a check got no answer.
    """
    began = clock.monotonic()
    status = None
    while not is_over(run):
        if run.get("status") != status:
            status = run.get("status")
            logger.info(f"dbt Cloud run {run['id']}: {run.get('status_humanized')}")
        waited = clock.monotonic() - began
        if waited >= timeout:
            raise DBTCloudRunTimeout(run, timeout)
        clock.sleep(min(_pause(waited, wait_seconds), timeout - waited))
        run = client.get_run_status(run["id"])
    logger.info(f"dbt Cloud run {run['id']}: {run.get('status_humanized')}")
    return run


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, by what the API says, as its codes may become more."""
    if "is_complete" in run:
        return bool(run["is_complete"])
    return not run.get("in_progress", run["status"] < RunStatus.SUCCESS)


def run_error(run: Run) -> DBTCloudRunError | None:
    """Return the error that a run's end means, or None where it succeeded or is not over."""
    if not is_over(run) or run.get("is_success") or run.get("status") == RunStatus.SUCCESS:
        return None
    if run.get("is_cancelled") or run.get("status") == RunStatus.CANCELLED:
        return DBTCloudRunCancelled(run)
    return DBTCloudRunFailed(run)


def _pause(waited: float, wait_seconds: float) -> float:
    """Return the seconds to the next check: a tenth of the wait so far, within bounds."""
    return min(wait_seconds, max(1.0, waited / 10))
