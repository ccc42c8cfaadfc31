"""What a run executes: the job's steps with the trigger's overrides, without any I/O."""

from __future__ import annotations

from dlt_dbtcloud.emulator.commands import CommandError, plan_command
from dlt_dbtcloud.emulator.errors import bad_request
from dlt_dbtcloud.emulator.models import JSON, Job, Plan, PlannedStep
from dlt_dbtcloud.typing import TriggerData

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
