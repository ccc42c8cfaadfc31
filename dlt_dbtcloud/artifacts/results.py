"""What each dbt node did in a run, from the artifacts that the run's steps left.

Every version of `run_results.json` since dbt 1.5 is read by the fields that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import OUTAGE, RunArtifacts
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import CommandError, DbtCommand, Manifest
from dlt_dbtcloud.exceptions import DBTCloudNotFoundError
from dlt_dbtcloud.payloads import RELATED, command_of, ended_early, has_finished, id_of
from dlt_dbtcloud.typing import NodeResult, Run, RunStep
from dlt_dbtcloud.values import as_dicts, as_integer, as_mapping, as_number, as_text

__all__ = [
    "FAILED",
    "UNSUCCESSFUL",
    "leaves_results",
    "merge",
    "node_results",
    "read_results",
    "reported_results",
    "retry_chain",
    "step_results",
]


FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
UNSUCCESSFUL = FAILED | {"skipped"}

_LONGEST_CHAIN = 20


def node_results(client: DBTCloudClientV2, run_id: int | str | None) -> list[NodeResult]:
    """Return what each node did in a run, step by step.

    A retry has done again what failed before: its results take the place of those, and what had
    succeeded before it comes first. Artifacts that are still being uploaded are waited for, for a
    minute at most.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    chain = retry_chain(client, run_id)
    newest_first = [_results_of(client, run) for run in chain]
    return reduce(merge, reversed(newest_first))


def merge(older: Sequence[NodeResult], newer: Sequence[NodeResult]) -> list[NodeResult]:
    """Return the results of a run and of its retry as those of one."""
    done_again = {result["unique_id"] for result in newer}
    kept = (
        result
        for result in older
        if result["status"] not in UNSUCCESSFUL or result["unique_id"] not in done_again
    )
    return [*kept, *newer]


def step_results(
    run_id: int, step: RunStep, run_results: Mapping[str, Any], manifest: Manifest
) -> Iterator[NodeResult]:
    """Yield what each node did in one step; what is of another type than dbt's counts as not told.

    Args:
        run_id: The run.
        step: The step.
        run_results: Its `run_results.json`.
        manifest: Its manifest, for names and files; ids give the names that it lacks.
    """
    for result in reported_results(run_results):
        unique_id = result["unique_id"]
        node = manifest.entry(unique_id)
        timing = as_dicts(result.get("timing"))
        yield NodeResult(
            run_id=run_id,
            step_index=step.get("index") or 0,
            command=command_of(step) or "",
            unique_id=unique_id,
            name=manifest.name(unique_id),
            resource_type=manifest.resource_type(unique_id),
            status=as_text(result.get("status")) or "",
            message=as_text(result.get("message")),
            failures=as_integer(result.get("failures")),
            execution_time=as_number(result.get("execution_time")) or 0.0,
            thread_id=as_text(result.get("thread_id")),
            started_at=min(_moments(timing, "started_at"), default=None),
            completed_at=max(_moments(timing, "completed_at"), default=None),
            rows_affected=as_integer(
                as_mapping(result.get("adapter_response")).get("rows_affected")
            ),
            relation_name=as_text(result.get("relation_name"))
            or as_text(node.get("relation_name")),
            path=as_text(node.get("original_file_path")),
        )


def reported_results(run_results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a `run_results.json` as they stand in it, each of which has an id."""
    return [each for each in as_dicts(run_results.get("results")) if as_text(each.get("unique_id"))]


def retry_chain(client: DBTCloudClientV2, run_id: int | str | None) -> Iterator[Run]:
    """Yield a run, the run that it retries, and so on.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    run = client.get_run_status(run_id, RELATED)
    for _ in range(_LONGEST_CHAIN):
        yield run
        before = retried_run(run)
        if before is None:
            return
        try:
            run = client.get_run_status(before, RELATED)
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            logger.warning(f"Run {before}, which run {run['id']} retries, is not there any more.")
            return


def _results_of(client: DBTCloudClientV2, run: Run) -> list[NodeResult]:
    if not has_finished(run):
        logger.warning(f"Run {run['id']} is not over: there are no results before its end.")
        return []
    artifacts = RunArtifacts(client.patient(OUTAGE), run)
    found = [
        (step, run_results)
        for step in run.get("run_steps") or []
        if leaves_results(step) and (run_results := read_results(artifacts, step))
    ]
    written = artifacts.read("manifest.json", found[-1][0].get("index")) if found else None
    manifest = Manifest(written)
    return [
        result
        for step, run_results in found
        for result in step_results(id_of(run), step, run_results, manifest)
    ]


def read_results(artifacts: RunArtifacts, step: RunStep) -> dict[str, Any] | None:
    """Return the `run_results.json` of a step, or None where it has none.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    is_expected = not ended_early(step)
    read = artifacts.read("run_results.json", step.get("index"), is_expected=is_expected)
    for result in as_dicts((read or {}).get("results")):
        # most of the file, and the manifest is still to come
        result.pop("compiled_code", None)
    return read


def leaves_results(step: RunStep) -> bool:
    """Tell whether a step executes a command of which dbt writes what each node did."""
    command = command_of(step)
    if command is None:
        return False
    try:
        return DbtCommand.parse(command).leaves_results
    except CommandError:
        return True


def _moments(timing: Iterable[Mapping[str, Any]], which: str) -> list[str]:
    return [moment for each in timing if (moment := as_text(each.get(which)))]
