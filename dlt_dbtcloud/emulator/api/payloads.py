"""Payloads of runs, steps and triggers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dlt_dbtcloud.emulator.api.definitions import environment_payload, run_job_payload
from dlt_dbtcloud.emulator.dbt.plan import refusal
from dlt_dbtcloud.emulator.models import JSON, Definition, Run, Step
from dlt_dbtcloud.emulator.times import format_duration, format_time, humanize_duration, now
from dlt_dbtcloud.typing import RunStatus

TRUNCATED_LINES = 1000
COLORS = {RunStatus.SUCCESS: "#008A17", RunStatus.ERROR: "#E4002B"}


def run_payload(
    run: Run,
    history: Sequence[Run],
    *,
    unfinished: Sequence[Run],
    url: str,
    include: Collection[str] = (),
    environment: Definition | None = None,
) -> JSON:
    """Return the payload of a run.

    Args:
        run: The run.
        history: All runs of its job, oldest first.
        unfinished: Those of them that are queued or running.
        url: The emulator's URL, for `href`.
        include: The related objects to include.
        environment: The run's environment.

    Returns:
        The payload. Objects that are not included are null, and `run_steps` is empty.
    """
    reason = refusal(run, history)
    return {
        **_identity(run, url),
        **_state(run, unfinished),
        **_times(run),
        "retrying_run_id": run.retrying.id if run.retrying else None,
        "can_retry": reason is None,
        "retry_not_supported_reason": reason,
        **_related(run, history, unfinished, frozenset(include), url, environment),
    }


def step_payload(run: Run, step: Step, include: Collection[str] = ()) -> JSON:
    """Return the payload of a step, with its whole debug log if `debug_logs` is included."""
    end = step.finished_at or now()
    tail = "\n".join(step.debug_logs.splitlines()[-TRUNCATED_LINES:])
    return {
        "id": step.id,
        "run_id": run.id,
        "account_id": run.job.account_id,
        "index": step.index,
        "name": step.planned.name,
        "status": int(step.status),
        "status_humanized": humanize_status(step.status),
        "status_color": COLORS.get(RunStatus(step.status), "#666666"),
        "logs": step.log.text,
        "debug_logs": step.debug_logs if "debug_logs" in include else "",
        "truncated_debug_logs": tail,
        "log_path": None,
        "debug_log_path": None,
        "created_at": format_time(step.created_at),
        "updated_at": format_time(end),
        "started_at": format_time(step.created_at),
        "finished_at": format_time(step.finished_at),
        "duration": format_duration(end - step.created_at),
        "duration_humanized": humanize_duration(end - step.created_at),
        "run_step_command": _command(step),
        "run_step_invocation": {"run_id": run.id, "run_step_id": step.id},
    }


def humanize_status(status: int) -> str:
    """Return the service's name of a status."""
    return RunStatus(status).name.capitalize()


def generated_flags(run: Run) -> dict[str, bool]:
    """Return whether a run generated docs and checked source freshness."""
    return {
        "has_docs_generated": run.is_finished and _succeeded(run, "docs"),
        "has_sources_generated": run.is_finished and _succeeded(run, "source"),
    }


def _trigger_payload(run: Run) -> JSON:
    """Return the payload of a run's trigger."""
    return {**run.trigger, "created_at": format_time(run.created_at)}


def _identity(run: Run, url: str) -> JSON:
    job = run.job
    project_id = job.fields["project_id"]
    return {
        "id": run.id,
        "trigger_id": run.trigger["id"],
        "account_id": job.account_id,
        "project_id": project_id,
        "environment_id": job.fields["environment_id"],
        "job_id": job.id,
        "job_definition_id": job.id,
        "dbt_version": run.dbt_version,
        "git_branch": run.trigger["git_branch"] if run.started_at else None,
        "git_sha": run.trigger["git_sha"] if run.started_at else None,
        "href": f"{url}/deploy/{job.account_id}/projects/{project_id}/runs/{run.id}/",
        "deferring_run_id": None,
        "owner_thread_id": None,
        "executed_by_thread_id": None,
        "artifact_s3_path": None,
        "deprecation": None,
        "used_repo_cache": None,
    }


