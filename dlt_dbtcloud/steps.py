"""The steps of a run: which command each executes, which one failed, what is left to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dlt_dbtcloud.typing import Run, RunStatus, RunStep

__all__ = [
    "Unfinished",
    "command_of",
    "ended_early",
    "failed_step",
    "planned_commands",
    "unfinished",
]

_COMMAND = re.compile(r"`\s*dbt\b(.*)`", re.DOTALL | re.IGNORECASE)
_RETRY = "dbt retry"


@dataclass(frozen=True)
class Unfinished:
    """What a run that did not succeed has left to do.

    Args:
        failed: The command that failed, or None where it is one of the service's own steps.
        remaining: The commands that never began.
    """

    failed: str | None
    remaining: tuple[str, ...]


def command_of(step: RunStep) -> str | None:
    """Return the dbt command line that a step executes, or None where it executes none."""
    told = step.get("run_step_command")
    line = told.get("dbt_command") if isinstance(told, dict) else None
    if line:
        return str(line).strip()
    match = _COMMAND.search(step.get("name") or "")
    return f"dbt{match[1].rstrip()}" if match else None


def failed_step(run: Run) -> RunStep | None:
    """Return the step that ended a run, or None where none had begun.

    Steps that the service adds by itself, before and after, may fail without ending it: of those
    that failed it is the last.
    """
    steps = sorted(run.get("run_steps") or [], key=lambda step: step.get("index") or 0)
    for status in (RunStatus.ERROR, RunStatus.CANCELLED):
        ended = [step for step in steps if step.get("status") == status]
        if ended:
            return ended[-1]
    return steps[-1] if steps else None


def ended_early(step: RunStep) -> bool:
    """Tell whether a step ended before dbt could write what its nodes did."""
    if step.get("status") == RunStatus.CANCELLED:
        return True
    log = step.get("logs") or ""
    is_error = step.get("status") == RunStatus.ERROR
    return is_error and "Encountered an error" in log and "Done. PASS=" not in log


def planned_commands(run: Run) -> tuple[str, ...]:
    """Return the commands that a run was to execute: its trigger's, else its job's."""
    trigger, job = run.get("trigger") or {}, run.get("job") or {}
    commands = trigger.get("steps_override") or job.get("execute_steps") or []
    return tuple(command.strip() for command in commands)


def unfinished(run: Run, planned: Sequence[str]) -> Unfinished:
    """Return what a run has left to do.

    Args:
        run: The run, with its steps.
        planned: What it was to execute; of a retry, what the run before it had left.
    """
    began = _began(run, planned)
    # the service's own steps come first, and may look like the first of those planned
    for count in range(min(len(began), len(planned)), 0, -1):
        if [_spaced(line) for line in planned[:count]] == began[-count:]:
            return Unfinished(planned[count - 1], tuple(planned[count:]))
    return Unfinished(None, tuple(planned))


def _began(run: Run, planned: Sequence[str]) -> list[str]:
    """Return the commands that began, in order, up to the one that failed."""
    ended = failed_step(run) or RunStep(index=0)
    until = ended.get("index") or 0
    steps = sorted(run.get("run_steps") or [], key=lambda step: step.get("index") or 0)
    lines = [command_of(step) for step in steps if (step.get("index") or 0) <= until]
    # the API's retry goes on with the command that failed before
    first = planned[0] if planned and run.get("retrying_run_id") else _RETRY
    return [_spaced(first if line == _RETRY else line) for line in lines if line]


def _spaced(line: str) -> str:
    return " ".join(line.split())
