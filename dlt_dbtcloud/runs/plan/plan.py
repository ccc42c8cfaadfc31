"""The plan of a run: its commands, nodes and predicted seconds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from statistics import median

from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest, has_own_selection, nodes_of_command
from dlt_dbtcloud.payloads import has_finished, seconds_of
from dlt_dbtcloud.runs.only_loaded import ProjectReader, UncertainError, is_whole_run
from dlt_dbtcloud.runs.plan.forecast import Forecast, Past, positions_with_results, read_past
from dlt_dbtcloud.runs.trigger.history import is_since, recent_runs
from dlt_dbtcloud.runs.trigger.start import existing_among, patient, since_of
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.trigger.work import Work, work_of
from dlt_dbtcloud.typing import Job, Plan, Run

__all__ = ["empty_plan", "plan_run"]


_REQUESTS = 6
# runs on a page of the list, and those that are read
_PAGE = 100
_NEWEST = 2 * _PAGE
_UNREAD = f"an earlier run than the last {_NEWEST} may have built this load"
# seconds after which an outage is an error
_LIMIT = 120.0
# runs whose results, or else whose durations, are considered
_RESULTS = 3
_DURATIONS = 20


@dataclass(frozen=True)
class _Step:
    """A command that would run.

    Args:
        line: The command line.
        position: Its position among the commands of the whole job.
        is_narrowed: Whether it executes only the descendants of the loaded tables.
    """

    line: str
    position: int
    is_narrowed: bool = False


@dataclass(frozen=True)
class _Project:
    """The job of a trigger, its commands and its newest manifest.

    Args:
        job: The job.
        commands: The commands of the whole job.
        manifest: The manifest; None if it cannot be used.
        requests: The number of requests for them.
    """

    job: Job
    commands: Sequence[str]
    manifest: Manifest | None
    requests: int


def plan_run(client: DBTCloudClientV2, trigger: Trigger, *, requests: int = 0) -> Plan:
    """Return what a trigger would run; nothing is triggered.

    Args:
        client: The client.
        trigger: The trigger.
        requests: The number of requests that the call has sent already.

    Raises:
        DBTCloudException: The variables cannot be passed.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    trigger = replace(trigger, timeout=min(trigger.timeout, _LIMIT))
    since = since_of(client, trigger)
    known = recent_runs(patient(client, trigger), trigger.job_id, since, limit=_NEWEST)
    existing = existing_among(client, trigger, known)
    work = work_of(client, trigger, existing, known, trigger.timeout)
    undeclared = work.narrowing.undeclared if work.narrowing else ()
    if existing or work.nothing:
        return empty_plan(work.nothing or _describe_existing(existing), undeclared)
    is_known = len(known) < _NEWEST or not is_since(known[-1], since)
    project = _project(client, trigger, work)
    spent = requests + ceil(max(1, len(known)) / _PAGE) + project.requests
    pasts = _pasts(patient(client, trigger), known, project, _REQUESTS - spent)
    steps = _steps(work, project)
    whole = [_Step(line, position) for position, line in enumerate(project.commands)]
    fed = work.narrowing.descendants if work.narrowing else frozenset[str]()
    nodes = [_nodes(step, project, pasts, fed) for step in steps]
    all_nodes = [_nodes(step, project, pasts, fed) for step in whole]
    seconds, considered = _whole_seconds(known, project, pasts, all_nodes)
    forecast, manifest = Forecast(pasts), project.manifest
    is_whole = not any(step.is_narrowed for step in steps)
    part = seconds if is_whole else None
    if not is_whole and forecast and manifest:
        part = min(forecast.seconds(nodes, manifest), float("inf") if seconds is None else seconds)
    return Plan(
        steps=[step.line for step in steps],
        nodes=sorted(set().union(*nodes)),
        total_nodes=len(set().union(*all_nodes)) if manifest else None,
        seconds=_rounded(part),
        whole_seconds=_rounded(seconds),
        runs_considered=considered,
        undeclared=sorted(undeclared),
        reason=_reason(work) or (None if is_known or not trigger.load else _UNREAD),
    )


def empty_plan(reason: str, undeclared: Sequence[str] = ()) -> Plan:
    """Return the plan of a call that would start no run.

    Args:
        reason: Why there is nothing to run.
        undeclared: The loaded tables without a source.
    """
    return Plan(
        steps=[],
        nodes=[],
        total_nodes=None,
        seconds=None,
        whole_seconds=None,
        runs_considered=0,
        undeclared=sorted(undeclared),
        reason=reason,
    )


