"""Steps of runs and retries, planned without I/O."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlt_dbtcloud.emulator.dbt.artifacts import has_file
from dlt_dbtcloud.emulator.errors import bad_request
from dlt_dbtcloud.emulator.models import JSON, Job, Plan, PlannedStep, Run
from dlt_dbtcloud.typing import RunStatus, TriggerData

CLONE = PlannedStep("Clone git repository")
CONNECT = PlannedStep("Create profile from connection Embedded")
DEPS = PlannedStep("Invoke dbt with `dbt deps`", ("deps",), "dbt deps")
SETUP_STEPS = (CLONE, CONNECT, DEPS)

SUBCOMMANDS = frozenset(
    "build clone compile debug deps docs list ls parse retry run run-operation seed show snapshot "
    "source test".split()
)
RETRYABLE = frozenset("build clone compile docs retry run run-operation seed snapshot test".split())
# dbt's global options that take a separate value
VALUED_OPTIONS = frozenset(
    "--defer-state --indirect-selection --log-file-max-bytes --log-format --log-format-file "
    "--log-level --log-level-file --partial-parse-file-path --printer-width --profile --state "
    "--target --warn-error-options -t".split()
)
# options that the emulator sets, so that a run writes only to its own folder
REFUSED_OPTIONS = frozenset(
    "--log-path --profiles-dir --project-dir --record-timing-info --target-path -r".split()
)
OLDEST_RETRYING_DBT = (1, 6)


class CommandError(ValueError):
    """A job's step is not a dbt command that the emulator can run."""


def plan_run(job: Job, data: TriggerData) -> Plan:
    """Apply a trigger's overrides to its job.

    Raises:
        ApiError: 400 if a step of `steps_override` is not a dbt command.
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


def plan_commands(field: str, lines: list[str]) -> list[PlannedStep]:
    """Plan the steps of a list of command lines.

    Raises:
        ApiError: 400 for `field` if a line is not a dbt command.
    """
    try:
        return [_plan_command(line) for line in lines]
    except CommandError as error:
        raise bad_request({field: str(error)}) from error


def refusal(run: Run, history: Sequence[Run]) -> str | None:
    """Return the API's reason why a run cannot be retried, or None if it can.

    Args:
        run: The run.
        history: All runs of its job, oldest first.
    """
    step = run.failed_step()
    if run.status != RunStatus.ERROR:
        return "RETRY_NOT_FAILED_RUN"
    if history and history[-1].id > run.id:
        return "RETRY_NOT_LATEST_RUN"
    if _is_old(run.dbt_version):
        return "RETRY_UNSUPPORTED_VERSION"
    if step is None or subcommand(step.planned.arguments) not in RETRYABLE:
        return "RETRY_UNSUPPORTED_CMD"
    if not has_file(step.artifacts, "run_results.json"):
        return "RETRY_NO_RUN_RESULTS"
    return None


def retry_plan(run: Run) -> Plan:
    """Plan the retry of a failed run: `dbt retry`, then the skipped steps."""
    step = run.failed_step()
    if step is None:
        raise ValueError(f"Run {run.id} has no failed step.")
    state = step.artifacts if isinstance(step.artifacts, Path) else None
    retry = replace(_plan_command("dbt retry"), state=state)
    return replace(run.plan, steps=(*SETUP_STEPS, retry, *run.skipped()))


def failure_details(run: Run) -> JSON:
    """Describe the steps of a retry; that both fields are command lines is inferred."""
    step = run.failed_step()
    failed = step and (step.planned.command or step.planned.name)
    skipped = [planned.command or planned.name for planned in run.skipped()]
    return {"failed_step": failed, "skipped_steps": skipped if failed else []}


def parse_command(line: str) -> tuple[str, ...]:
    """Split a job's step into the arguments of `dbt`, without a shell.

    Args:
        line: The step, for example `dbt build --select orders+`.

    Returns:
        The arguments after `dbt`.

    Raises:
        CommandError: The step does not start with `dbt` and a known subcommand, or has an option
            that the emulator sets.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"`{line}` cannot be parsed: {error}.") from error
    if not words or words[0] != "dbt":
        raise CommandError(f"`{line}` is not a dbt command: a step starts with `dbt`.")
    arguments = tuple(words[1:])
    for word in arguments:
        if word.split("=", 1)[0] in REFUSED_OPTIONS:
            raise CommandError(f"`{line}`: `{word}` is set by the service; remove it.")
    found = subcommand(arguments)
    if found is None:
        known = ", ".join(sorted(SUBCOMMANDS))
        raise CommandError(f"`{line}` has no dbt subcommand that a job can run: {known}.")
    if found == "docs" and "serve" in arguments:
        raise CommandError(f"`{line}` would never finish: use `dbt docs generate`.")
    return arguments


def subcommand(arguments: tuple[str, ...]) -> str | None:
    """Return dbt's subcommand, after global options and their values, or None."""
    words = iter(arguments)
    for word in words:
        if word in VALUED_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word if word in SUBCOMMANDS else None
    return None


def _steps(job: Job, data: TriggerData) -> tuple[PlannedStep, ...]:
    lines = data.get("steps_override") or job.fields["execute_steps"]
    docs = data.get("generate_docs_override")
    steps = list(SETUP_STEPS)
    if job.fields["run_generate_sources"]:
        steps.append(_plan_command("dbt source freshness", may_fail=True))
    steps += plan_commands("steps_override", lines)
    if job.fields["generate_docs"] if docs is None else docs:
        steps.append(_plan_command("dbt docs generate", may_fail=True))
    return tuple(steps)


def _plan_command(line: str, *, may_fail: bool = False) -> PlannedStep:
    return PlannedStep(f"Invoke dbt with `{line}`", parse_command(line), line, may_fail)


def _is_old(version: str | None) -> bool:
    parts = (version or "").split(".")[:2]
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        return False
    return tuple(int(part) for part in parts) < OLDEST_RETRYING_DBT
