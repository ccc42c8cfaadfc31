"""Default fields of accounts, projects, environments and jobs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from dlt_dbtcloud.emulator.models import ACTIVE, JSON

ACCOUNT: JSON = {
    "name": "Embedded dbt Cloud",
    "state": ACTIVE,
    "plan": "enterprise",
    "run_slots": 5,
    "developer_seats": 1,
    "it_seats": 0,
    "explorer_seats": 0,
    "analyst_seats": 0,
    "read_only_seats": 0,
    "locked": False,
    "lock_reason": None,
    "lock_cause": None,
    "unlocked_at": None,
    "pending_cancel": False,
    "billing_email_address": None,
    "pod_memory_request_mebibytes": 600,
    "develop_pod_memory_request_mebibytes": 0,
    "run_duration_limit_seconds": 86400,
    "queue_limit": 50,
    "enterprise_login_slug": None,
    "business_critical": False,
    "starter_repo_url": None,
    "git_auth_level": "team",
    "identifier": "embedded",
    "trial_end_date": None,
    "static_subdomain": None,
    "vanity_subdomain": None,
    "run_locked_until": None,
    "docs_job_id": None,
    "freshness_job_id": None,
    "copilot_locked_until": None,
    "agent_credit_locked": False,
    "account_migration_events": [],
    "groups": [],
}
USER: JSON = {
    "first_name": "Embedded",
    "last_name": "User",
    "email": "embedded@example.com",
}
PROJECT: JSON = {
    "name": "Project",
    "description": None,
    "connection_id": None,
    "repository_id": None,
    "semantic_layer_config_id": None,
    "state": ACTIVE,
    "dbt_project_subdirectory": None,
    "docs_job_id": None,
    "freshness_job_id": None,
    "type": 0,
}
ENVIRONMENT: JSON = {
    "name": "Production",
    "project_id": None,
    "connection_id": None,
    "credentials_id": None,
    "repository_id": None,
    "extended_attributes_id": None,
    "custom_branch": None,
    "use_custom_branch": False,
    "dbt_project_subdirectory": None,
    "dbt_version": "latest",
    "supports_docs": True,
    "deployment_type": "production",
    "type": "deployment",
    "created_by_id": None,
    "state": ACTIVE,
}
VARIABLE: JSON = {
    "name": None,
    "type": "project",
    "project_id": None,
    "environment_id": None,
    "job_definition_id": None,
    "user_id": None,
    "raw_value": "",
    "state": ACTIVE,
}
JOB: JSON = {
    "name": "Job",
    "project_id": None,
    "environment_id": None,
    "description": "",
    "dbt_version": None,
    "deferring_environment_id": None,
    "deferring_job_definition_id": None,
    "execute_steps": [],
    "execution": {"timeout_seconds": 0},
    "generate_docs": False,
    "run_generate_sources": False,
    "generate_sources": False,
    "job_type": "other",
    "lifecycle_webhooks": False,
    "run_compare_changes": False,
    "compare_changes_flags": "--select state:modified",
    "run_lint": False,
    "errors_on_lint_failure": True,
    "cost_optimization_features": [],
    "settings": {"threads": None, "target_name": "default"},
    "state": ACTIVE,
    "deactivated": False,
    "triggers_on_draft_pr": False,
    "triggers": {
        "github_webhook": False,
        "schedule": False,
        "git_provider_webhook": False,
        "on_merge": False,
        "custom_branch_only": False,
    },
    "schedule": {
        "cron": "0 * * * *",
        "date": {"type": "every_day"},
        "time": {"type": "every_hour", "interval": 1},
    },
    "job_completion_trigger_condition": None,
}


def with_defaults(defaults: JSON, fields: JSON) -> JSON:
    """Fill missing and null fields with their defaults, also in nested objects."""
    merged = deepcopy(defaults)
    for key, value in fields.items():
        if key not in merged or (value is None and merged[key] is not None):
            continue
        nested = isinstance(merged[key], dict) and isinstance(value, dict)
        merged[key] = {**merged[key], **value} if nested else deepcopy(value)
    return merged


def apply_changes(defaults: JSON, current: JSON, changes: JSON, nulls: Iterable[str]) -> JSON:
    """Update fields; null clears only fields whose default is null."""
    cleared = {key: None for key in nulls if key in defaults and defaults[key] is None}
    return {**with_defaults(current, changes), **cleared}
