"""Payloads of accounts, projects, environments and jobs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from dlt_dbtcloud.emulator.dbt.environment import shown_value
from dlt_dbtcloud.emulator.models import ACTIVE, JSON, Definition, Job

DEFAULT_THREADS = 4
_LICENSE: JSON = {"license_type": "developer", "state": ACTIVE}


def account_payload(account: Definition) -> JSON:
    """Return the payload of an account."""
    return {"id": account.id, **account.fields, **_dates(account)}


def project_payload(project: Definition, environments: Iterable[Definition] = ()) -> JSON:
    """Return the payload of a project, which has no connection or repository.

    Args:
        project: The project.
        environments: Its environments, if they are included.
    """
    return {
        **_payload(project),
        "connection": None,
        "environments": [environment_payload(each) for each in environments],
        "repository": None,
        "group_permissions": [],
        "docs_job": None,
        "freshness_job": None,
        "fusion_readiness": None,
        "default_version": None,
    }


def environment_payload(environment: Definition) -> JSON:
    """Return the payload of an environment."""
    return {
        **_payload(environment),
        "raw_dbt_version": environment.fields["dbt_version"],
        "repository": None,
        "connection": None,
        "jobs": [],
        "custom_environment_variables": [],
    }


def job_payload(job: Job) -> JSON:
    """Return the payload of a job."""
    payload = _payload(job)
    payload["settings"]["threads"] = payload["settings"]["threads"] or DEFAULT_THREADS
    return {
        **payload,
        "raw_dbt_version": job.fields["dbt_version"],
        "is_deferrable": False,
        "is_system": False,
        "lifecycle_webhooks_url": None,
        "run_failure_count": 0,
        "deactivation_reason": None,
        "fusion_readiness": None,
        "cron_humanized": "Every hour",
        "next_run": None,
        "next_run_humanized": None,
        "account": None,
        "project": None,
        "environment": None,
        "most_recent_run": None,
        "most_recent_completed_run": None,
    }


def user_payload(user: Definition, *account_ids: int) -> JSON:
    """Return the payload of a user who may develop in accounts."""
    unconnected = ("azure_active_directory", "github", "gitlab")
    return {
        "id": user.id,
        **user.fields,
        "is_active": True,
        "is_staff": False,
        "sso_only_user": False,
        "email_connected": True,
        "email_verified": True,
        "enterprise_connected": False,
        "enterprise_authentication_method": None,
        **{f"{name}_connected": False for name in unconnected},
        **{f"{name}_username": None for name in unconnected},
        **{f"{name}_token_retrieval_failure": False for name in unconnected},
        "apitoken_last_used": None,
        "last_login": None,
        "created_at": user.created_at.isoformat(),
        "permissions": [
            {"account_id": key, "user_id": user.id, "groups": [], **_LICENSE} for key in account_ids
        ],
        "licenses": {str(key): _LICENSE for key in account_ids},
        "auth_provider_infos": {},
    }


def account_user_payload(user: Definition) -> JSON:
    """Return the payload of a user as the API v3 shows them in an account."""
    return {
        "id": user.id,
        **user.fields,
        "fullname": f"{user.fields['first_name']} {user.fields['last_name']}",
        "email_verified": True,
        "license": {"id": user.id, "license_type": _LICENSE["license_type"]},
        "is_active": True,
        "is_staff": False,
        "scim_managed": False,
        **_dates(user),
    }


def variable_payload(variable: Definition, environment: Definition | None) -> JSON:
    """Return the payload of an environment variable, which never contains a secret."""
    payload = _payload(variable)
    payload.pop("raw_value")
    return {
        **payload,
        "display_value": shown_value(variable),
        "environment": environment_payload(environment) if environment else None,
    }


def run_job_payload(job: Job) -> JSON:
    """Return the payload of a run's job, whose schedule names only its types."""
    payload = job_payload(job)
    schedule = payload["schedule"]
    payload["schedule"] = {
        "cron": schedule.get("cron"),
        "date": (schedule.get("date") or {}).get("type"),
        "time": (schedule.get("time") or {}).get("type"),
    }
    return payload


def _payload(definition: Definition) -> JSON:
    fields = deepcopy(definition.fields)
    return {
        "id": definition.id,
        "account_id": definition.account_id,
        **fields,
        **_dates(definition),
    }


def _dates(definition: Definition) -> JSON:
    return {
        "created_at": definition.created_at.isoformat(),
        "updated_at": definition.updated_at.isoformat(),
    }