def _state(run: Run, unfinished: Sequence[Run]) -> JSON:
    return {
        "status": int(run.status),
        "status_humanized": humanize_status(run.status),
        "status_message": run.status_message,
        "in_progress": not run.is_finished,
        "is_complete": run.is_finished,
        "is_success": run.status == RunStatus.SUCCESS,
        "is_error": run.status == RunStatus.ERROR,
        "is_cancelled": run.status == RunStatus.CANCELLED,
        "is_running": run.status == RunStatus.RUNNING,
        "blocked_by": _blocked_by(run, unfinished),
        "artifacts_saved": run.is_finished and _saved_artifacts(run),
        **generated_flags(run),
        "notifications_sent": run.is_finished,
    }


def _times(run: Run) -> JSON:
    end = run.finished_at or now()
    started = run.started_at or end
    finished_ago = f"{humanize_duration(now() - end)} ago"
    spans = {
        "duration": end - run.created_at,
        "queued_duration": started - run.created_at,
        "run_duration": end - started,
    }
    return {
        "created_at": format_time(run.created_at),
        "updated_at": format_time(run.updated_at),
        "dequeued_at": format_time(run.started_at),
        "started_at": format_time(run.started_at),
        "finished_at": format_time(run.finished_at),
        "last_checked_at": None,
        "last_heartbeat_at": None,
        "should_start_at": format_time(run.created_at),
        **{key: format_duration(span) for key, span in spans.items()},
        **{f"{key}_humanized": humanize_duration(span) for key, span in spans.items()},
        "created_at_humanized": f"{humanize_duration(now() - run.created_at)} ago",
        "finished_at_humanized": finished_ago if run.finished_at else None,
    }


def _related(
    run: Run,
    history: Sequence[Run],
    unfinished: Sequence[Run],
    include: frozenset[str],
    url: str,
    environment: Definition | None,
) -> JSON:
    related: JSON = {
        "trigger": _trigger_payload(run) if "trigger" in include else None,
        "job": run_job_payload(run.job) if "job" in include else None,
        "environment": None,
        "repository": None,
        "run_steps": [],
        "audit": _audit(run) if "audit" in include else None,
    }
    if environment is not None and "environment" in include:
        related["environment"] = environment_payload(environment)
    if "run_steps" in include:
        related["run_steps"] = [step_payload(run, step, include) for step in run.steps]
    if "run_retries" in include:
        retries = [other for other in history if other.retrying is run]
        related["run_retries"] = [
            run_payload(other, history, unfinished=unfinished, url=url) for other in retries
        ]
    return related


def _blocked_by(run: Run, unfinished: Sequence[Run]) -> list[int]:
    if run.status != RunStatus.QUEUED:
        return []
    earlier = [other.id for other in unfinished if other.id < run.id]
    return earlier[:1]


def _saved_artifacts(run: Run) -> bool:
    # the service saves what there is of a run that timed out
    return run.timed_out or any(step.artifacts for step in run.steps)


def _succeeded(run: Run, subcommand: str) -> bool:
    return any(
        step.status == RunStatus.SUCCESS and subcommand in step.planned.arguments
        for step in run.steps
    )


def _command(step: Step) -> JSON | None:
    if step.planned.command is None:
        return None
    return {"run_step_id": step.id, "dbt_command": step.planned.command}


def _audit(run: Run) -> JSON:
    actor = {"id": "1", "type": "service_token", "name": "Embedded dbt Cloud"}
    cancelled = {"actor": actor} if run.cancel_requested else None
    return {"trigger": {"actor": actor}, "cancellation": cancelled}
