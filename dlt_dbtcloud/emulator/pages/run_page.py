"""The data of the page of a run, from the emulator's state and the artifacts of its steps."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dlt_dbtcloud.emulator.api.payloads import humanize_status
from dlt_dbtcloud.emulator.dbt.artifacts import find_file, list_files
from dlt_dbtcloud.emulator.dbt.plan import subcommand
from dlt_dbtcloud.emulator.models import Artifacts, Run
from dlt_dbtcloud.emulator.models import Step as ModelStep
from dlt_dbtcloud.emulator.pages.project import (
    code_of,
    decode,
    executions_of,
    freshness_of,
    nodes_of,
)
from dlt_dbtcloud.report import (
    Execution,
    Freshness,
    Load,
    Node,
    PastTime,
    RunHead,
    RunPage,
    Step,
    logged_executions,
    past_times,
)

__all__ = ["StepState", "executes", "page_of", "states_of", "times_before"]


# the load in the cause of a run
_LOAD = re.compile(r": dlt pipeline (.+), load (\d+(?:\.\d+)?)(?:: retry of run \d+)? \[dlt:\w+\]$")
# a retry that a client made of commands
_RETRY = re.compile(r": retry of run (\d{1,19}) \[dlt:\w+\]$")
_NO_MANIFEST = "it has no manifest, so that its project is that of an earlier run"
_MAX_FILES = 100
_PULL_REQUESTS = (
    *("github_pull_request_id", "gitlab_merge_request_id", "azure_pull_request_id"),
    "non_native_pull_request_id",
)
_RESULTS = "run_results.json"
_COMPILING = frozenset({"compile", "docs", "list", "ls", "parse", "show"})


@dataclass(frozen=True)
class StepState:
    """The state of a step at one time.

    Args:
        step: What the page shows of it.
        artifacts: Its files, complete or not.
        is_running: Whether it is running.
        reports: Whether its results are of executed nodes; `dbt docs generate` only compiles them.
    """

    step: Step
    artifacts: Artifacts
    is_running: bool
    reports: bool


def states_of(run: Run, url: str) -> tuple[StepState, ...]:
    """Return the states of the steps of a run, under the lock of the emulator's state.

    Args:
        run: The run.
        url: The path of its page.
    """
    states = []
    for each in run.steps:
        at = f"{url}steps/{each.index}/"
        step = Step(
            index=each.index,
            name=each.planned.name,
            status=humanize_status(each.status),
            command=each.planned.command,
            started_at=each.created_at.timestamp(),
            finished_at=_seconds(each.finished_at),
            log=each.log.text,
            log_url=f"{at}log.txt" if each.log.text else None,
            files=(("dbt.log", f"{at}dbt.log"),) if each.debug_logs else (),
        )
        artifacts = each.artifacts or each.folder or {}
        states.append(StepState(step, artifacts, each.finished_at is None, executes(each)))
    return tuple(states)


def page_of(
    run: Run,
    states: Sequence[StepState],
    url: str,
    earlier: Artifacts | None = None,
    past: Mapping[str, PastTime] | None = None,
    refresh: float | None = None,
) -> RunPage:
    """Return the data of the page of a run.

    Args:
        run: The run.
        states: The states of its steps.
        url: The path of its page.
        earlier: Files with an earlier manifest of the project, until the run has its own.
        past: The median times of nodes in earlier runs.
        refresh: The seconds after which the page reads itself again.
    """
    now = time.time()
    results = {each.step.index: _read(each.artifacts, _RESULTS) for each in states}
    manifests = (_read(each.artifacts, "manifest.json") for each in reversed(states))
    own = next(filter(None, manifests), None)
    manifest = own or _read(earlier or {}, "manifest.json")
    code = {key: text for each in results.values() for key, text in code_of(each).items()}
    nodes = nodes_of(manifest, code)
    executions: list[Execution] = []
    freshness: list[Freshness] = []
    for state in states:
        if state.reports:
            executions += _executions(state, results[state.step.index], nodes, now)
        freshness += freshness_of(_read(state.artifacts, "sources.json"))
    metadata = manifest.get("metadata")
    adapter = metadata.get("adapter_type") if isinstance(metadata, dict) else None
    return RunPage(
        run=_head(run, adapter if isinstance(adapter, str) else None),
        made_at=now,
        steps=tuple(_with_files(each, url) for each in states),
        nodes=nodes,
        executions=tuple(executions),
        freshness=tuple(freshness),
        load=_load(run),
        past=past or {},
        problems=(_NO_MANIFEST,) if manifest and not own and run.is_finished else (),
        refresh=refresh,
    )


def times_before(runs: Iterable[Iterable[Artifacts]]) -> dict[str, PastTime]:
    """Return the median times of nodes in runs.

    Args:
        runs: The artifacts of the steps of each run, of steps that execute nodes.
    """
    return past_times(
        [each for files in steps for each in executions_of(_read(files, _RESULTS), 0)]
        for steps in runs
    )


def executes(step: ModelStep) -> bool:
    """Return whether a step executes nodes, and does not only compile them."""
    return subcommand(step.planned.arguments) not in _COMPILING


def _executions(
    state: StepState, results: dict[str, Any], nodes: tuple[Node, ...], now: float
) -> Iterable[Execution]:
    """Return the executions of a step from its results, else from its log."""
    step = state.step
    if results:
        ephemeral = {node.unique_id for node in nodes if node.materialized == "ephemeral"}
        return executions_of(results, step.index, ephemeral)
    began, end = step.started_at or now, step.finished_at or now
    return logged_executions(step.log, step.index, began, end, nodes, is_running=state.is_running)


def _with_files(state: StepState, url: str) -> Step:
    """Return a finished step with its artifacts, dbt's own before compiled code."""
    if state.is_running:
        return state.step
    names = sorted(list_files(state.artifacts), key=lambda name: (name.count("/"), name))
    at = f"{url}steps/{state.step.index}/target/"
    files = [(name, at + quote(name)) for name in names[:_MAX_FILES] if name.isprintable()]
    return replace(state.step, files=(*files, *state.step.files))


