"""Results of dbt nodes, from the artifacts of a run's steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import OUTAGE, RunArtifacts
from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import TESTS, CommandError, DbtCommand, Manifest, Result, Results
from dlt_dbtcloud.exceptions import DBTCloudNotFoundError
from dlt_dbtcloud.payloads import RELATED, command_of, has_finished, id_of, steps_of
from dlt_dbtcloud.typing import NodeResult, Run, RunStep
from dlt_dbtcloud.values import as_integer

__all__ = [
    "FAILED",
    "UNSUCCESSFUL",
    "ReadRuns",
    "leaves_results",
    "merge",
    "message_of",
    "node_results",
    "retry_chain",
    "step_results",
]


_SKIPPED = "skipped"
FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
UNSUCCESSFUL = FAILED | {_SKIPPED}

_MAX_RETRIES = 20
# dbt Fusion's message of a test that does not pass
_FAILED_TEST = re.compile(r"(?:Error|Fail|Warn)?")
# why dbt Fusion skips a node whose relation is up to date
_REUSED = re.compile(
    r"\b(?:reused?|no new changes|did not meet|cloned from cached)\b", re.IGNORECASE
)


def node_results(client: DBTCloudClientV2, run_id: int | str | None) -> list[NodeResult]:
    """Return the results of the nodes of a run, step by step.

    A retry repeats failed nodes: its results replace those of the retried runs, whose successful
    results come first. Artifacts that are still being uploaded are awaited for up to a minute.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    newest_first = [_results_of(client, run) for run in retry_chain(client, run_id)]
    return merge(*reversed(newest_first))


