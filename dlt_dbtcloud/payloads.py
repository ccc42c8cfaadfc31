"""Runs and their steps, as the API's payloads describe them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from dlt_dbtcloud.redaction import Redact, last_lines, plain_text, redact, without_backtraces
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import as_datetime, as_dicts, as_integer, as_mapping, as_text

__all__ = [
    "RELATED",
    "SETUP_STEPS",
    "command_of",
    "ended_early",
    "failed_step",
    "has_finished",
    "id_of",
    "lean_run",
    "log_of",
    "log_tail",
    "planned_commands",
    "run_link",
    "run_name",
    "seconds_of",
    "started_steps",
    "steps_of",
    "time_of",
]


# the related objects that are requested with a run; the API omits them by default
RELATED = ("trigger", "job", "run_steps", "audit")

# the clone, the connection and `dbt deps` come before a job's own commands
SETUP_STEPS = 3

_COMMAND = re.compile(r"`\s*dbt\b(.*)`", re.DOTALL | re.IGNORECASE)
_LOG_LINES = 50
# lines that are redacted, as a secret may be recognized by an earlier line
_REDACTED_LINES = 10 * _LOG_LINES
_LOGS = ("logs", "debug_logs", "truncated_debug_logs")
_STEP_TYPES = {"index": as_integer, "name": as_text, "status": as_integer}
_RETRY = "dbt retry"
# the first line of dbt Fusion's log, and the heading of its end, which is kept in a cut log
_FUSION = re.compile(r"\bdbt-fusion \d|= Execution Summary =")
# logged with the results of nodes and of sources
_FUSION_ENDS = ("Processed: ", "Successfully wrote sources.json")


def id_of(run: Run) -> int:
    """Return the id of a run that exists.

    Raises:
        ValueError: It is a skipped run, which has no id.
    """
    run_id = run["id"]
    if run_id is None:
        raise ValueError('A skipped run has no `id`. Check `run["id"]` first.')
    return run_id


def run_name(run: Run, word: str = "Run") -> str:
    """Return the name of a run: `Run 7 of job "Nightly"`, or the job's id.

    Args:
        run: The run.
        word: The first word.
    """
    name, job_id = (run.get("job") or {}).get("name"), run.get("job_definition_id")
    job = f'"{name}"' if name else job_id
    return f"{word} {run.get('id')}" + (f" of job {job}" if job else "")


def run_link(run: Run) -> str:
    """Return the URL of a run in parentheses, to follow its name; empty if unknown."""
    return f" ({run['href']})" if run.get("href") else ""


def has_finished(run: Run) -> bool:
    """Return whether a run has finished; the API's flags win over its status code."""
    is_complete, in_progress = run.get("is_complete"), run.get("in_progress")
    if isinstance(is_complete, bool):
        return is_complete
    if isinstance(in_progress, bool):
        return not in_progress
    status = run.get("status")
    return isinstance(status, int) and status >= RunStatus.SUCCESS


def time_of(
    run: Run, field: Literal["created_at", "dequeued_at", "started_at", "finished_at"]
) -> float | None:
    """Return a timestamp of a run in seconds since 1970; None if missing."""
    time = as_datetime(run.get(field))
    return time.timestamp() if time else None


def seconds_of(run: Run) -> float | None:
    """Return the seconds from the start of a run to its end; None if unknown."""
    started, finished = time_of(run, "started_at"), time_of(run, "finished_at")
    return finished - started if started and finished and finished >= started else None


def steps_of(run: Run) -> list[RunStep]:
    """Return the steps of a run, sorted by index."""
    return sorted(run.get("run_steps") or [], key=lambda step: step.get("index") or 0)


def failed_step(run: Run) -> RunStep | None:
    """Return the step that ended a run, or None if no step had started.

    The service's own steps, before and after the commands, may fail without ending the run: of
    several failed steps it is the last.
    """
    steps = steps_of(run)
    for status in (RunStatus.ERROR, RunStatus.CANCELLED):
        ended = [step for step in steps if step.get("status") == status]
        if ended:
            return ended[-1]
    return steps[-1] if steps else None


