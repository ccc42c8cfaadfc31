"""Certainty that a narrowed run has built the descendants of loaded tables.

dbt exits with 0 if a selection matches nothing, as after a source was renamed since the manifest
that narrowed the run. So the results of a successful run are compared with its scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.results import ReadRuns, leaves_results, step_results
from dlt_dbtcloud.cause import bound_load, retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import (
    Manifest,
    Result,
    Results,
    Unread,
    covers,
    executed_nodes,
    expected_nodes,
    match_sources,
    missing_nodes,
    narrowed_commands,
)
from dlt_dbtcloud.exceptions import DBTCloudRunFailed
from dlt_dbtcloud.payloads import id_of, planned_commands, run_name, steps_of
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.runs.retry.backlog import Execution, RetryMethod
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import Relation, as_mapping, as_texts

__all__ = ["Scope", "describe_gap", "gap", "incomplete", "is_narrowed_to_load", "results_of"]


_NAMED = 5


@dataclass(frozen=True)
class Scope:
    """The nodes that a narrowed run is to build.

    Args:
        relations: The loaded tables.
        commands: The commands before they were narrowed; none for those of the job.
        nodes: The unique ids of the nodes that are surely in its results, by the manifest that
            narrowed it; None if this manifest is not known.
    """

    relations: Sequence[Relation]
    commands: Sequence[str] = ()
    nodes: frozenset[str] | None = None


@dataclass(frozen=True)
class _Executed:
    """The nodes that runs executed successfully, and the results that could not be read."""

    nodes: frozenset[str] = frozenset()
    unread: tuple[Unread, ...] = ()

    def missing(self, expected: frozenset[str]) -> list[str]:
        """Return the expected nodes that were not executed, sorted."""
        return sorted(missing_nodes(expected, self.nodes, are_all_read=not self.unread))


def gap(client: DBTCloudClientV2, run: Run, scope: Scope | None, runs: ReadRuns) -> str | None:
    """Return what a successful narrowed run has not built, as a clause; None if certain.

    Only if nodes are missing, the run's own manifest is read: the project may have changed.

    Args:
        client: The client.
        run: The run, or its last retry.
        scope: What it is to build; None if unknown.
        runs: The runs that are read already.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    if not _is_narrowed(run):
        return None
    client = client.patient(OUTAGE, cool_down=COOL_DOWN)
    *retries, first = runs.chain(client, id_of(run))
    if not _is_narrowed(first):
        return None
    executed = _Executed()
    for each in (*retries, first):
        found = _executed(client, each, runs)
        if found is None:
            return None
        executed = _Executed(executed.nodes | found.nodes, executed.unread + found.unread)
    if scope is None:
        return None if executed.nodes else "there are no nodes in its results"
    if executed.nodes and scope.nodes is not None and not executed.missing(scope.nodes):
        return None
    return _gap_by_manifest(client, first, scope, executed, runs)


def is_narrowed_to_load(run: Run) -> bool:
    """Return whether a run, read with its trigger, selects the descendants of loaded tables."""
    steps = as_texts(as_mapping(run.get("trigger")).get("steps_override"))
    return bound_load(run) is not None and any("source:" in step for step in steps)


def describe_gap(run: Run, reason: str) -> str:
    """Describe a narrowed run with a gap."""
    return f"{run_name(run)} succeeded, but it may not have built all that was loaded: {reason}."


def incomplete(run: Run, reason: str) -> DBTCloudRunFailed:
    """Return the error of a narrowed run with a gap."""
    job = f"`run_dbt_cloud_job(job_id={run.get('job_definition_id')})`"
    return DBTCloudRunFailed(run, describe_gap(run, reason), advice=f"Run all of the job: {job}.")


def _is_narrowed(run: Run) -> bool:
    """Return whether a run may have other commands than its job."""
    trigger = run.get("trigger")
    is_known = trigger is not None and retried_run(run) is None
    return not is_known or bool(as_mapping(trigger).get("steps_override"))


def _gap_by_manifest(
    client: DBTCloudClientV2, run: Run, scope: Scope, executed: _Executed, runs: ReadRuns
) -> str | None:
    """Compare the results with the descendants in the manifest of the run itself."""
    artifacts = runs.artifacts(client, run)
    found = (artifacts.find_manifest(step.get("index")) for step in reversed(_steps(run)))
    manifest = next(filter(None, found), Manifest())
    if manifest.damage:
        return f"its manifest cannot be used: {manifest.damage}"
    sources = match_sources(scope.relations, manifest).sources
    commands = scope.commands or (run.get("job") or {}).get("execute_steps") or ()
    # a model that does not compile has lost its sources
    lost = (scope.nodes or frozenset()) & executed_nodes(manifest, manifest.unique_ids)
    expected = expected_nodes(commands, manifest, sources) | lost
    missing = executed.missing(expected)
    if missing:
        names = listed(missing, _NAMED)
        parts = listed([str(part) for part in executed.unread], _NAMED)
        unread = f"; results that could not be read: {parts}" if parts else ""
        return f"{len(missing)} of {len(expected)} nodes are not in its results: {names}{unread}"
    narrowed = narrowed_commands(commands, manifest, sources)
    if scope.nodes is None and not narrowed and is_narrowed_to_load(run):
        # another call narrowed it by a manifest in which something descended from the tables
        return "nothing in its manifest descends from the loaded tables any more"
    if not covers(planned_commands(run), narrowed, with_vars=False):
        return "the sources of the loaded tables have changed since its commands were narrowed"
    return None


def _executed(client: DBTCloudClientV2, run: Run, runs: ReadRuns) -> _Executed | None:
    """Return the nodes that a run executed successfully; None if it cannot have results."""
    nodes: set[str] = set()
    unread: list[Unread] = []
    steps = _steps(run)
    for step in steps:
        results = results_of(client, run, step, runs)
        if results is None and step.get("status") == RunStatus.SUCCESS:
            return None
        found = results or Results()
        reported = [*step_results(id_of(run), step, found, Manifest())]
        nodes |= Execution(RetryMethod.WHOLE, step.get("status"), reported).successful
        unread += found.unread
    return _Executed(frozenset(nodes), tuple(unread)) if steps else None


def results_of(
    client: DBTCloudClientV2, run: Run, step: RunStep, runs: ReadRuns
) -> Results[Result] | None:
    """Return the results of a step; None if it left a manifest, but no results.

    They are awaited while they may still be uploaded.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    artifacts = runs.artifacts(client, run)
    found = artifacts.find_results(step)
    if found is not None:
        return found
    if artifacts.find_manifest(step.get("index")) is not None:
        return None
    # both may still be uploaded
    return artifacts.read_results(step) or Results()


def _steps(run: Run) -> list[RunStep]:
    return [*filter(leaves_results, steps_of(run))]
