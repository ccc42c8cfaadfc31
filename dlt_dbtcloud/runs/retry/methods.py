"""Retry of a failed run, in the cheapest way that is certain.

How often a call retries (`retries`) is decided in `lifecycle`, what a run has left in `backlog`.

1. The API's own retry of that run, if it is available.
2. Else the failed command on its failed and skipped nodes, and the commands that never began.
3. Else the failed command and the commands that never began, unchanged.

If the results of the failed command do not show which nodes are left, the third way is the first.
A retry that succeeds without executing these nodes is followed by the next way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.cause import retried_run, with_retries
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import (
    CommandError,
    DbtCommand,
    Manifest,
    executes_all_tests,
    fits,
    node_selector,
)
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudException,
    DBTCloudRateLimitError,
    run_error,
)
from dlt_dbtcloud.payloads import has_finished, id_of, planned_commands
from dlt_dbtcloud.runs.retry.backlog import Backlog, Backlogs, RetryMethod, Task
from dlt_dbtcloud.runs.trigger.duplicates import keep_earliest
from dlt_dbtcloud.runs.trigger.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.trigger.history import Found, clarified
from dlt_dbtcloud.runs.trigger.start import Note, start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run, TriggerData

__all__ = ["can_resume", "narrowed_retry", "retry", "retry_once"]


def retry(
    client: DBTCloudClientV2,
    run: Run,
    backlogs: Backlogs | None = None,
    *,
    timeout: float = 86400.0,
    note: Note = lambda _: None,
) -> Run:
    """Retry a failed or cancelled run exactly once, and return the retry.

    If the run was retried before, its latest retry is retried instead. A retry that is running or
    has certainly succeeded is returned.

    Args:
        client: The client.
        run: The run, when it has finished.
        backlogs: The backlogs that are read already.
        timeout: Seconds until the retry must be accepted.
        note: Called with each POST before it is sent.

    Raises:
        DBTCloudTriggerUnknownError: There may be a retry that could not be found.
        DBTCloudAPIError: The API returned an error; there is no retry.
        DBTCloudTransportError: The API did not respond; there is no retry.
        DBTCloudException: The job of the run is unknown.
    """
    if run.get("job_definition_id") is None:
        raise DBTCloudException(f"The API returned run {run['id']} without the id of its job.")
    backlogs = backlogs or Backlogs(client)
    latest = _latest(client, run, backlogs)
    if _is_usable(latest, backlogs):
        status = latest.get("status_humanized")
        retry_of = "" if latest["id"] == run["id"] else f", the retry of run {run['id']},"
        logger.warning(f"Run {latest['id']}{retry_of} is not retried, as its status is {status}.")
        return latest
    backlog = backlogs.of(latest)
    if can_resume(backlog, backlogs):
        try:
            again = retry_once(client, backlog.run, timeout=timeout, note=note)
        except DBTCloudAPIError as error:
            if not _is_refusal(error):
                raise
            logger.info(
                f"dbt Cloud does not retry run {latest['id']}; triggering a new run. {error}"
            )
        else:
            logger.info(f"Run {again['id']} retries run {latest['id']} from its failure.")
            return again
    trigger = Trigger(
        str(latest["job_definition_id"]),
        _body(backlog.origin, _steps(backlog, backlogs)),
        retried=backlog.run,
        timeout=timeout,
    )
    return keep_earliest(client, trigger, start(client, trigger, note, backlogs)).run


def can_resume(backlog: Backlog, backlogs: Backlogs) -> bool:
    """Return whether the API's own retry executes exactly what a run has left."""
    if not backlog.run.get("can_retry") or backlog.failed_task != 0:
        return False
    task = backlog.tasks[0]
    if task.nodes is None or task.tried:
        return False
    manifest = backlogs.manifest(backlog.run)
    # dbt Fusion retries a command with all tests of what it builds, even if it excludes them
    return not manifest.is_from_fusion or executes_all_tests(task.line, manifest)


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


def narrowed_retry(line: str, nodes: Iterable[str], manifest: Manifest) -> str | None:
    """Return a failed command on some of its nodes; None if it cannot be narrowed.

    Args:
        line: The command.
        nodes: The unique ids of the nodes.
        manifest: Its manifest, or that of a later run.
    """
    unique_ids = [*nodes]
    entries = [manifest.entry(unique_id) for unique_id in unique_ids]
    try:
        command = DbtCommand.parse(line)
        is_known = all(unique_id in manifest for unique_id in unique_ids)
        if not entries or not is_known or not command.selects_nodes:
            return None
        narrowed = command.selecting([node_selector(entry) for entry in entries])
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


def _latest(client: DBTCloudClientV2, run: Run, backlogs: Backlogs) -> Run:
    """Return the newest usable retry of a run, else its newest retry, else the run."""
    chain = with_retries([run], _newer_runs(client.patient(cool_down=COOL_DOWN), run))
    return next((each for each in reversed(chain) if _is_usable(each, backlogs)), chain[-1])


def _is_usable(run: Run, backlogs: Backlogs) -> bool:
    """Return whether a run is running, or has certainly succeeded."""
    if run_error(run) is not None:
        return False
    return not has_finished(run) or not backlogs.of(run).is_uncertain


def _steps(backlog: Backlog, backlogs: Backlogs) -> tuple[str, ...]:
    """Return the commands of a retry: those that a run has left, narrowed if possible."""
    run_id = backlog.run["id"]
    lines = tuple(_line(task, backlog, backlogs) for task in backlog.tasks)
    if all(task.nodes is None for task in backlog.tasks) and backlog.failed_task is None:
        logger.info(f"Retrying all of run {run_id}, as none of its commands had begun.")
        return lines or planned_commands(backlog.run)
    is_narrowed = any(line != task.line for line, task in zip(lines, backlog.tasks, strict=True))
    part = "the unsuccessful nodes" if is_narrowed else "all"
    logger.info(f"Retrying run {run_id}: {part} of the failed command, and the commands after it.")
    return lines


def _line(task: Task, backlog: Backlog, backlogs: Backlogs) -> str:
    """Return the command that executes what a task has left."""
    if task.nodes is None or (task.tried or RetryMethod.RETRY) > RetryMethod.RETRY:
        return task.line
    manifest = backlogs.manifest(backlog.run)
    return narrowed_retry(task.line, sorted(task.nodes), manifest) or task.line


def _body(run: Run, steps: Sequence[str]) -> TriggerData:
    """Return the data of a retry: the overrides of the first run, with these steps."""
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
