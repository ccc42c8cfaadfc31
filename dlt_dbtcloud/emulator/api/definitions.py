"""Payloads of accounts, projects, environments and jobs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from dlt_dbtcloud.emulator.models import JSON, Definition, Job
from dlt_dbtcloud.emulator.variables import shown_value

DEFAULT_THREADS = 4


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
