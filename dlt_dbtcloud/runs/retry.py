"""Retrying a run that failed, the cheapest way that works: never more than it left undone.

1. The API's own retry of that run, where it can be.
2. Else the step that failed on just its unsuccessful nodes, and the steps that never began.
3. Else the step that failed and those that never began, whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.artifacts.results import UNSUCCESSFUL
from dlt_dbtcloud.cause import retried_run, with_retries
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock, through_outages
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import CommandError, DbtCommand, Manifest, fits, node_selector
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudRateLimitError,
    run_error,
)
from dlt_dbtcloud.payloads import id_of, planned_commands, remaining_work
from dlt_dbtcloud.runs.exactly_once import Once
from dlt_dbtcloud.runs.failure import RELATED, Postmortem
from dlt_dbtcloud.runs.trigger import Trigger, start
from dlt_dbtcloud.typing import NodeResult, Run, RunStatus, TriggerData

__all__ = ["newer_runs", "retry", "retry_once", "undone_only"]


def retry_once(client: DBTCloudClientV2, run: Run, *, timeout: float, clock: Clock = time) -> Run:
    """Retry a failed run through the API, exactly once, and return the run that does it.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
        DBTCloudAPIError: The API refused; there is no run.
        DBTCloudTransportError: The API cannot be reached; there is no run.
    """

    def search() -> list[Run]:
        return [other for other in newer_runs(client, run) if retried_run(other) == run["id"]]

    return Once(
        client,
        str(run["job_definition_id"]),
        post=lambda: client.retry_run(run["id"]),
        search=search,
        cause=f"a retry of run {run['id']}",
        timeout=timeout,
        clock=clock,
    ).send()


def newer_runs(client: DBTCloudClientV2, run: Run) -> list[Run]:
    """Return the runs of a run's job that were triggered after it, the newest first.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    newest = client.without_retries().list_runs(
        job_definition_id=run["job_definition_id"],
        id__gt=run["id"],
        include_related=["trigger"],
        order_by="-id",
    )
    return list(takewhile(lambda other: id_of(other) > id_of(run), newest))


def retry(
    client: DBTCloudClientV2, run: Run, *, timeout: float = 86400.0, clock: Clock = time
) -> Run:
    """Retry a run that failed or was cancelled, exactly once, and return the run that does it.

    Where it has been retried already, that goes on from the latest of its retries: one in flight or
    successful is returned.

    Args:
        client: What speaks to the API.
        run: The run, when it is over.
        timeout: Seconds that may pass until the retry is accepted.
        clock: What the time is told by.

    Raises:
        DBTCloudTriggerUnknownError: There may be a retry, which cannot be found out.
        DBTCloudAPIError: The API refused; there is no retry.
        DBTCloudTransportError: The API cannot be reached; there is no retry.
    """
    latest = _latest(client, run, clock)
    if run_error(latest) is None:
        logger.warning(f"Run {latest['id']} is not retried: {latest.get('status_humanized')}.")
        return latest
    postmortem = Postmortem(client, latest, clock=clock)
    failed = postmortem.run
    if failed.get("can_retry"):
        try:
            again = retry_once(client, failed, timeout=timeout, clock=clock)
        except DBTCloudAPIError as error:
            if not _is_refusal(error):
                raise
            logger.info(f"dbt Cloud does not retry run {latest['id']} itself. {error}")
        else:
            logger.info(f"Run {again['id']} retries run {latest['id']} from its failure on.")
            return again
    trigger = Trigger(
        client,
        str(latest["job_definition_id"]),
        _body(failed, _steps(postmortem, _planned(client, failed, clock))),
        retried=failed,
        timeout=timeout,
        clock=clock,
    )
    return start(trigger)


def undone_only(line: str, results: Sequence[NodeResult], manifest: Manifest) -> str | None:
    """Return a command that failed for just the nodes that it left undone, or None: whole it is.

    Args:
        line: The command.
        results: What each node did in it.
        manifest: Its manifest.
    """
    undone = [result["unique_id"] for result in results if result["status"] in UNSUCCESSFUL]
    nodes = [manifest.entry(unique_id) for unique_id in undone]
    try:
        command = DbtCommand.parse(line)
        if not nodes or not all(nodes) or not command.selects_nodes:
            return None
        again = command.selecting([node_selector(node) for node in nodes])
    except CommandError:
        return None
    return str(again) if fits(again) else None


def _latest(client: DBTCloudClientV2, run: Run, clock: Clock) -> Run:
    """Return the run that the newest retry of a run, and the retries of that, have led to."""
    newer = through_outages(lambda: newer_runs(client, run), clock=clock)
    chain = with_retries([run], newer)
    return next((each for each in reversed(chain) if run_error(each) is None), chain[-1])


def _steps(postmortem: Postmortem, planned: Sequence[str]) -> tuple[str, ...]:
    """Return the commands of a retry: those that a run left undone, narrowed where that can be."""
    run = postmortem.run
    undone = remaining_work(run, planned)
    if undone.failed is None:
        logger.info(f"Run {run['id']} is run again whole: none of its commands had begun.")
        return undone.remaining
    # what was cancelled has told of some nodes only
    is_told = (postmortem.step or {}).get("status") == RunStatus.ERROR and postmortem.results
    again = undone_only(undone.failed, postmortem.results, postmortem.manifest) if is_told else None
    part = "its unsuccessful nodes" if again else "its failed command whole"
    logger.info(f"Run {run['id']} is run again: {part}, and what never began.")
    return (again or undone.failed, *undone.remaining)


def _planned(client: DBTCloudClientV2, run: Run, clock: Clock) -> tuple[str, ...]:
    """Return the commands that a run was to execute: of the API's retry, what was left then."""
    before = run.get("retrying_run_id")
    # a retry is always the newer one
    if not before or before >= id_of(run):
        return planned_commands(run)
    once = client.without_retries()
    parent = through_outages(lambda: once.get_run_status(before, RELATED), clock=clock)
    undone = remaining_work(parent, _planned(client, parent, clock))
    return (*([undone.failed] if undone.failed else ()), *undone.remaining)


def _body(run: Run, steps: Sequence[str]) -> TriggerData:
    """Return the trigger of a retry: what the run itself was triggered with, on these steps."""
    trigger = run.get("trigger") or {}
    carried = {name: trigger.get(name) for name in OVERRIDES}
    # the job's own steps are named only where others are meant, as somebody may have changed them
    if steps and tuple(steps) != planned_commands(run):
        carried["steps_override"] = list(steps)
    body = {name: value for name, value in carried.items() if value is not None}
    return cast(TriggerData, body)


def _is_refusal(error: DBTCloudAPIError) -> bool:
    is_other = isinstance(error, DBTCloudAuthError | DBTCloudRateLimitError)
    return 400 <= error.status_code < 500 and not error.may_have_arrived and not is_other
