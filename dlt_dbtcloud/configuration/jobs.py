"""The configured job, found by its name if it has no id."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration.connections import section_of
from dlt_dbtcloud.configuration.resolution import connect, resolved_config
from dlt_dbtcloud.configuration.spec import DBTCloudConfiguration, refuse_placeholders
from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.redaction import listed, redact
from dlt_dbtcloud.typing import Job

__all__ = ["closest_jobs", "find_job_id", "required_job_id"]


# jobs that a message lists
_LISTED = 10
_CLOSEST = 3


def required_job_id(config: DBTCloudConfiguration) -> str:
    """Return the id of the configured job, if need be by its name.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Jobs

    Raises:
        InvalidCredentialsException: No job is configured, or the name is not that of one job.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
    """
    if not (config.job_id or config.job_name):
        refuse_placeholders(config, "job_name")
        resolved_config(config, "job_id")
    if config.job_id:
        return str(config.job_id)
    with connect(config) as client:
        return str(find_job_id(client.patient(), config))


def find_job_id(client: DBTCloudClientV2, config: DBTCloudConfiguration) -> str | None:
    """Return the id of the configured job, or None if none is configured.

    Raises:
        InvalidCredentialsException: No job, or more than one, has the configured name.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
    """
    if config.job_id or not config.job_name:
        return str(config.job_id) if config.job_id else None
    name = config.job_name
    filters = _filters(config)
    found = [*client.list_jobs(**filters, name__icontains=name)]
    named = [job for job in found if (job.get("name") or "").strip() == name]
    if len(named) == 1:
        return str(named[0]["id"])
    if named:
        raise InvalidCredentialsException(
            f"{len(named)} jobs are named {_quoted(name)}: {_described(named)}. Set `project_id` "
            f"or `environment_id` to that of one, or `job_id`, {_place(config)}.",
            "job_id",
        )
    # a job of the name may be in another project or environment
    others = closest_jobs(name, [*client.list_jobs()])
    scope = "".join(f" and {key} {value}" for key, value in filters.items())
    hint = f"The closest are {_described(others)}." if others else "The token can read no job."
    raise InvalidCredentialsException(
        f"No job in account {config.account_id}{scope.replace('_id', '')} is named "
        f"{_quoted(name)}. {hint} Set `job_name` or `job_id` {_place(config)}.",
        "job_name",
    )


def _filters(config: DBTCloudConfiguration) -> dict[str, Any]:
    names = ("project_id", "environment_id")
    return {name: config[name] for name in names if config[name]}


def closest_jobs(name: str, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs with the most similar names, best first, or else any."""
    names = {(job.get("name") or "").strip().casefold() for job in jobs}
    close = difflib.get_close_matches(name.casefold(), names, n=_CLOSEST, cutoff=0.5)
    close += sorted(each for each in names if name.casefold() in each and each not in close)
    ranked = [
        job for each in close for job in jobs if (job.get("name") or "").strip().casefold() == each
    ]
    return ranked or [*jobs[:_CLOSEST]]


def _described(jobs: Sequence[Job]) -> str:
    texts = [
        f"{_quoted(job.get('name') or '')} (job {job.get('id')}, project {job.get('project_id')}, "
        f"environment {job.get('environment_id')})"
        for job in jobs
    ]
    return listed(texts, _LISTED)


def _quoted(name: str) -> str:
    return f"`{redact(name)}`"


def _place(config: DBTCloudConfiguration) -> str:
    return f"under `{section_of(config.connection)}`"
