"""State of a watched run in words, from the payload of a status check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlt_dbtcloud.dbt.progress import NodeProgress, node_progress
from dlt_dbtcloud.payloads import (
    command_of,
    has_finished,
    id_of,
    planned_commands,
    run_link,
    started_steps,
    steps_of,
)
from dlt_dbtcloud.redaction import plain_text, redact
from dlt_dbtcloud.typing import Run, RunStep
from dlt_dbtcloud.values import as_integer

__all__ = ["RunState", "describe", "in_words", "state_of"]

# characters of a command that are shown
_COMMAND = 100
_MINUTE, _HOUR = 60, 3600
# the remaining time is shown in steps of so many seconds, up to so many seconds
_ROUNDED = ((30, 5), (600, 10))


@dataclass(frozen=True)
class RunState:
    """A run as a check saw it.

    Args:
        run_id: The run.
        job: The name of its job; None if unknown.
        link: Its URL, or an empty text.
        status: Its status in dbt Cloud's words.
        is_finished: Whether it has finished.
        blocked_by: The run that it waits for.
        step: Its current step, such as `step 1/2: dbt build`.
        steps_done: The number of the job's commands that have finished.
        steps_total: The number of the job's commands; None if unknown.
        nodes: The nodes of the current step that have finished, if its log shows them.
        failures: The lines of the nodes that failed, each with the index of its step.
    """

    run_id: int
    job: str | None = None
    link: str = ""
    status: str = ""
    is_finished: bool = False
    blocked_by: int | None = None
    step: str | None = None
    steps_done: int = 0
    steps_total: int | None = None
    nodes: NodeProgress | None = None
    failures: tuple[tuple[int, str], ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """The fields that change at most a few times per step."""
        return self.status, self.blocked_by, self.step


def state_of(run: Run, before: RunState | None = None) -> RunState:
    """Return the state of a run.

    Args:
        run: The run, with its job and steps or without.
        before: The state of an earlier check, for what this payload does not contain.
    """
    job = (run.get("job") or {}).get("name")
    state = RunState(
        run_id=id_of(run),
        job=_line(job) if job else before.job if before else None,
        link=_line(run_link(run)[2:-1]),
        status=_line(run.get("status_humanized") or "in progress").lower(),
        is_finished=has_finished(run),
        blocked_by=_first_id(run.get("blocked_by")),
        steps_total=len(planned_commands(run)) or (before.steps_total if before else None),
    )
    steps = steps_of(run)
    if steps:
        return _with_steps(state, run, steps)
    if before is None:
        return state
    return replace(
        state,
        step=before.step,
        steps_done=before.steps_done,
        nodes=before.nodes,
        failures=before.failures,
    )


def describe(state: RunState, elapsed: float, left: float | None, usual: float | None) -> list[str]:
    """Return the parts of a run's description, the most important first.

    Args:
        state: The run.
        elapsed: Seconds since its trigger.
        left: Seconds until its usual end; None if unknown.
        usual: Its usual duration in seconds, if known.
    """
    if state.is_finished:
        return [f"{state.status} after {in_words(elapsed)}", *_nodes(state)]
    behind = f" behind run {state.blocked_by}" if state.blocked_by else ""
    expected = []
    if left is not None and left > 0:
        expected = [f"~{in_words(_rounded(left))} left"]
    elif usual is not None and not behind:
        expected = [f"usually {in_words(_rounded(usual))}"]
    step = [state.step] if state.step else []
    return [f"{state.status}{behind} {in_words(elapsed)}", *expected, *_nodes(state), *step]


def in_words(seconds: float) -> str:
    """Return a duration such as `42s`, `2m 05s` or `1h 02m`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def _with_steps(state: RunState, run: Run, steps: Sequence[RunStep]) -> RunState:
    planned = planned_commands(run)
    commands = started_steps({**run, "run_steps": list(steps)}, planned)
    current = steps[-1]
    found = [(step.get("index") or 0, _nodes_of(step)) for step in steps]
    # a setup step may look like a command of the job while that has not started
    is_command = bool(commands) and commands[-1].get("index") == current.get("index")
    number = f" {len(commands)}/{len(planned)}" if is_command else ""
    command = command_of(current) or current.get("name") or ""
    done = len(commands) - (is_command and not state.is_finished)
    return replace(
        state,
        step=f"step{number}: {_cut(_line(command))}",
        steps_done=done,
        nodes=_all_nodes(found) if state.is_finished else found[-1][1],
        failures=tuple(
            (index, _line(line)) for index, nodes in found if nodes for line in nodes.failures
        ),
    )


def _nodes_of(step: RunStep) -> NodeProgress | None:
    logs = (step.get("logs"), step.get("debug_logs"), step.get("truncated_debug_logs"))
    return next((found for log in logs if log and (found := node_progress(log))), None)


def _all_nodes(found: Sequence[tuple[int, NodeProgress | None]]) -> NodeProgress | None:
    done = [nodes.done for _, nodes in found if nodes]
    return NodeProgress(sum(done)) if done else None


def _nodes(state: RunState) -> list[str]:
    failed = [f"{len(state.failures)} failed"] if state.failures else []
    if state.nodes is None:
        return failed
    total = f"/{state.nodes.total}" if state.nodes.total else ""
    noun = "node" if not total and state.nodes.done == 1 else "nodes"
    return [f"{state.nodes.done}{total} {noun}", *failed]


def _first_id(value: object) -> int | None:
    return as_integer(value[0]) if isinstance(value, list) and value else None


def _rounded(seconds: float) -> float:
    step = next((step for limit, step in _ROUNDED if seconds < limit), _MINUTE)
    return max(1, round(seconds / step)) * step


def _cut(command: str) -> str:
    return command if len(command) <= _COMMAND else f"{command[: _COMMAND - 3].strip()}..."


def _line(text: str) -> str:
    """Return a text as one line without control characters and secrets."""
    return " ".join(redact(plain_text(text)).split())
