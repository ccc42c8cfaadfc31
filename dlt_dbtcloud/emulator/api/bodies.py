"""Request bodies: the fields that clients may send, and their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from dlt_dbtcloud.emulator.api.schemas import (
    BOOLEAN,
    INTEGER,
    NON_EMPTY,
    NON_NEGATIVE,
    OBJECT,
    POSITIVE,
    STRING,
    STRINGS,
    Schema,
    validate,
)
from dlt_dbtcloud.emulator.errors import bad_request
from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.typing import TriggerData

Fields = Mapping[str, Schema]

# `int` refuses more digits
DIGITS = re.compile(r"\s*\d{1,4300}\s*")

TRIGGER: Fields = {
    # inferred: the service refuses a longer cause or truncates it
    "cause": {**NON_EMPTY, "maxLength": 255},
    "git_sha": NON_EMPTY,
    "git_branch": NON_EMPTY,
    "azure_pull_request_id": INTEGER,
    "github_pull_request_id": INTEGER,
    "gitlab_merge_request_id": INTEGER,
    "non_native_pull_request_id": INTEGER,
    "schema_override": NON_EMPTY,
    "dbt_version_override": NON_EMPTY,
    "threads_override": POSITIVE,
    "target_name_override": NON_EMPTY,
    "generate_docs_override": BOOLEAN,
    "timeout_seconds_override": NON_NEGATIVE,
    "steps_override": STRINGS,
}
JOB: Fields = {
    "name": NON_EMPTY,
    "project_id": INTEGER,
    "environment_id": INTEGER,
    "description": STRING,
    "dbt_version": NON_EMPTY,
    "deferring_environment_id": INTEGER,
    "deferring_job_definition_id": INTEGER,
    "execute_steps": STRINGS,
    "execution": {**OBJECT, "properties": {"timeout_seconds": NON_NEGATIVE}},
    "generate_docs": BOOLEAN,
    "run_generate_sources": BOOLEAN,
    "generate_sources": BOOLEAN,
    "job_type": NON_EMPTY,
    "lifecycle_webhooks": BOOLEAN,
    "run_compare_changes": BOOLEAN,
    "compare_changes_flags": NON_EMPTY,
    "run_lint": BOOLEAN,
    "errors_on_lint_failure": BOOLEAN,
    "cost_optimization_features": STRINGS,
    "settings": {**OBJECT, "properties": {"threads": POSITIVE, "target_name": NON_EMPTY}},
    "state": INTEGER,
    "deactivated": BOOLEAN,
    "triggers_on_draft_pr": BOOLEAN,
    "triggers": OBJECT,
    "schedule": OBJECT,
    "job_completion_trigger_condition": OBJECT,
}
PROJECT: Fields = {
    "name": NON_EMPTY,
    "description": STRING,
    "connection_id": INTEGER,
    "repository_id": INTEGER,
    "semantic_layer_config_id": INTEGER,
    "state": INTEGER,
    "dbt_project_subdirectory": STRING,
    "docs_job_id": INTEGER,
    "freshness_job_id": INTEGER,
    "type": INTEGER,
}
ENVIRONMENT: Fields = {
    "name": NON_EMPTY,
    "project_id": INTEGER,
    "connection_id": INTEGER,
    "credentials_id": INTEGER,
    "repository_id": INTEGER,
    "extended_attributes_id": INTEGER,
    "custom_branch": STRING,
    "use_custom_branch": BOOLEAN,
    "dbt_project_subdirectory": STRING,
    "dbt_version": NON_EMPTY,
    "supports_docs": BOOLEAN,
    "deployment_type": NON_EMPTY,
    "type": NON_EMPTY,
    "created_by_id": INTEGER,
    "state": INTEGER,
}
VARIABLE: Fields = {
    "name": NON_EMPTY,
    "type": {"type": "string", "enum": ["project", "environment", "job", "user"]},
    "project_id": INTEGER,
    "environment_id": INTEGER,
    "job_definition_id": INTEGER,
    "user_id": INTEGER,
    "raw_value": NON_EMPTY,
}


def parse_trigger(body: JSON) -> TriggerData:
    """Parse the body of a trigger, ignoring nulls and unknown fields.

    The official document requires a cause, but the service accepts a trigger without one.

    Raises:
        ApiError: 400, with the reason for each field.
    """
    return cast("TriggerData", parse(body, TRIGGER))


def require(body: JSON, *names: str) -> None:
    """Raise unless the body has all the named fields.

    Raises:
        ApiError: 400, naming each missing field.
    """
    missing = {name: "required key not provided" for name in names if body.get(name) is None}
    if missing:
        raise bad_request(missing)


def parse(body: JSON, fields: Fields) -> JSON:
    """Parse the fields of a body that are known and not null.

    Raises:
        ApiError: 400, with the reason for each field of a wrong type.
    """
    schema = {**OBJECT, "properties": fields}
    parsed: JSON = _lenient(body, schema)
    validate(parsed, schema)
    return parsed


def _lenient(value: Any, schema: Schema) -> Any:
    """Drop nulls and unknown fields, and convert the digits that some clients send as text."""
    if isinstance(value, dict) and "properties" in schema:
        return {
            name: _lenient(value[name], field)
            for name, field in schema["properties"].items()
            if value.get(name) is not None
        }
    if schema["type"] == "integer" and isinstance(value, str) and DIGITS.fullmatch(value):
        return int(value)
    return value
