"""From the triggers of a call to the end of their runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dlt.common import logger

from dlt_dbtcloud.abandoning import abandoning
from dlt_dbtcloud.cancelling import request_cancel
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRunFailed
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.postmortem import explain
from dlt_dbtcloud.recovery import retry
from dlt_dbtcloud.starting import start
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run, RunStatus
from dlt_dbtcloud.waiting import Clock, is_over, run_error, watch_runs

__all__ = ["cancel", "connect", "finish", "report", "run_all", "wait"]


def connect(config: DBTCloudConfiguration) -> DBTCloudClientV2:
    """Return a client of the account that a config names."""
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url)


def wait(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    config: DBTCloudConfiguration,
    *,
    are_new: bool,
    timeout: float | None = None,
    clock: Clock = time,
) -> list[Run]:
    """Return runs when they are over, or as they are where the config says not to wait.

    Args:
        client: What asks for their status.
        runs: The runs as they were last seen.
        config: Says whether, how often and for how long to ask.
        are_new: They were triggered just now.
        timeout: Seconds to wait, where less are left than the config says.
        clock: What the time is told by.

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
            timeout=config.timeout if timeout is None else timeout,
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
    began = clock.monotonic()
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
    loads = [trigger.load for trigger, _ in started]
    return finish(client, runs, loads, config, errors, began=began, clock=clock)


def finish(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    loads: Sequence[LastLoad | None],
    config: DBTCloudConfiguration,
    errors: Sequence[DBTCloudException] = (),
    *,
    began: float,
    clock: Clock = time,
) -> list[Run]:
    """Retry runs that failed, as often as the config says, report, and return the latest of them.

    Args:
        client: What speaks to the API.
        runs: The runs, as they have ended.
        loads: The load of each, where it is bound to one.
        config: Says how often; its `timeout` holds for all tries together.
        errors: What kept other runs from being triggered.
        began: When the first try began, by the clock.
        clock: What the time is told by.

    Raises:
        DBTCloudRunTimeout: A retry is still going on.
        DBTCloudException: Another error, or one of those given; the first tells of all.
    """
    ended, problems = list(runs), list(errors)
    for attempt in range(1, config.retries + 1):
        failed = [i for i, run in enumerate(ended) if isinstance(run_error(run), DBTCloudRunFailed)]
        left = config.timeout - (clock.monotonic() - began)
        if not failed or left <= 0:
            break
        again: dict[int, Run] = {}
        for i in failed:
            why = explain(client, ended[i], loads[i], clock=clock)
            logger.warning(f"{why}\nIt is retried now, for time {attempt} of {config.retries}.")
            try:
                again[i] = retry(client, ended[i], timeout=left, clock=clock)
            except DBTCloudException as error:
                problems.append(error)
        over = wait(client, [*again.values()], config, are_new=True, timeout=left, clock=clock)
        ended = [dict(zip(again, over, strict=True)).get(i, run) for i, run in enumerate(ended)]
    report(client, ended, loads, config, problems, clock=clock)
    return ended


def cancel(
    client: DBTCloudClientV2, run_id: int | str, config: DBTCloudConfiguration, clock: Clock = time
) -> Run:
    """Cancel a run that is not over, and return it when it is, if the config says to wait.

    Raises:
        DBTCloudRunTimeout: It is still going on.
        DBTCloudAPIError: An error that does not pass by itself.
        DBTCloudTransportError: There was no answer.
    """
    run = client.get_run_status(run_id)
    if not is_over(run):
        request_cancel(client, run["id"], clock=clock)
        run = client.get_run_status(run_id)
        (run,) = wait(client, [run], config, are_new=False, clock=clock)
    if is_over(run) and run.get("status") != RunStatus.CANCELLED:
        logger.warning(f"Run {run_id} had ended before: {run.get('status_humanized')}.")
    return run


def report(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    loads: Sequence[LastLoad | None],
    config: DBTCloudConfiguration,
    errors: Sequence[DBTCloudException] = (),
    *,
    clock: Clock = time,
) -> None:
    """Raise what went wrong, or log runs that did not succeed: no failure is silent.

    Args:
        client: What reads the causes of failures.
        runs: The runs, as they have ended.
        loads: The load of each, where it is bound to one.
        config: Says whether to raise for a run.
        errors: What kept other runs from being triggered.
        clock: What the time is told by.

    Raises:
        DBTCloudException: The first of the errors, which tells of all.
    """
    failed = [
        explain(client, run, load, clock=clock)
        for run, load in zip(runs, loads, strict=True)
        if run_error(run)
    ]
    if not config.raise_on_failure:
        for error in failed:
            logger.error(str(error))
    raised = [*errors, *(failed if config.raise_on_failure else ())]
    if len(raised) > 1:
        raised[0].args = ("\n".join(f"({i}) {error}" for i, error in enumerate(raised, 1)),)
    if raised:
        raise raised[0]