def _head(run: Run, adapter: str | None) -> RunHead:
    return RunHead(
        id=run.id,
        status=humanize_status(run.status),
        job=run.job.fields["name"],
        job_id=run.job.id,
        message=run.status_message,
        created_at=run.created_at.timestamp(),
        started_at=_seconds(run.started_at),
        finished_at=_seconds(run.finished_at),
        cause=run.trigger["cause"],
        engine=_engine(run.dbt_version),
        adapter=adapter,
        git_branch=run.trigger["git_branch"],
        git_sha=run.trigger["git_sha"],
        pull_request=next(filter(None, map(run.trigger.get, _PULL_REQUESTS)), None),
        retries=run.retrying.id if run.retrying else _retried(run),
    )


def _retried(run: Run) -> int | None:
    match = _RETRY.search(run.trigger["cause"] or "")
    return int(match[1]) if match else None


def _engine(version: str | None) -> str | None:
    """Return the name of dbt with its version; dbt Fusion is dbt 2."""
    if version is None:
        return None
    major = version.partition(".")[0]
    is_known = major.isdecimal() and len(major) < 3
    return f"dbt {('Fusion' if int(major) > 1 else 'Core') + ' ' if is_known else ''}{version}"


def _load(run: Run) -> Load | None:
    match = _LOAD.search(run.trigger["cause"] or "")
    return Load(match[1], match[2]) if match else None


def _read(artifacts: Artifacts, name: str) -> dict[str, Any]:
    found = find_file(artifacts, name)
    try:
        content = found.read_bytes() if isinstance(found, Path) else found
    except OSError:
        # the run's folder was removed meanwhile
        return {}
    return decode(content) if content else {}


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
