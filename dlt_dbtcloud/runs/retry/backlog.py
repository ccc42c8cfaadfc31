"""Commands and nodes that a run has left, together with the runs that it retries.

A run is certain if it has left none: each node that it was for is in its results. A retry may
succeed without: dbt may find nothing to retry or to select, and still exit with 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from enum import IntEnum
from http import HTTPStatus

from dlt_dbtcloud.artifacts.download import OUTAGE, RunArtifacts
from dlt_dbtcloud.artifacts.results import (
    FAILED,
    UNSUCCESSFUL,
    ReadRuns,
    leaves_results,
    step_results,
)
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import (
    TESTS,
    Manifest,
    Result,
    Results,
    executed_nodes,
    executes_all_tests,
    executes_tests,
    missing_nodes,
    reported_nodes,
    resource_type_in,
)
from dlt_dbtcloud.exceptions import (
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRunFailed,
    run_error,
)
from dlt_dbtcloud.payloads import (
    id_of,
    planned_commands,
    run_name,
    started_steps,
    steps_of,
)
from dlt_dbtcloud.redaction import listed, redact
from dlt_dbtcloud.typing import NodeResult, Run, RunStatus, RunStep

__all__ = [
    "Backlog",
    "Backlogs",
    "Execution",
    "RetryMethod",
    "Task",
    "describe_uncertainty",
    "task_after",
    "uncertain_error",
]


# dbt's message of a node that dbt Fusion could not compile, without a reason
_NOT_COMPILED = "Compilation Error"
_NAMED = 5


class RetryMethod(IntEnum):
    """A way to repeat a failed command, cheapest first.

    `RETRY` is the API's own retry, `NODES` is the command on its unsuccessful nodes, and `WHOLE`
    is the command as it was.
    """

    RETRY = 1
    NODES = 2
    WHOLE = 3


@dataclass(frozen=True)
class Task:
    """A command that a run has left.

    Args:
        line: The command of the job, not narrowed by a retry.
        nodes: The unique ids of the nodes that are left; None for all that it selects. Only in a
            project without nodes there are none.
        tried: The last way to repeat it that did not execute these nodes.
    """

    line: str
    nodes: frozenset[str] | None = None
    tried: RetryMethod | None = None


@dataclass(frozen=True)
class Execution:
    """A step that executed the command of a task.

    Args:
        method: How it executed the command.
        status: The status of the step.
        results: The results of its nodes; none if they are unknown.
        is_complete: Whether all nodes are in the results, as far as known.
        are_results_known: Whether the results could be read.
        is_empty: Whether there are no results, and no nodes in the manifest.
        has_lost_results: Whether results of nodes could not be read.
    """

    method: RetryMethod
    status: int | None
    results: Sequence[NodeResult] = ()
    is_complete: bool = True
    are_results_known: bool = True
    is_empty: bool = False
    has_lost_results: bool = False

    @property
    def unsuccessful(self) -> frozenset[str]:
        """The unique ids of the nodes that failed or were skipped."""
        return frozenset(each["unique_id"] for each in _last(self.results, UNSUCCESSFUL))

    @property
    def successful(self) -> frozenset[str]:
        """The unique ids of the nodes that are built and tested.

        In a successful step no node failed, and skipped nodes are up to date. Only the results of
        an API retry that executed nothing may still be those of the failed run.
        """
        found = frozenset(each["unique_id"] for each in self.results)
        may_have_failed = self.has_lost_results or _last(self.results, FAILED)
        has_failed = self.method == RetryMethod.RETRY and may_have_failed
        is_success = self.status == RunStatus.SUCCESS and not has_failed
        return found if is_success else found - self.unsuccessful


@dataclass(frozen=True)
class Backlog:
    """The work that a run has left.

    Args:
        run: The run with its steps, trigger and job.
        origin: The first of the runs that it retries, directly or not; else the run itself.
        tasks: The commands that are left, in order.
        failed_task: The index of the task in which the run failed; None if it did not.
        only_other_tests_failed: Whether the run failed only by tests that are not part of the
            command, as an API retry of `dbt run` executes on dbt Fusion.
    """

    run: Run
    origin: Run
    tasks: tuple[Task, ...] = ()
    failed_task: int | None = None
    only_other_tests_failed: bool = False

    @property
    def is_uncertain(self) -> bool:
        """Whether the status of the run does not show the outcome of its nodes."""
        is_success = run_error(self.run) is None
        return bool(self.tasks and is_success) or self.only_other_tests_failed

    @property
    def is_repeatable(self) -> bool:
        """Whether there is a broader way to execute what is left."""
        return all(task.tried != RetryMethod.WHOLE for task in self.tasks)

    @property
    def nodes(self) -> list[str]:
        """The unique ids of the nodes that are left, as far as known, sorted."""
        return sorted(set().union(*(task.nodes or () for task in self.tasks)))


class Backlogs:
    """Reads the backlogs of runs, each run once.

    Its methods raise `DBTCloudException` if a run or an artifact cannot be read.

    Args:
        client: The client.
        runs: The runs that are read already.
    """

    def __init__(self, client: DBTCloudClientV2, runs: ReadRuns | None = None) -> None:
        self._client = client
        self._runs = runs or ReadRuns()
        self._read: dict[int, Backlog] = {}
        self._manifests: dict[tuple[int, int | None], Manifest] = {}

    def of(self, run: Run) -> Backlog:
        """Return the backlog of a finished run."""
        return self._of(id_of(run))

    def is_uncertain_retry(self, run: Run) -> bool:
        """Return whether a run, with its trigger, is a retry that left nodes."""
        return retried_run(run) is not None and self.of(run).is_uncertain

    def manifest(self, run: Run) -> Manifest:
        """Return the last manifest that the commands of a run left, or an empty manifest."""
        backlog = self.of(run)
        lines = self._lines(backlog.run, self._before(backlog.run))
        steps = reversed(started_steps(backlog.run, lines))
        manifests = (self._manifest(backlog.run, step) for step in steps)
        return next(filter(None, manifests), Manifest())

    def _of(self, run_id: int) -> Backlog:
        if run_id not in self._read:
            client = self._client.patient(cool_down=COOL_DOWN)
            self._read[run_id] = self._backlog(self._runs.run(client, run_id))
        return self._read[run_id]

    def _before(self, run: Run) -> Backlog | None:
        """Return the backlog of the run that a run retries, if it executed that."""
        before = retried_run(run)
        # a retry is newer than the run that it retries
        if not before or before >= id_of(run):
            return None
        try:
            backlog = self._of(before)
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            return None
        if run.get("retrying_run_id"):
            return None if backlog.failed_task is None else backlog
        return backlog if len(backlog.tasks) == len(planned_commands(run)) else None

    def _lines(self, run: Run, before: Backlog | None) -> tuple[str, ...]:
        """Return the commands that a run was to execute."""
        if before is None or not run.get("retrying_run_id"):
            return planned_commands(run)
        return tuple(task.line for task in before.tasks[before.failed_task :])

    def _backlog(self, run: Run) -> Backlog:
        before = self._before(run)
        if before is None and run_error(run) is None:
            return Backlog(run, run)
        lines = self._lines(run, before)
        owed = before.tasks if before else tuple(map(Task, lines))
        first = len(owed) - len(lines)
        steps = self._steps(run, lines)
        backlog = Backlog(run, before.origin if before else run, owed[:first])
        for task, line, executed in zip(owed[first:], lines, steps, strict=True):
            is_api_retry = task is owed[first] and bool(run.get("retrying_run_id"))
            method = RetryMethod.RETRY if is_api_retry else _method(task, line)
            backlog = self._after(backlog, task, method, executed)
        return backlog

    def _steps(self, run: Run, lines: Sequence[str]) -> list[list[RunStep]]:
        """Return the steps that executed each command; none for those that never began."""
        steps = [[step] for step in started_steps(run, lines)]
        left = len(lines) - len(steps)
        if left and run_error(run) is None:
            # the steps have other names, but all of them succeeded
            return [steps_of(run) for _ in lines]
        return steps + [[] for _ in range(left)]

    def _after(
        self, backlog: Backlog, task: Task, method: RetryMethod, steps: Sequence[RunStep]
    ) -> Backlog:
        """Add a task to what is left, unless a run has executed all of it."""
        if not steps:
            return replace(backlog, tasks=(*backlog.tasks, task))
        execution = self._execution(backlog.run, task, method, steps)
        if execution.status != RunStatus.SUCCESS:
            others = _only_other_tests_failed(task, execution)
            backlog = replace(
                backlog, failed_task=len(backlog.tasks), only_other_tests_failed=others
            )
        # commands after one that has left nodes have seen its old data
        left = task if backlog.tasks else task_after(task, execution)
        if left and left.nodes and left.tried == RetryMethod.WHOLE:
            # the project may have changed: a node that does not exist is not left
            manifest = self._manifest(backlog.run, steps[-1])
            exists = manifest.lost.union(manifest.unique_ids)
            left = replace(left, nodes=left.nodes & exists if exists else left.nodes)
            left = left if left.nodes else None
        return replace(backlog, tasks=(*backlog.tasks, left)) if left else backlog

    def _execution(
        self, run: Run, task: Task, method: RetryMethod, steps: Sequence[RunStep]
    ) -> Execution:
        status = steps[-1].get("status")
        is_success = status == RunStatus.SUCCESS
        is_needed = task.nodes is not None if is_success else status == RunStatus.ERROR
        artifacts = self._artifacts(run)
        executing = filter(leaves_results, steps if is_needed else ())
        read = [(step, _readable(artifacts, step)) for step in executing]
        found = [(step, run_results) for step, run_results in read if run_results is not None]
        results = [
            result
            for step, run_results in found
            for result in step_results(id_of(run), step, run_results, Manifest())
        ]
        has_lost = any(run_results.unread for _, run_results in found)
        is_empty = found and not results and not has_lost and not task.nodes
        is_complete = is_success or not results or method != RetryMethod.WHOLE
        return Execution(
            method,
            status,
            results,
            not has_lost and (is_complete or self._is_complete(run, task, steps[-1], results)),
            bool(found),
            bool(is_empty) and self._has_no_nodes(run, steps[-1]),
            has_lost,
        )

    def _is_complete(
        self, run: Run, task: Task, step: RunStep, results: Sequence[NodeResult]
    ) -> bool:
        if reported_nodes(task.line, Manifest()) is None:
            return True
        manifest = self._manifest(run, step)
        expected = reported_nodes(task.line, manifest) or ()
        executed = {each["unique_id"] for each in results}
        return not manifest.unread and not missing_nodes(expected, executed)

    def _has_no_nodes(self, run: Run, step: RunStep) -> bool:
        manifest = self._manifest(run, step)
        is_read = bool(manifest) and not manifest.unread
        return is_read and not executed_nodes(manifest, manifest.unique_ids)

    def _artifacts(self, run: Run) -> RunArtifacts:
        return self._runs.artifacts(self._client.patient(OUTAGE, cool_down=COOL_DOWN), run)

    def _manifest(self, run: Run, step: RunStep) -> Manifest:
        key = id_of(run), step.get("index")
        if key not in self._manifests:
            found = self._artifacts(run).find_manifest(step.get("index"))
            self._manifests[key] = Manifest() if found is None else found
        return self._manifests[key]


def task_after(task: Task, execution: Execution) -> Task | None:
    """Return what a task has left after it was executed, or None.

    Args:
        task: What it had left before.
        execution: The execution.
    """
    method = execution.method
    if execution.status == RunStatus.SUCCESS:
        if task.nodes is None or (method == RetryMethod.WHOLE and not execution.are_results_known):
            return None if method == RetryMethod.WHOLE else replace(task, tried=method)
        if not task.nodes and not execution.is_empty and method != RetryMethod.WHOLE:
            return Task(task.line, tried=method)
        left = task.nodes - execution.successful
        # exposures do nothing, and dbt Fusion does not list them
        is_done = all(resource_type_in(unique_id) == "exposure" for unique_id in left)
        return None if is_done else Task(task.line, left, tried=method)
    if execution.is_empty and execution.status == RunStatus.ERROR:
        return Task(task.line, frozenset())
    if not _is_reliable(task, execution):
        return Task(task.line)
    if _only_other_tests_failed(task, execution):
        left = (task.nodes or frozenset()) - execution.successful
        return Task(task.line, left or task.nodes, tried=method)
    left = (task.nodes or frozenset()) - execution.successful
    return Task(task.line, left | (execution.unsuccessful - _other_tests(task, execution)))


def describe_uncertainty(backlog: Backlog) -> str:
    """Describe why the status of a run does not show the outcome of its nodes."""
    name, nodes = run_name(backlog.run), backlog.nodes
    if backlog.only_other_tests_failed:
        line = backlog.tasks[backlog.failed_task or 0].line
        return f"{name} failed only by tests that `{redact(line)}` does not execute."
    lines = " and ".join(f"`{redact(task.line)}`" for task in backlog.tasks)
    missing = f"{len(nodes)} of its nodes: {listed(nodes, _NAMED)}" if nodes else f"all of {lines}"
    return f"{name} succeeded, but did not execute {missing}."


def uncertain_error(backlog: Backlog) -> DBTCloudRunFailed:
    """Return the error of a run that succeeded without executing its nodes."""
    job = f"`run_dbt_cloud_job(job_id={backlog.run.get('job_definition_id')})`"
    advice = f"They may not be built. Run all of the job: {job}."
    return DBTCloudRunFailed(backlog.run, describe_uncertainty(backlog), advice=advice)


def _is_reliable(task: Task, execution: Execution) -> bool:
    """Return whether a failed step shows which nodes are left.

    It does not if dbt ended before it ran a node, or if it does not list all nodes. Only the
    whole command executes a hook that failed.
    """
    if "operation" in map(resource_type_in, execution.unsuccessful):
        return False
    is_known = execution.status == RunStatus.ERROR and execution.is_complete
    # a part of a command does not show the rest
    is_part = task.nodes is None and execution.method != RetryMethod.WHOLE
    if not is_known or is_part or not execution.unsuccessful:
        return False
    failed = _last(execution.results, FAILED)
    at_once = [each for each in failed if not each["execution_time"]]
    if any((each["message"] or "").strip() == _NOT_COMPILED for each in at_once):
        return False
    return bool(execution.successful) or len(at_once) < len(failed)


def _only_other_tests_failed(task: Task, execution: Execution) -> bool:
    failed = {each["unique_id"] for each in _last(execution.results, FAILED)}
    is_known = bool(failed) and not execution.has_lost_results
    return is_known and failed <= _other_tests(task, execution)


def _other_tests(task: Task, execution: Execution) -> Set[str]:
    """Return the tests that a step executed although they are not part of the command."""
    executed = {each["unique_id"] for each in execution.results}
    tests = {unique_id for unique_id in executed if resource_type_in(unique_id) in TESTS}
    if not executes_tests(task.line):
        return tests
    is_limited = not executes_all_tests(task.line, Manifest())
    if execution.method == RetryMethod.RETRY and task.nodes is not None and is_limited:
        return tests - task.nodes
    return frozenset()


def _readable(artifacts: RunArtifacts, step: RunStep) -> Results[Result] | None:
    """Return the `run_results.json` of a step, unless the token may only run jobs."""
    try:
        return artifacts.read_results(step)
    except DBTCloudAuthError as error:
        if error.status_code != HTTPStatus.FORBIDDEN:
            raise
        return None


def _method(task: Task, line: str) -> RetryMethod:
    return RetryMethod.WHOLE if line.split() == task.line.split() else RetryMethod.NODES


def _last(results: Iterable[NodeResult], statuses: Set[str]) -> list[NodeResult]:
    """Return the results with these statuses; of a node that was executed twice, the last."""
    last = {each["unique_id"]: each for each in results}
    return [each for each in last.values() if each["status"] in statuses]
