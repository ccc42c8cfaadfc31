"""The bodies that clients send: what is required, and what has the wrong type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from dlt_dbtcloud.emulator.errors import bad_request
from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.typing import TriggerData

MAX_CAUSE = 255
REQUIRED = "required key not provided"

Check = Callable[[Any], Any]


def text(value: Any) -> str:
    """Accept a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"{value!r} is not a non-empty string")


def any_text(value: Any) -> str:
    """Accept a text."""
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is not of type 'string'")


def integer(value: Any) -> int:
    """Accept an integer; some clients send it as a string."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not of type 'integer'")


def positive(value: Any) -> int:
    """Accept an integer from 1."""
    number = integer(value)
    if number < 1:
        raise ValueError(f"{number} is less than the minimum of 1")
    return number


def natural(value: Any) -> int:
    """Accept an integer from 0."""
    number = integer(value)
    if number < 0:
        raise ValueError(f"{number} is less than the minimum of 0")
    return number


def flag(value: Any) -> bool:
    """Accept a boolean."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not of type 'boolean'")


def texts(value: Any) -> list[str]:
    """Accept a list of texts."""
    if isinstance(value, list):
        return [text(item) for item in value]
    raise ValueError(f"{value!r} is not of type 'array'")


def mapping(value: Any) -> JSON:
    """Accept an object."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"{value!r} is not of type 'object'")


def cause(value: Any) -> str:
    """Accept a cause; that a longer one is refused, not cut, is the emulator's choice."""
    found = text(value)
    if len(found) > MAX_CAUSE:
        raise ValueError(f"Ensure this field has no more than {MAX_CAUSE} characters.")
    return found


def settings(value: Any) -> JSON:
    """Accept a job's threads and target."""
    return checked(mapping(value), {"threads": positive, "target_name": text})


def execution(value: Any) -> JSON:
    """Accept a job's timeout."""
    return checked(mapping(value), {"timeout_seconds": natural})


TRIGGER: Mapping[str, Check] = {
    "cause": cause,
    "git_sha": text,
    "git_branch": text,
    "azure_pull_request_id": integer,
    "github_pull_request_id": integer,
    "gitlab_merge_request_id": integer,
    "non_native_pull_request_id": integer,
    "schema_override": text,
    "dbt_version_override": text,
    "threads_override": positive,
    "target_name_override": text,
    "generate_docs_override": flag,
    "timeout_seconds_override": natural,
    "steps_override": texts,
}
JOB: Mapping[str, Check] = {
    "name": text,
    "project_id": integer,
    "environment_id": integer,
    "description": any_text,
    "dbt_version": text,
    "deferring_environment_id": integer,
    "deferring_job_definition_id": integer,
    "execute_steps": texts,
    "execution": execution,
    "generate_docs": flag,
    "run_generate_sources": flag,
    "generate_sources": flag,
    "job_type": text,
    "lifecycle_webhooks": flag,
    "run_compare_changes": flag,
    "compare_changes_flags": text,
    "run_lint": flag,
    "errors_on_lint_failure": flag,
    "cost_optimization_features": texts,
    "settings": settings,
    "state": integer,
    "deactivated": flag,
    "triggers_on_draft_pr": flag,
    "triggers": mapping,
    "schedule": mapping,
    "job_completion_trigger_condition": mapping,
}
PROJECT: Mapping[str, Check] = {
    "name": text,
    "description": any_text,
    "connection_id": integer,
    "repository_id": integer,
    "semantic_layer_config_id": integer,
    "state": integer,
    "dbt_project_subdirectory": any_text,
    "docs_job_id": integer,
    "freshness_job_id": integer,
    "type": integer,
}
ENVIRONMENT: Mapping[str, Check] = {
    "name": text,
    "project_id": integer,
    "connection_id": integer,
    "credentials_id": integer,
    "repository_id": integer,
    "extended_attributes_id": integer,
    "custom_branch": any_text,
    "use_custom_branch": flag,
    "dbt_project_subdirectory": any_text,
    "dbt_version": text,
    "supports_docs": flag,
    "deployment_type": text,
    "type": text,
    "created_by_id": integer,
    "state": integer,
}


def trigger_data(body: JSON) -> TriggerData:
    """Check the body of a trigger; nulls and foreign keys are passed over.

    Raises:
        ApiError: 400, with the reason for each field.
    """
    require(body, "cause")
    return cast("TriggerData", checked(body, TRIGGER))


def require(body: JSON, *fields: str) -> None:
    """Refuse a body that lacks a field.

    Raises:
        ApiError: 400, naming each field that is missing.
    """
    missing = {field: REQUIRED for field in fields if body.get(field) is None}
    if missing:
        raise bad_request(missing)


def checked(body: JSON, checks: Mapping[str, Check]) -> JSON:
    """Take the known fields of a body that are not null.

    Raises:
        ApiError: 400, with the reason for each field of the wrong type.
    """
    fields: JSON = {}
    wrong: dict[str, str] = {}
    for name, check in checks.items():
        if body.get(name) is None:
            continue
        try:
            fields[name] = check(body[name])
        except ValueError as error:
            wrong[name] = str(error)
    if wrong:
        raise bad_request(wrong)
    return fields
