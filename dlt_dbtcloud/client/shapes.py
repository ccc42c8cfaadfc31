"""Types of the payload's fields that this package reads."""

from __future__ import annotations

from typing import Any, cast

from dlt_dbtcloud.typing import Job, Run

__all__ = ["shaped_job", "shaped_run"]

# a type, the type of each item of a list, or the types of an object's fields
_Shape = Any

_STEP = {
    "index": int,
    "name": str,
    "status": int,
    "status_humanized": str,
    "logs": str,
    "debug_logs": str,
    "truncated_debug_logs": str,
    "started_at": str,
    "finished_at": str,
    "run_step_command": {"dbt_command": str},
}
_JOB = {"name": str, "project_id": int, "environment_id": int, "execute_steps": [str]}
_RUN = {
    "job_definition_id": int,
    "environment_id": int,
    "retrying_run_id": int,
    "status": int,
    "status_humanized": str,
    "status_message": str,
    "is_complete": bool,
    "is_success": bool,
    "is_error": bool,
    "is_cancelled": bool,
    "in_progress": bool,
    "href": str,
    "dbt_version": str,
    "created_at": str,
    "started_at": str,
    "finished_at": str,
    "trigger": {"cause": str, "steps_override": [str]},
    "job": _JOB,
    "run_steps": [_STEP],
    "audit": {"cancellation": {"actor": {"name": str}}},
}
_JOB_WITH_RUNS = {**_JOB, "most_recent_run": _RUN, "most_recent_completed_run": _RUN}


def shaped_run(payload: dict[str, Any]) -> Run:
    """Return a run whose fields have their types; null replaces any other value."""
    return cast(Run, _shaped(payload, _RUN))


def shaped_job(payload: dict[str, Any]) -> Job:
    """Return a job whose fields have their types; null replaces any other value."""
    return cast(Job, _shaped(payload, _JOB_WITH_RUNS))


def _shaped(value: Any, shape: _Shape) -> Any:
    if isinstance(shape, dict) and isinstance(value, dict):
        return {
            name: _shaped(each, shape[name]) if name in shape else each
            for name, each in value.items()
        }
    if isinstance(shape, list) and isinstance(value, list):
        items = (_shaped(item, shape[0]) for item in value)
        return [item for item in items if item is not None]
    return value if type(value) is shape else None
