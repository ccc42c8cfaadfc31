"""Retry of a failed run, in the cheapest way that works.

How often a call retries (`retries`) is decided in `lifecycle`.

1. The API's own retry of that run, if it is available.
2. Else the failed command on its failed and skipped nodes, and the commands that never began.
3. Else the failed command and the commands that never began, unchanged.
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
    DBTCloudException,
    DBTCloudRateLimitError,
    run_error,
)
from dlt_dbtcloud.payloads import RELATED, id_of, planned_commands, remaining_work
from dlt_dbtcloud.runs.duplicates import keep_earliest
from dlt_dbtcloud.runs.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.failure import Postmortem
from dlt_dbtcloud.runs.history import Found, clarified
from dlt_dbtcloud.runs.trigger import Note, Trigger, start
from dlt_dbtcloud.typing import NodeResult, Run, RunStatus, TriggerData

__all__ = ["narrowed_retry", "retry", "retry_once"]


def retry(
    client: DBTCloudClientV2, run: Run, *, timeout: float = 86400.0, note: Note = lambda _: None
) -> Run:
    """Retry a failed or cancelled run exactly once, and return the retry.

    If the run was retried before, its latest retry is retried instead, unless that is running or
    successful: then it is returned.

    Args:
        client: The client.
        run: The run, when it has finished.
        timeout: Seconds until the retry must be accepted.
        note: Takes note of a POST before it is sent.

    Raises:
        DBTCloudTriggerUnknownError: There may be a retry that could not be found.
        DBTCloudAPIError: The API returned an error; there is no retry.
        DBTCloudTransportError: The API did not respond; there is no retry.
        DBTCloudException: The job of the run is unknown.
    """
    if run.get("job_definition_id") is None:
        raise DBTCloudException(f"The API returned run {run['id']} without the id of its job.")
    latest = _latest(client, run)
    if run_error(latest) is None:
        status = latest.get("status_humanized")
        logger.warning(f"Run {latest['id']} is not retried, as its status is {status}.")
        return latest
    postmortem = Postmortem(client, latest)
    failed = postmortem.run
    if failed.get("can_retry"):
        try:
            again = retry_once(client, failed, timeout=timeout, note=note)
        except DBTCloudAPIError as error:
            if not _is_refusal(error):
                raise
            logger.info(
                f"dbt Cloud does not retry run {latest['id']}; triggering a new run. {error}"
            )
        else:
            logger.info(f"Run {again['id']} retries run {latest['id']} from its failure.")
            return again
    steps = _steps(postmortem, _planned(client, failed))
    trigger = Trigger(
        str(latest["job_definition_id"]), _body(failed, steps), retried=failed, timeout=timeout
    )
    return keep_earliest(client, trigger, start(client, trigger, note)).run


def retry_once(
    client: DBTCloudClientV2, run: Run, *, timeout: float, note: Note = lambda _: None
) -> Run:
    """Retry a failed run through the API exactly once, and return the retry.

    Raises:
        DBTCloudTriggerUnknownError: There may be a retry that could not be found.
        DBTCloudAPIError: The API returned an error; there is no retry.
        DBTCloudTransportError: The API did not respond; there is no retry.
    """

    def retries(searcher: DBTCloudClientV2) -> Found:
        newer = _newer_runs(searcher, run)
        unclear = [clarified(searcher, other) for other in newer if not _shows_retried(other)]
        known = [other for other in (*newer, *unclear) if retried_run(other) == id_of(run)]
        return Found(known, [other for other in unclear if not _shows_retried(other)])

    once = ExactlyOnce(
        client,
        str(run["job_definition_id"]),
        post=lambda sender: sender.retry_run(id_of(run)),
        search=retries,
        cause=f"a retry of run {run['id']}",
        timeout=timeout,
    )
    note(once)
    return once.send().run


def _shows_retried(run: Run) -> bool:
    """Return whether a payload shows which run was retried, if any."""
    return "retrying_run_id" in run or bool((run.get("trigger") or {}).get("cause"))


def narrowed_retry(line: str, results: Sequence[NodeResult], manifest: Manifest) -> str | None:
    """Return a failed command on its unsuccessful nodes, or None if it cannot be narrowed.

    Args:
        line: The command.
        results: The results of its nodes.
        manifest: Its manifest.
    """
    undone = [result["unique_id"] for result in results if result["status"] in UNSUCCESSFUL]
    nodes = [manifest.entry(unique_id) for unique_id in undone]
    try:
        command = DbtCommand.parse(line)
        if not nodes or not all(nodes) or not command.selects_nodes:
            return None
        narrowed = command.selecting([node_selector(node) for node in nodes])
    except CommandError:
        return None
    return str(narrowed) if fits(narrowed) else None


def _newer_runs(client: DBTCloudClientV2, run: Run) -> list[Run]:
    """Return the newer runs of the job of a run, newest first.

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


def _latest(client: DBTCloudClientV2, run: Run) -> Run:
    """Return the newest usable retry of a run, else its newest retry, else the run."""
    chain = with_retries([run], _newer_runs(client.patient(), run))
    return next((each for each in reversed(chain) if run_error(each) is None), chain[-1])


def _steps(postmortem: Postmortem, planned: Sequence[str]) -> tuple[str, ...]:
    """Return the commands of a retry: those that a run has left, narrowed if possible."""
    run = postmortem.run
    left = remaining_work(run, planned)
    if left.failed is None:
        logger.info(f"Retrying all of run {run['id']}, as none of its commands had begun.")
        return left.remaining
    # the results of a cancelled step are incomplete
    has_results = (postmortem.step or {}).get("status") == RunStatus.ERROR and postmortem.results
    narrowed = (
        narrowed_retry(left.failed, postmortem.results, postmortem.manifest)
        if has_results
        else None
    )
    part = "the unsuccessful nodes" if narrowed else "all"
    logger.info(
        f"Retrying run {run['id']}: {part} of the failed command, and the commands after it."
    )
    return (narrowed or left.failed, *left.remaining)


def _planned(client: DBTCloudClientV2, run: Run) -> tuple[str, ...]:
    """Return the commands that a run, or an API retry, had to execute."""
    before = run.get("retrying_run_id")
    # a retry is newer than the run that it retries
    if not before or before >= id_of(run):
        return planned_commands(run)
    parent = client.patient().get_run_status(before, RELATED)
    left = remaining_work(parent, _planned(client, parent))
    return (*([left.failed] if left.failed else ()), *left.remaining)


def _body(run: Run, steps: Sequence[str]) -> TriggerData:
    """Return the data of a retry: the overrides of the run, with these steps."""
    trigger = run.get("trigger") or {}
    overrides = {name: trigger.get(name) for name in OVERRIDES}
    # the job's own steps stay unnamed, as they may have changed since
    if steps and tuple(steps) != planned_commands(run):
        overrides["steps_override"] = list(steps)
    body = {name: value for name, value in overrides.items() if value is not None}
    return cast(TriggerData, body)


def _is_refusal(error: DBTCloudAPIError) -> bool:
    is_other = isinstance(error, DBTCloudAuthError | DBTCloudRateLimitError)
    return 400 <= error.status_code < 500 and not error.may_have_arrived and not is_other