def _describe_existing(existing: Run | None) -> str:
    run = existing or Run(id=None)
    state = "has built" if has_finished(run) else "is about to build"
    return f"run {run['id']} {state} this load"


def _project(client: DBTCloudClientV2, trigger: Trigger, work: Work) -> _Project:
    found = work.narrowing
    if found:
        return _Project(found.job, found.commands, _usable(found.manifest), found.requests)
    reader = ProjectReader(client, trigger.job_id, trigger.timeout)
    job = reader.job()
    manifest = None
    with suppress(UncertainError):
        manifest = reader.manifest(job)
    commands = work.body.get("steps_override") or job.get("execute_steps") or ()
    has_read_twice = bool(trigger.variables) and not trigger.body.get("steps_override")
    return _Project(job, commands, _usable(manifest), reader.requests + has_read_twice)


def _usable(manifest: Manifest | None) -> Manifest | None:
    return None if manifest is None or manifest.damage else manifest


def _steps(work: Work, project: _Project) -> list[_Step]:
    """Return the commands that would run."""
    found = work.narrowing
    if not found or found.doubt:
        return [_Step(line, position) for position, line in enumerate(project.commands)]
    positions = iter(enumerate(project.commands))
    return [
        _Step(
            step.line,
            next(position for position, line in positions if line == step.original),
            step.executes and not step.is_whole,
        )
        for step in found.steps
    ]


def _nodes(
    step: _Step, project: _Project, pasts: Sequence[Past], fed: frozenset[str]
) -> frozenset[str]:
    """Return the nodes that a command executes, as far as known."""
    manifest = project.manifest
    if manifest is None:
        return frozenset()
    scope = fed if step.is_narrowed else manifest.unique_ids
    nodes = nodes_of_command(step.line, manifest, scope)
    if has_own_selection(project.commands[step.position], manifest):
        results = (
            past.results.get(step.position)
            for past in pasts
            if is_whole_run(past.run, project.commands)
            and len(past.commands) == len(project.commands)
        )
        executed = next(filter(None, results), None)
        if executed:
            nodes &= {result.unique_id for result in executed.results}
    return frozenset(nodes)


def _pasts(
    client: DBTCloudClientV2, known: Sequence[Run], project: _Project, requests: int
) -> list[Past]:
    """Return the results of successful runs, by preference of whole ones, newest first."""
    newest = sorted(known, key=lambda run: run["id"] or 0, reverse=True)
    successful = [run for run in newest if run.get("is_success") and retried_run(run) is None]
    # whole runs first
    successful.sort(key=lambda run: not is_whole_run(run, project.commands))
    found: list[Past] = []
    for run in successful:
        commands = _commands(run, project)
        cost = len(positions_with_results(commands))
        if len(found) == _RESULTS or not cost or requests <= 0 or (found and cost > requests):
            break
        past = read_past(client, run, project.job, commands, requests)
        requests -= cost
        found += [past] if past.results else []
    return found


def _commands(run: Run, project: _Project) -> Sequence[str]:
    return (run.get("trigger") or {}).get("steps_override") or project.commands


def _whole_seconds(
    known: Sequence[Run],
    project: _Project,
    pasts: Sequence[Past],
    nodes: Sequence[frozenset[str]],
) -> tuple[float | None, int]:
    """Return the predicted seconds of the whole job, and from how many runs they are."""
    forecast = Forecast(pasts)
    if forecast and project.manifest:
        return forecast.seconds(nodes, project.manifest), len(pasts)
    spans = [past.span for past in pasts if is_whole_run(past.run, project.commands)]
    if spans:
        return median(spans), len(spans)
    newest = sorted(known, key=lambda run: run["id"] or 0, reverse=True)
    durations = (seconds_of(run) for run in newest if is_whole_run(run, project.commands))
    found = [*islice((each for each in durations if each is not None), _DURATIONS)]
    return (median(found), len(found)) if found else (None, len(pasts))


def _reason(work: Work) -> str | None:
    """Return why more runs than the load requires, if so."""
    if work.doubt:
        return f"all of the job runs: {work.doubt}"
    problems = (
        [step.problem for step in work.narrowing.steps if step.problem] if work.narrowing else []
    )
    return f"a whole step runs: {' '.join(problems)}" if problems else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