def ended_early(step: RunStep) -> bool:
    """Return whether a step ended before dbt could write the results of its nodes."""
    if step.get("status") == RunStatus.CANCELLED:
        return True
    log = as_text(step.get("logs")) or ""
    if step.get("status") != RunStatus.ERROR:
        return False
    if _FUSION.search(log):
        return not any(words in log for words in _FUSION_ENDS)
    return "Encountered an error" in log and "Done. PASS=" not in log


def log_of(step: RunStep) -> str:
    """Return the log of a step, else its debug log, else an empty text."""
    return as_text(step.get("logs")) or as_text(step.get("debug_logs")) or ""


def log_tail(step: RunStep, redact: Redact = redact) -> str:
    """Return the last fifty lines of a step's log without secrets and backtraces, if any.

    Args:
        step: The step.
        redact: Redacts a text.
    """
    end = without_backtraces(plain_text(log_of(step))).split("\n")[-_REDACTED_LINES:]
    return last_lines(redact("\n".join(end)), _LOG_LINES)


def lean_run(run: Run) -> Run:
    """Return a run without most of its job and logs, which no table contains."""
    job = {"name": as_mapping(run.get("job")).get("name")}
    steps = [_lean_step(step) for step in as_dicts(run.get("run_steps")) if step]
    return cast(Run, {**run, "job": job, "run_steps": steps})


def command_of(step: RunStep) -> str | None:
    """Return the dbt command line of a step, or None if it has none."""
    line = as_text(as_mapping(step.get("run_step_command")).get("dbt_command"))
    if line:
        return line.strip()
    match = _COMMAND.search(as_text(step.get("name")) or "")
    return f"dbt{match[1].rstrip()}" if match else None


def planned_commands(run: Run) -> tuple[str, ...]:
    """Return the commands that a run was to execute: its trigger's, or else its job's."""
    trigger, job = run.get("trigger") or {}, run.get("job") or {}
    commands = trigger.get("steps_override") or job.get("execute_steps") or []
    return tuple(command.strip() for command in commands)


def started_steps(run: Run, planned: Sequence[str]) -> list[RunStep]:
    """Return the steps that executed planned commands, in order.

    If the run failed in one of these commands, it is the last.

    Args:
        run: The run, with its steps.
        planned: The commands of the run; for a retry, those that the run before it had left.
    """
    last = failed_step(run) or RunStep(index=0)
    last_index = last.get("index") or 0
    steps = [step for step in steps_of(run) if (step.get("index") or 0) <= last_index]
    # the API's retry resumes with the command that failed before
    first = planned[0] if planned and run.get("retrying_run_id") else _RETRY
    found = [(step, line) for step in steps if (line := command_of(step))]
    started = [_spaced(first if line == _RETRY else line) for _, line in found]
    # the service's own steps come first, and may look like the first planned command
    for count in range(min(len(started), len(planned)), 0, -1):
        expected = [_spaced(line) for line in planned[:count]]
        # after the last command of a run, the service may generate docs
        for end in range(len(started), count - 1, -1):
            if started[end - count : end] == expected:
                return [step for step, _ in found[end - count : end]]
    return []


def _lean_step(step: dict[str, Any]) -> RunStep:
    kept = {name: value for name, value in step.items() if name not in _LOGS}
    typed = {name: read(step[name]) for name, read in _STEP_TYPES.items() if name in step}
    if step.get("status") == RunStatus.ERROR:
        typed["logs"] = "\n".join((as_text(step.get("logs")) or "").split("\n")[-_REDACTED_LINES:])
    return cast(RunStep, {**kept, **typed})


def _spaced(line: str) -> str:
    return " ".join(line.split())
