"""Getting to the one run of a trigger: that which its load has already, or a new one."""

from __future__ import annotations

from typing import cast

from dlt.common import logger

from dlt_dbtcloud.cancelling import request_cancel
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import watch_runs

__all__ = ["skipped_run", "start"]

_SEEN_WITHIN = 60.0


def skipped_run(reason: str) -> Run:
    """Return what stands for the run where there is nothing to build, and say so."""
    logger.warning(f"No dbt Cloud job was run: {reason}")
    flags = {"is_success": True, "is_error": False, "is_cancelled": False, "in_progress": False}
    skipped = {"id": None, "status_humanized": "Skipped", "status_message": reason}
    return cast(Run, {**skipped, "is_complete": True, **flags})


def start(trigger: Trigger, wait_seconds: float = 1.0) -> Run:
    """Return the one run of a trigger: the one that its load has already, or a new one.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
        DBTCloudAPIError: The API refused, or answered with an error.
        DBTCloudTransportError: The API cannot be reached.
    """
    standing = trigger.standing_run()
    if standing:
        logger.info(f"Job {trigger.job_id} has run {standing['id']} for this already.")
        return standing
    run = trigger.send()
    logger.info(f"Run {run['id']} of job {trigger.job_id} was triggered: {run.get('href')}")
    return _eldest(trigger, run, wait_seconds) if trigger.load or trigger.retried else run


def _eldest(trigger: Trigger, run: Run, wait_seconds: float) -> Run:
    """Return the run of another worker that was faster with the same load, or ours."""
    try:
        (seen,) = watch_runs(
            trigger.client,
            [run],
            wait_seconds=min(1.0, wait_seconds),
            timeout=_SEEN_WITHIN,
            are_new=True,
            until=lambda each: each is not run,
            clock=trigger.clock,
        )
        elder = trigger.elder(seen) if seen.get("blocked_by") else None
        if elder is None:
            return seen
        logger.info(f"Run {elder['id']} came before: run {run['id']} is cancelled.")
        request_cancel(trigger.client, run["id"], clock=trigger.clock)
    except DBTCloudException as error:
        logger.warning(f"Whether run {run['id']} is the only one of its load is not known. {error}")
        return run
    return elder
