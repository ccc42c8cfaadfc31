"""Retry of a failed run, in the cheapest way that works.

How often a call retries (`retries`) is decided in `lifecycle`.

1. The API's own retry of that run, if it is available.
2. Else the failed step for its unsuccessful nodes only, and the steps that never began.
3. Else the failed step and the steps that never began, unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.artifacts.results import UNSUCCESSFUL
from dlt_dbtcloud.cause import retried_run, with_retries
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import CommandError, DbtCommand, Manifest, fits, node_selector
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudRateLimitError,
    run_error,
)
from dlt_dbtcloud.payloads import RELATED, id_of, planned_commands, remaining_work
from dlt_dbtcloud.runs.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.failure import Postmortem
from dlt_dbtcloud.runs.trigger import Trigger, keep_earliest, start
from dlt_dbtcloud.typing import NodeResult, Run, RunStatus, TriggerData

__all__ = ["newer_runs", "retry", "retry_once", "undone_only"]


def retry(client: DBTCloudClientV2, run: Run, *, timeout: float = 86400.0) -> Run:
    """Retry a failed or cancelled run exactly once, and return the run that does it.

    A run that was retried before is continued from its latest retry. A retry that is in flight or
    successful is returned.

    Args:
        client: The client.
        run: The run, when it has finished.
        timeout: Seconds until the retry has to be accepted.

    Raises:
        DBTCloudTriggerUnknownError: There may be a retry, and it could not be found.
        DBTCloudAPIError: The API refused; there is no retry.
        DBTCloudTransportError: The API cannot be reached; there is no retry.
    """
    latest = _latest(client, run)
    if run_error(latest) is None:
        logger.warning(f"Run {latest['id']} is not retried: {latest.get('status_humanized')}.")
        return latest
    postmortem = Postmortem(client, latest)
    failed = postmortem.run
    if failed.get("can_retry"):
        try:
            again = retry_once(client, failed, timeout=timeout)
        except DBTCloudAPIError as error:
            if not _is_refusal(error):
                raise
            logger.info(f"dbt Cloud does not retry run {latest['id']} itself. {error}")
        else:
            logger.info(f"Run {again['id']} retries run {latest['id']} from its failure.")
            return again
    steps = _steps(postmortem, _planned(client, failed))
    trigger = Trigger(
        str(latest["job_definition_id"]), _body(failed, steps), retried=failed, timeout=timeout
    )
    return keep_earliest(client, trigger, start(client, trigger)).run


def retry_once(client: DBTCloudClientV2, run: Run, *, timeout: float) -> Run:
    """Retry a failed run through the API, exactly once, and return the run that does it.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, and it could not be found.
        DBTCloudAPIError: The API refused; there is no run.
        DBTCloudTransportError: The API cannot be reached; there is no run.
    """

    def retries(searcher: DBTCloudClientV2) -> list[Run]:
        return [other for other in newer_runs(searcher, run) if retried_run(other) == id_of(run)]

    once = ExactlyOnce(
        client,
        str(run["job_definition_id"]),
        post=lambda sender: sender.retry_run(id_of(run)),
        search=retries,
        cause=f"a retry of run {run['id']}",
        timeout=timeout,
    )
    return once.send().run


def newer_runs(client: DBTCloudClientV2, run: Run) -> list[Run]:
    """Return the runs of the same job that were triggered after a run, the newest first.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    newest = client.list_runs(
        job_definition_id=run["job_definition_id"],
        id__gt=id_of(run),
        include_related=["trigger"],
        order_by="-id",
    )
    return list(takewhile(lambda other: id_of(other) > id_of(run), newest))


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


def _latest(client: DBTCloudClientV2, run: Run) -> Run:
    """Return the newest usable retry of a run, else its newest retry, else the run."""
    chain = with_retries([run], newer_runs(client.patient(), run))
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


def _planned(client: DBTCloudClientV2, run: Run) -> tuple[str, ...]:
    """Return the commands that a run had to execute; for the API's retry, those left then."""
    before = run.get("retrying_run_id")
    # a retry is always the newer one
    if not before or before >= id_of(run):
        return planned_commands(run)
    parent = client.patient().get_run_status(before, RELATED)
    undone = remaining_work(parent, _planned(client, parent))
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
