"""Findings on the job, its project, environment and engine, and its trigger."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.json import json

from dlt_dbtcloud.check.account import Accounts, permission_fix
from dlt_dbtcloud.check.findings import Settings, failed, passed
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    closest_jobs,
    find_job_id,
    refuse_placeholders,
    trigger_data,
    used_by_trigger,
)
from dlt_dbtcloud.dbt import is_fusion_version
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudNotFoundError,
    InvalidCredentialsException,
)
from dlt_dbtcloud.loads import LastLoad, last_load, loaded_relations
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.trigger.variables import commands_with_variables, load_variables
from dlt_dbtcloud.typing import Finding, Job
from dlt_dbtcloud.values import as_mapping, as_text

__all__ = ["check_job", "check_place", "check_trigger", "engine_of"]


_DELETED = 2
_RELATED = ("environment", "most_recent_completed_run")
# other accounts in which a job is looked for, and jobs that a message lists
_ACCOUNTS = 5
_LISTED = 10
_AGAIN = "check again later"


def check_job(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, settings: Settings, accounts: Accounts
) -> Generator[Finding, None, Job | None]:
    """Yield whether the configured job can run, and return it if it exists.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job
    """
    try:
        refuse_placeholders(config, "job_id", "job_name")
        job_id = find_job_id(client, config)
        if job_id is None:
            yield _without_job(client, settings)
            return None
        job = client.get_job(job_id, _RELATED)
    except InvalidCredentialsException as error:
        yield failed("job", str(error), _fix_of_name(client, config, settings))
        return None
    except DBTCloudNotFoundError:
        yield _missing_job(client, config, settings, accounts)
        return None
    except DBTCloudException as error:
        yield failed("job", str(error), _AGAIN)
        return None
    name = f"Job {job['id']} (`{client.redact(job.get('name') or '')}`)"
    if job.get("state") == _DELETED:
        yield failed("job", f"{name} is deleted.", settings.line("job_id"))
        return None
    if job.get("deactivated"):
        yield failed("job", f"{name} is deactivated.", "activate it in its settings in dbt Cloud")
    else:
        steps = ", ".join(f"`{step}`" for step in job.get("execute_steps") or ())
        yield passed("job", f"{name} runs {client.redact(steps) or 'no commands'}.")
    return job


def check_place(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, settings: Settings, job: Job
) -> Iterator[Finding]:
    """Yield the findings on the project, the environment and the engine of a job."""
    project = _related(client, f"projects/{job.get('project_id')}/")
    environment = as_mapping(dict(job).get("environment")) or _related(
        client, f"environments/{job.get('environment_id')}/"
    )
    for kind, payload in (("project", project), ("environment", environment)):
        key = f"{kind}_id"
        number, expected = dict(job).get(key), config[key]
        name = as_text(payload.get("name"))
        named = f"{kind} {number}" + (f" (`{client.redact(name)}`)" if name else "")
        if expected and str(number) != expected:
            message = f"The job is in {named}, not in {kind} {expected}."
            yield failed(kind, message, settings.line(key, number))
        else:
            hidden = "" if payload else ", which the token may not read"
            yield passed(kind, f"The job is in {named}{hidden}.")
    setting = config.dbt_version_override or job.get("dbt_version")
    setting = setting or as_text(environment.get("dbt_version"))
    last_run = job.get("most_recent_completed_run") or {}
    yield passed("engine", engine_of(setting, last_run.get("dbt_version")))


def engine_of(setting: str | None, last: str | None) -> str:
    """Return a sentence on the engine of a job.

    Args:
        setting: The version in the settings: a number, or a release track such as `latest`.
        last: The version of the job's last run, if known.
    """
    version = setting or last
    if not version:
        return "The version of dbt is not known before the job has run."
    # a release track is only known to be of dbt Fusion by its name
    is_track = not version[:1].isdigit()
    is_fusion = "fusion" in version or is_fusion_version((is_track and last) or version)
    engine = "dbt Fusion" if is_fusion else "dbt Core"
    ran = f"; its last run used `{last}`" if last and last != version else ""
    return f"The job runs {engine}, version `{version}`{ran}."


def _check_load(pipeline: dlt.Pipeline) -> Generator[Finding, None, LastLoad | None]:
    """Yield a finding on the last load of a pipeline, and return the load."""
    name = pipeline.pipeline_name
    try:
        load = last_load(pipeline)
    except DBTCloudException as error:
        yield failed("load", str(error), f"`dlt pipeline {name} info` shows the failed step")
        return None
    if load:
        yield passed("load", f"The run would be for load {load.load_id} of `{name}`.")
    else:
        message = f"Pipeline `{name}` has loaded nothing, so nothing would run."
        yield failed("load", message, "`pipeline.run(…)` before the job")
    return load


def check_trigger(
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    settings: Settings,
    job: Job,
    pipeline: dlt.Pipeline | None,
) -> Iterator[Finding]:
    """Yield the body that would be sent, and the load that it would be for."""
    load = (yield from _check_load(pipeline)) if pipeline is not None else None
    try:
        refuse_placeholders(config, *used_by_trigger(config, None))
        body = trigger_data(config)
    except InvalidCredentialsException as error:
        yield failed("trigger", str(error), " and ".join(map(settings.line, error.keys)))
        return
    except (ConfigurationException, TypeError) as error:
        yield failed("trigger", str(error), settings.line("steps_override", ["dbt build"]))
        return
    trigger = Trigger(
        str(job["id"]),
        body,
        load,
        only_loaded=config.only_loaded,
        variables=config.additional_vars or {},
        call_key="…",
    )
    try:
        sent = _sent(trigger, job)
    except DBTCloudException as error:
        yield failed("trigger", str(error), settings.line("additional_vars", {}))
        return
    text = client.redact(json.dumps(sent))
    target = f"{client.base_api_url}/accounts/{client.account_id}/jobs/{job['id']}/run/"
    narrowed = " `only_loaded` narrows its commands." if config.only_loaded else ""
    yield passed("trigger", f"`POST {target}` would send `{text}`.{narrowed}")


def _sent(trigger: Trigger, job: Job) -> dict[str, Any]:
    """Return the body of a request, with its key and variables.

    Raises:
        DBTCloudException: The commands cannot take the variables.
    """
    relations = loaded_relations(trigger.load.pipeline) if trigger.load else []
    variables = load_variables(trigger.variables, trigger.load, relations)
    body = {**trigger.body, "cause": trigger.cause}
    if variables:
        commands = trigger.body.get("steps_override") or job.get("execute_steps") or ()
        body["steps_override"] = commands_with_variables(commands, variables, trigger.job_id)
    return body


def _without_job(client: DBTCloudClientV2, settings: Settings) -> Finding:
    jobs = _some_jobs(client)
    there = f" The account has {_described(client, jobs)}." if jobs else ""
    return failed("job", f"`job_id` is missing.{there}", settings.line("job_id", _first(jobs)))


def _fix_of_name(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, settings: Settings
) -> str:
    """Return the line that names a job if the configured name does not."""
    name, jobs = config.job_name or "", _some_jobs(client)
    if same := [number for number, each in jobs.items() if each.strip() == name]:
        return settings.line("job_id", same[0], beside="job_name")
    closest = closest_jobs(name, [Job(id=number, name=each) for number, each in jobs.items()])
    if not closest or not name:
        return settings.line("job_id", _first(jobs))
    return settings.line("job_name", closest[0].get("name"))


def _missing_job(
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    settings: Settings,
    accounts: Accounts,
) -> Finding:
    """Return why a job is not found: wrong account, no permission or wrong id."""
    missing = f"Job {config.job_id} is not in account {config.account_id}"
    others = (number for number in accounts if str(number) != str(config.account_id))
    for account in islice(others, _ACCOUNTS):
        if _related(client, f"jobs/{config.job_id}/", account):
            message = f"{missing}, but in account {account}."
            return failed("job", message, settings.line("account_id", account))
    jobs = _some_jobs(client)
    if not jobs:
        message = f"{missing}, or the token may not read it: it can read no job at all."
        return failed("job", message, permission_fix("the project of the job"))
    there = f"It can read {_described(client, jobs)}."
    if config.project_id and not _related(client, f"projects/{config.project_id}/"):
        message = f"{missing}, or the token may not read it: it cannot read project "
        message += f"{config.project_id}. {there}"
        return failed("job", message, permission_fix(f"project {config.project_id}"))
    closest = difflib.get_close_matches(str(config.job_id), map(str, jobs), n=1, cutoff=0)
    message = f"{missing}, or in a project that the token may not read. {there}"
    return failed("job", message, settings.line("job_id", int(closest[0])))


def _some_jobs(client: DBTCloudClientV2) -> dict[int, str]:
    """Return the names of the first jobs that the token can read, by id."""
    with suppress(DBTCloudException):
        return {job["id"]: job.get("name") or "" for job in islice(client.list_jobs(), 100)}
    return {}


def _first(jobs: Mapping[int, str]) -> int | None:
    """Return the id of the first job, as an example that exists."""
    return next(iter(jobs), None)


def _described(client: DBTCloudClientV2, jobs: Mapping[int, str]) -> str:
    texts = [f"job {number} (`{client.redact(name)}`)" for number, name in jobs.items()]
    return listed(texts, _LISTED)


def _related(client: DBTCloudClientV2, path: str, account: int | None = None) -> dict[str, Any]:
    """Return an object of an account, empty if the token may not read it."""
    with suppress(DBTCloudException):
        payload = client.get_endpoint(f"accounts/{account or client.account_id}/{path}")
        return as_mapping(as_mapping(payload).get("data"))
    return {}
