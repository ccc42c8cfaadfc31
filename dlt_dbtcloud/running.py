"""From the triggers of a call to the end of their runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.abandoning import abandoning
from dlt_dbtcloud.cancelling import request_cancel
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import Clock, run_error, watch_runs

__all__ = ["connect", "report", "run_all", "skipped_run", "start", "wait"]

_SEEN_WITHIN = 60.0


def connect(config: DBTCloudConfiguration) -> DBTCloudClientV2:
    """Return a client of the account that a config names."""
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url)


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
        logger.info(f"Run {standing['id']} of job {trigger.job_id} is that of this load already.")
        return standing
    run = trigger.send()
    logger.info(f"Run {run['id']} of job {trigger.job_id} was triggered: {run.get('href')}")
    return _eldest(trigger, run, wait_seconds) if trigger.load else run


def wait(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    config: DBTCloudConfiguration,
    *,
    are_new: bool,
    clock: Clock = time,
) -> list[Run]:
    """Return runs when they are over, or as they are where the config says not to wait.

    Raises:
        DBTCloudRunTimeout: One is still going on.
        DBTCloudAPIError: An error that does not pass by itself.
    """
    if not config.wait_for_outcome:
        return list(runs)
    cancel = config.cancel_on_abandon
    with abandoning(lambda: connect(config), runs, cancel=cancel, clock=clock):
        return watch_runs(
            client,
            runs,
            wait_seconds=config.wait_seconds,
            timeout=config.timeout,
            are_new=are_new,
            clock=clock,
        )


def run_all(
    client: DBTCloudClientV2,
    triggers: Sequence[Trigger],
    config: DBTCloudConfiguration,
    clock: Clock = time,
) -> list[Run]:
    """Trigger jobs, wait for all their runs, and return them in the order of the triggers.

    Raises:
        DBTCloudException: A job could not be triggered, or a run did not succeed and the config
            says to raise; where it is several, the first of them tells of all.
    """
    started: list[tuple[Trigger, Run]] = []
    errors: list[DBTCloudException] = []
    for trigger in triggers:
        try:
            started.append((trigger, start(trigger, config.wait_seconds)))
        except DBTCloudException as error:
            errors.append(error)
    runs = wait(client, [run for _, run in started], config, are_new=True, clock=clock)
    for (trigger, _), run in zip(started, runs, strict=True):
        trigger.end(run)
    report(runs, errors, config)
    return runs


def report(
    runs: Sequence[Run], errors: Sequence[DBTCloudException], config: DBTCloudConfiguration
) -> None:
    """Raise what went wrong, or log runs that did not succeed: no failure is silent.

    Args:
        runs: The runs, as they have ended.
        errors: What kept other runs from being triggered.
        config: Says whether to raise for a run.

    Raises:
        DBTCloudException: The first of the errors, which tells of all.
    """
    failed = [error for error in map(run_error, runs) if error]
    if not config.raise_on_failure:
        for error in failed:
            logger.error(str(error))
    raised = [*errors, *(failed if config.raise_on_failure else ())]
    if len(raised) > 1:
        raised[0].args = (" ".join(f"({i}) {error}" for i, error in enumerate(raised, 1)),)
    if raised:
        raise raised[0]


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
        logger.info(f"Run {elder['id']} is of the same load: run {run['id']} is cancelled.")
        request_cancel(trigger.client, run["id"], clock=trigger.clock)
    except DBTCloudException as error:
        logger.warning(f"Whether run {run['id']} is the only one of its load is not known. {error}")
        return run
    return elder
