"""What a run executes: the job's steps with the trigger's overrides, without any I/O."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlt_dbtcloud.emulator.dbt.artifacts import has_file
from dlt_dbtcloud.emulator.errors import bad_request
from dlt_dbtcloud.emulator.models import JSON, Job, Plan, PlannedStep, Run
from dlt_dbtcloud.typing import RunStatus, TriggerData

SUBCOMMANDS = frozenset(
    {
        "build",
        "clone",
        "compile",
        "debug",
        "deps",
        "docs",
        "list",
        "ls",
        "parse",
        "retry",
        "run",
        "run-operation",
        "seed",
        "show",
        "snapshot",
        "source",
        "test",
    }
)
RETRYABLE = frozenset(
    {"build", "clone", "compile", "docs", "run", "run-operation", "seed", "snapshot", "test"}
)
# dbt's options before the subcommand whose value is a word of its own
VALUED_OPTIONS = frozenset(
    {
        "--defer-state",
        "--indirect-selection",
        "--log-file-max-bytes",
        "--log-format",
        "--log-format-file",
        "--log-level",
        "--log-level-file",
        "--partial-parse-file-path",
        "--printer-width",
        "--profile",
        "--state",
        "--target",
        "--warn-error-options",
        "-t",
    }
)
# a run writes to its own folder only, so the emulator sets these itself
REFUSED_OPTIONS = frozenset(
    {
        "--log-path",
        "--profiles-dir",
        "--project-dir",
        "--record-timing-info",
        "--target-path",
        "-r",
    }
)


class CommandError(ValueError):
    """A job's step that is no dbt command the emulator runs."""


def parse_command(line: str) -> tuple[str, ...]:
    """Split a job's step into the arguments of `dbt`, as a shell would, without a shell.

    Args:
        line: The step, for example `dbt build --select orders+`.

    Returns:
        The arguments that follow `dbt`.

    Raises:
        CommandError: The step does not start with `dbt` and a known subcommand, or has an option
            that the emulator sets itself.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"`{line}` cannot be read: {error}.") from error
    if not words or words[0] != "dbt":
        raise CommandError(f"`{line}` is no dbt command: a step starts with `dbt`.")
    arguments = tuple(words[1:])
    for word in arguments:
        if word.split("=", 1)[0] in REFUSED_OPTIONS:
            raise CommandError(f"`{line}`: `{word}` is set by the service, remove it.")
    _check_subcommand(line, arguments)
    return arguments


def subcommand(arguments: tuple[str, ...]) -> str | None:
    """Find dbt's subcommand behind its global options and their values."""
    words = iter(arguments)
    for word in words:
        if word in VALUED_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word if word in SUBCOMMANDS else None
    return None


def plan_command(line: str, *, may_fail: bool = False) -> PlannedStep:
    """Plan the step that executes one command line."""
    arguments = parse_command(line)
    return PlannedStep(f"Invoke dbt with `{line}`", arguments, line, may_fail)


def _check_subcommand(line: str, arguments: tuple[str, ...]) -> None:
    found = subcommand(arguments)
    if found is None:
        known = ", ".join(sorted(SUBCOMMANDS))
        raise CommandError(f"`{line}` has no dbt subcommand that a job runs: {known}.")
    if found == "docs" and "serve" in arguments:
        raise CommandError(f"`{line}` would never end: a job runs `dbt docs generate`.")


CLONE = PlannedStep("Clone git repository")
CONNECT = PlannedStep("Create profile from connection Embedded")
DEPS = PlannedStep("Invoke dbt with `dbt deps`", ("deps",), "dbt deps")
SETUP_STEPS = (CLONE, CONNECT, DEPS)


def plan_run(job: Job, data: TriggerData) -> Plan:
    """Apply a trigger's overrides to its job.

    Raises:
        ApiError: 400, where a step of `steps_override` is no dbt command.
    """
    settings: JSON = job.fields["settings"]
    timeout = data.get("timeout_seconds_override")
    target = data.get("target_name_override") or settings["target_name"]
    return Plan(
        steps=_steps(job, data),
        timeout_seconds=job.fields["execution"]["timeout_seconds"] if timeout is None else timeout,
        threads=data.get("threads_override") or settings["threads"],
        target_name=target if target != "default" else None,
        schema=data.get("schema_override"),
    )


def _steps(job: Job, data: TriggerData) -> tuple[PlannedStep, ...]:
    lines = data.get("steps_override") or job.fields["execute_steps"]
    docs = data.get("generate_docs_override")
    steps = list(SETUP_STEPS)
    if job.fields["run_generate_sources"]:
        steps.append(plan_command("dbt source freshness", may_fail=True))
    steps += plan_commands("steps_override", lines)
    if job.fields["generate_docs"] if docs is None else docs:
        steps.append(plan_command("dbt docs generate", may_fail=True))
    return tuple(steps)


def plan_commands(field: str, lines: list[str]) -> list[PlannedStep]:
    """Plan the steps of a list of command lines.

    Raises:
        ApiError: 400, naming the field, where a line is no dbt command.
    """
    try:
        return [plan_command(line) for line in lines]
    except CommandError as error:
        raise bad_request({field: str(error)}) from error


OLDEST_RETRYING_DBT = (1, 6)


def refusal(run: Run, history: Sequence[Run]) -> str | None:
    """Tell why a run cannot be retried.

    Args:
        run: The run.
        history: All runs of its job, oldest first.

    Returns:
        The API's reason, or None if it can be retried.
    """
    step = run.failed_step()
    if run.status != RunStatus.ERROR:
        return "RETRY_NOT_FAILED_RUN"
    if history and history[-1].id > run.id:
        return "RETRY_NOT_LATEST_RUN"
    if _is_old(run.dbt_version):
        return "RETRY_UNSUPPORTED_VERSION"
    if step is None or not _is_retryable(step.planned):
        return "RETRY_UNSUPPORTED_CMD"
    if not has_file(step.artifacts, "run_results.json"):
        return "RETRY_NO_RUN_RESULTS"
    return None


def retry_plan(run: Run) -> Plan:
    """Plan the retry of a failed run: the failed step from its failure, then what was skipped."""
    step = run.failed_step()
    if step is None:
        raise ValueError(f"Run {run.id} has no failed step.")
    state = step.artifacts if isinstance(step.artifacts, Path) else None
    again = replace(plan_command("dbt retry"), state=state)
    return replace(run.plan, steps=(*SETUP_STEPS, again, *run.skipped()))


def failure_details(run: Run) -> JSON:
    """Describe what a retry would execute; that both are command lines is inferred."""
    step = run.failed_step()
    failed = step and (step.planned.command or step.planned.name)
    skipped = [planned.command or planned.name for planned in run.skipped()]
    return {"failed_step": failed, "skipped_steps": skipped if failed else []}


def _is_retryable(planned: PlannedStep) -> bool:
    # a retry of a retry goes on from there
    return subcommand(planned.arguments) in RETRYABLE | {"retry"}


def _is_old(version: str | None) -> bool:
    parts = (version or "").split(".")[:2]
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        return False
    return tuple(int(part) for part in parts) < OLDEST_RETRYING_DBT