def retry_chain(client: DBTCloudClientV2, run_id: int | str | None) -> Iterator[Run]:
    """Yield a run, the run that it retries, and so on.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    return _chain(lambda each: client.get_run_status(each, RELATED), run_id)


def _chain(read: Callable[[int | str | None], Run], run_id: int | str | None) -> Iterator[Run]:
    run = read(run_id)
    for _ in range(_MAX_RETRIES):
        yield run
        before = retried_run(run)
        if before is None:
            return
        try:
            run = read(before)
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            logger.warning(f"Run {before}, which run {run['id']} retries, does not exist any more.")
            return


class ReadRuns:
    """Finished runs with their steps and artifacts, each read once.

    Its methods raise `DBTCloudException` if a run cannot be read.
    """

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._artifacts: dict[int, RunArtifacts] = {}

    def run(self, client: DBTCloudClientV2, run_id: int) -> Run:
        """Return a run with its steps, trigger and job."""
        return self._runs[run_id] if run_id in self._runs else self.newest(client, run_id)

    def newest(self, client: DBTCloudClientV2, run_id: int) -> Run:
        """Return a run as it is now, as its logs may be uploaded after its end."""
        run = client.get_run_status(run_id, RELATED)
        if has_finished(run):
            self._runs[run_id] = run
        return run

    def chain(self, client: DBTCloudClientV2, run_id: int) -> list[Run]:
        """Return what `retry_chain` yields."""
        return [*_chain(lambda each: self.run(client, int(each or 0)), run_id)]

    def artifacts(self, client: DBTCloudClientV2, run: Run) -> RunArtifacts:
        """Return the artifacts of a run.

        Args:
            client: The client that reads those that are not read yet.
            run: The run.
        """
        return self._artifacts.setdefault(id_of(run), RunArtifacts(client, run)).read_by(client)


def merge(*runs: Sequence[NodeResult]) -> list[NodeResult]:
    """Merge the results of a run and of its retries into those of one run.

    The first command of a retry repeats the last one of the run before it. dbt Fusion repeats unit
    tests and warned tests, too, though they did not fail.

    Args:
        runs: The results of each run, oldest first.
    """
    merged: list[NodeResult] = []
    # the position of the command that each step executes
    commands: dict[tuple[int, int], int] = {}
    last = 0
    for results in filter(None, runs):
        first = last
        commands |= {s: first + i for i, s in enumerate(dict.fromkeys(map(_step_of, results)))}
        last = commands[_step_of(results[-1])]
        # exposures do nothing, and dbt Fusion does not list them again
        exposures = {each["unique_id"] for each in merged if each["resource_type"] == "exposure"}
        obsolete = exposures.union(result["unique_id"] for result in results)
        again = {each["unique_id"] for each in results if commands[_step_of(each)] == first}
        kept = [
            result
            for result in merged
            if not (result["status"] in UNSUCCESSFUL and result["unique_id"] in obsolete)
            and not (commands[_step_of(result)] == first and result["unique_id"] in again)
        ]
        merged = [*kept, *results]
    return merged


def leaves_results(step: RunStep) -> bool:
    """Return whether a step executes a command for which dbt writes results of nodes."""
    command = command_of(step)
    if command is None:
        return False
    try:
        return DbtCommand.parse(command).leaves_results
    except CommandError:
        return True


def step_results(
    run_id: int, step: RunStep, run_results: Results[Result], manifest: Manifest
) -> Iterator[NodeResult]:
    """Yield the results of the nodes of a step.

    A node that dbt Fusion skips although nothing failed is `reused`. If it is ephemeral, it is
    `no-op`, as in other versions of dbt.

    Args:
        run_id: The run.
        step: The step.
        run_results: Its `run_results.json`.
        manifest: A manifest with the nodes' names and files; other names are parts of their ids.
    """
    index, command = step.get("index") or 0, command_of(step) or ""
    for result in run_results.results:
        unique_id = result.unique_id
        node = manifest.entry(unique_id)
        timing = result.timing or ()
        yield NodeResult(
            run_id=run_id,
            step_index=index,
            command=command,
            unique_id=unique_id,
            name=manifest.name(unique_id),
            resource_type=manifest.resource_type(unique_id),
            status=_status(result, manifest),
            message=result.message,
            failures=as_integer(result.failures),
            execution_time=result.execution_time or 0.0,
            thread_id=result.thread_id,
            started_at=min((each.started_at for each in timing if each.started_at), default=None),
            completed_at=max(
                (each.completed_at for each in timing if each.completed_at), default=None
            ),
            rows_affected=as_integer((result.adapter_response or {}).get("rows_affected")),
            relation_name=result.relation_name or node.relation_name or None,
            path=node.original_file_path or None,
        )


def message_of(result: NodeResult, manifest: Manifest) -> str | None:
    """Return the message of a node, or the failure count if dbt Fusion gives none.

    Args:
        result: The result of the node.
        manifest: A manifest with the limits of tests.
    """
    message, count = result["message"], result["failures"]
    is_empty = _FAILED_TEST.fullmatch(message or "")
    if not (count and is_empty and result["resource_type"] in TESTS):
        return message
    verb, name = ("warn", "warn_if") if result["status"] == "warn" else ("fail", "error_if")
    limit = getattr(manifest.entry(result["unique_id"]).config, name) or "!= 0"
    return f"Got {count} result{'' if count == 1 else 's'}, configured to {verb} if {limit}"


def _step_of(result: NodeResult) -> tuple[int, int]:
    return result["run_id"], result["step_index"]


def _status(result: Result, manifest: Manifest) -> str:
    if result.status != _SKIPPED:
        return result.status
    if manifest.is_ephemeral(result.unique_id):
        return "no-op"
    return "reused" if _REUSED.search(result.message or "") else _SKIPPED


def _results_of(client: DBTCloudClientV2, run: Run) -> list[NodeResult]:
    if not has_finished(run):
        logger.warning(f"Run {run['id']} has not finished; it has no results yet.")
        return []
    artifacts = RunArtifacts(client.patient(OUTAGE, cool_down=COOL_DOWN), run)
    problems = Problems(run["id"])
    found = [
        (step, run_results)
        for step in filter(leaves_results, steps_of(run))
        if (run_results := artifacts.read_results(step))
    ]
    for step, run_results in found:
        problems.check(f"`run_results.json` of step {step.get('index')}", run_results.unread)
    last_index = found[-1][0].get("index") if found else None
    manifest = artifacts.find_manifest(last_index) if found else None
    if manifest is not None:
        problems.check("its manifest", manifest.unread, has_nodes=bool(manifest))
    problems.warn(run)
    return [
        result
        for step, run_results in found
        for result in step_results(id_of(run), step, run_results, manifest or Manifest())
    ]
