"""How a run has ended, or that it has not, by what the API says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dlt_dbtcloud.redaction import tail, without_secrets
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import as_datetime, as_text

__all__ = [
    "Unfinished",
    "command_of",
    "ended_early",
    "failed_step",
    "id_of",
    "is_over",
    "log_of",
    "log_tail",
    "moment",
    "planned_commands",
    "run_link",
    "run_name",
    "steps_of",
    "unfinished",
]


def id_of(run: Run) -> int:
    """Return the id of a run that exists; only a skipped run has none."""
    run_id = run["id"]
    if run_id is None:
        raise ValueError("A skipped run has no `id`.")
    return run_id


def run_name(run: Run, word: str = "Run") -> str:
    """Return a run's name: `Run 7 of job "Nightly"`, or with the job's id where it has no name.

    Args:
        run: The run.
        word: What it begins with.
    """
    name, job_id = (run.get("job") or {}).get("name"), run.get("job_definition_id")
    job = f'"{name}"' if name else job_id
    return f"{word} {run.get('id')}" + (f" of job {job}" if job else "")


def run_link(run: Run) -> str:
    """Return what links to a run's page, to follow its name; nothing where it has none."""
    return f" ({run['href']})" if run.get("href") else ""


_COMMAND = re.compile(r"`\s*dbt\b(.*)`", re.DOTALL | re.IGNORECASE)
_LOG_LINES = 50
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
    line = as_text(told.get("dbt_command")) if isinstance(told, dict) else None
    if line:
        return line.strip()
    match = _COMMAND.search(as_text(step.get("name")) or "")
    return f"dbt{match[1].rstrip()}" if match else None


def steps_of(run: Run) -> list[RunStep]:
    """Return the steps of a run, read with them, in their order."""
    return sorted(run.get("run_steps") or [], key=lambda step: step.get("index") or 0)


def log_of(step: RunStep) -> str:
    """Return the log of a step, in detail where there is no other; nothing where it has none."""
    return as_text(step.get("logs")) or as_text(step.get("debug_logs")) or ""


def log_tail(step: RunStep, hide: Callable[[str], str] = str) -> str:
    """Return the last fifty lines of a step's log without secrets, or nothing where it has none.

    Args:
        step: The step.
        hide: Cuts the API's token out of a text.
    """
    # more than is shown, as what tells a secret may stand some lines before it
    end = tail(hide(log_of(step)), 10 * _LOG_LINES)
    return tail(without_secrets(end), _LOG_LINES)


def failed_step(run: Run) -> RunStep | None:
    """Return the step that ended a run, or None where none had begun.

    Steps that the service adds by itself, before and after, may fail without ending it: of those
    that failed it is the last.
    """
    steps = steps_of(run)
    for status in (RunStatus.ERROR, RunStatus.CANCELLED):
        ended = [step for step in steps if step.get("status") == status]
        if ended:
            return ended[-1]
    return steps[-1] if steps else None


def ended_early(step: RunStep) -> bool:
    """Tell whether a step ended before dbt could write what its nodes did."""
    if step.get("status") == RunStatus.CANCELLED:
        return True
    log = as_text(step.get("logs")) or ""
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
    lines = [command_of(step) for step in steps_of(run) if (step.get("index") or 0) <= until]
    # the API's retry goes on with the command that failed before
    first = planned[0] if planned and run.get("retrying_run_id") else _RETRY
    return [_spaced(first if line == _RETRY else line) for line in lines if line]


def _spaced(line: str) -> str:
    return " ".join(line.split())


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, by what the API says, as its codes may become more."""
    for says, means_over in (("is_complete", True), ("in_progress", False)):
        if isinstance(run.get(says), bool):
            return run.get(says) is means_over
    status = run.get("status")
    return isinstance(status, int) and status >= RunStatus.SUCCESS


def moment(
    run: Run, field: Literal["created_at", "dequeued_at", "started_at", "finished_at"]
) -> float | None:
    """Return when something happened to a run, in seconds since 1970, where it says so."""
    said = as_datetime(run.get(field))
    return said.timestamp() if said else None
