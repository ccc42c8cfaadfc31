"""Which run can be retried, and what its retry would execute, without any I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlt_dbtcloud.emulator.artifacts import has_file
from dlt_dbtcloud.emulator.commands import RETRYABLE, plan_command, subcommand
from dlt_dbtcloud.emulator.models import JSON, Plan, PlannedStep, Run
from dlt_dbtcloud.emulator.planning import SETUP_STEPS
from dlt_dbtcloud.typing import RunStatus

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
