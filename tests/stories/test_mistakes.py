"""A mistake of a newcomer is one clear error that says what to do, and starts no run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudConfiguration,
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_results,
    get_dbt_cloud_run_status,
    loaded_tables,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator

# calls with arguments that a type checker rejects
run_job: Callable[..., Any] = run_dbt_cloud_job
run_jobs: Callable[..., Any] = run_dbt_cloud_jobs
status: Callable[..., Any] = get_dbt_cloud_run_status
results: Callable[..., Any] = get_dbt_cloud_run_results
tables: Callable[..., Any] = loaded_tables
config: Callable[..., Any] = DBTCloudConfiguration

Mistake = tuple[Callable[[int], Any], type[Exception], str]
INVALID, VALUE = InvalidCredentialsException, ConfigurationValueError

MISTAKES: dict[str, Mistake] = {
    "a name for an id": (lambda _: run_job(job_id="Nightly"), INVALID, "ids are the digits"),
    "spaces in an id": (lambda _: run_job(job_id="70 403"), INVALID, "ids are the digits"),
    "a negative id": (lambda _: run_job(job_id=-5), INVALID, "ids are the digits"),
    "a fraction for an id": (lambda _: run_job(job_id=1.5), INVALID, "`job_id"),
    "a boolean for an id": (lambda _: run_job(job_id=True), INVALID, "`job_id"),
    "a list for an id": (lambda job: run_job(job_id=[job]), INVALID, "`job_id"),
    "a run for an id": (lambda _: status(run_id={"id": 7}), INVALID, "`run_id"),
    "no job": (lambda _: run_job(), INVALID, "Pass `job_id=…` to the call"),
    "no run": (lambda _: status(), INVALID, "Pass `run_id=…` to the call"),
    "the id of a skipped run": (lambda _: results(run_id=None), INVALID, "`run_id` is missing"),
    "no run to retry": (lambda _: retry_dbt_cloud_run(), INVALID, "`run_id` is missing"),
    "no run to cancel": (lambda _: cancel_dbt_cloud_run(), INVALID, "`run_id` is missing"),
    "a job of another account": (
        lambda _: run_job(job_id=12345),
        DBTCloudNotFoundError,
        "Check the ids in this URL",
    ),
    "a negative timeout": (lambda job: run_job(job_id=job, timeout=-1), VALUE, "above 0"),
    "no timeout at all": (lambda job: run_job(job_id=job, timeout=0), VALUE, "above 0"),
    "a unit in a timeout": (lambda job: run_job(job_id=job, timeout="1h"), VALUE, "`timeout`"),
    "a duration as timeout": (
        lambda job: run_job(job_id=job, timeout=timedelta(hours=1)),
        VALUE,
        "`timeout`",
    ),
    "a word for a pause": (
        lambda job: run_job(job_id=job, wait_seconds="soon"),
        VALUE,
        "`wait_seconds`",
    ),
    "a negative pause": (lambda job: run_job(job_id=job, wait_seconds=-1), VALUE, "above 0"),
    "a word for a switch": (
        lambda job: run_job(job_id=job, wait_for_outcome="maybe"),
        VALUE,
        "`wait_for_outcome`",
    ),
    "half a retry": (lambda job: run_job(job_id=job, retries=1.5), VALUE, "`retries`"),
    "negative retries": (lambda job: run_job(job_id=job, retries=-1), VALUE, "0 or more"),
    "the tables as only_loaded": (
        lambda job: run_job(job_id=job, only_loaded=["orders"]),
        VALUE,
        "`only_loaded`",
    ),
    "only_loaded without a pipeline": (
        lambda job: run_job(job_id=job, only_loaded=True),
        VALUE,
        "Pass `pipeline`, or",
    ),
    "the name of a pipeline": (
        lambda job: run_job(job_id=job, pipeline="shop"),
        TypeError,
        'such as `dlt.attach("name")` returns',
    ),
    "a resource for a pipeline": (
        lambda job: run_job(job_id=job, pipeline=dlt.resource([1], name="x")),
        TypeError,
        "is a `DltResource`. Pass a `dlt.Pipeline`.",
    ),
    "the name of a pipeline for its tables": (
        lambda _: tables("shop"),
        TypeError,
        "Pass a `dlt.Pipeline`, or the `LoadInfo`",
    ),
    "a command for data": (
        lambda job: run_job(job_id=job, data="dbt run"),
        TypeError,
        "`data` is a `str`. Pass a dict",
    ),
    "a command for its steps": (
        lambda job: run_job(job_id=job, data={"steps_override": "dbt run"}),
        TypeError,
        "Pass one command per item",
    ),
    "words for its steps": (
        lambda job: run_job(job_id=job, data={"steps_override": [["dbt", "run"]]}),
        TypeError,
        "Pass one command per item",
    ),
    "no steps": (
        lambda job: run_job(job_id=job, data={"steps_override": []}),
        TypeError,
        "or omit it to run the commands of the job",
    ),
    "a misspelt field": (
        lambda job: run_job(job_id=job, data={"step_override": ["dbt run"]}),
        VALUE,
        "Did you mean `steps_override`?",
    ),
    "a date in data": (
        lambda job: run_job(job_id=job, data={"git_sha": date(2026, 1, 31)}),
        TypeError,
        "`git_sha` in `data` cannot be sent as JSON",
    ),
    "a word for a number": (
        lambda job: run_job(job_id=job, data={"threads_override": "many"}),
        DBTCloudAPIError,
        "`threads_override`",
    ),
    "a misspelt argument": (
        lambda job: run_job(job_id=job, wait_secs=1),
        TypeError,
        "Did you mean `wait_seconds`?",
    ),
    "a job under another name": (lambda job: run_job(job=job), TypeError, "mean `job_id`?"),
    "too many arguments": (
        lambda job: run_job(None, job, None, True, 10, None),
        TypeError,
        "`run_dbt_cloud_job`: too many positional arguments.",
    ),
    "a job twice": (lambda job: run_job({}, job, job_id=job), TypeError, "'job_id'"),
    "a misspelt credential": (
        lambda job: run_job({"acount_id": 1}, job),
        INVALID,
        "Did you mean `account_id`?",
    ),
    "a misspelt field of the configuration": (
        lambda job: run_job(config(jobid=job)),
        TypeError,
        "Did you mean `job_id`?",
    ),
    "a list of credentials": (lambda job: run_job([1], job), INVALID, "`credentials`"),
    "a job for many": (lambda job: run_jobs(job), TypeError, "as a list: `[1, 2]`"),
    "a text for many": (lambda _: run_jobs("123"), TypeError, "as a list: `[1, 2]`"),
    "jobs by name": (lambda job: run_jobs({"a": job}), TypeError, "`job_ids` is a `dict`"),
    "nothing for many": (lambda _: run_jobs(None), TypeError, "as a list: `[1, 2]`"),
    "lists in a list": (lambda job: run_jobs([[job]]), INVALID, "`job_id"),
    "nothing in a list": (lambda job: run_jobs([job, None]), INVALID, "`job_id"),
    "many jobs as one": (lambda job: run_jobs(job_id=[job]), TypeError, "mean `job_ids`?"),
}


def test_a_mistake_is_one_clear_error_and_starts_no_run(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.create_job("Nightly")
    monkeypatch.delenv("DBT_CLOUD__JOB_ID", raising=False)
    for mistake in MISTAKES:
        call, error, advice = MISTAKES[mistake]
        with pytest.raises(error) as caught:
            call(job)
        assert advice in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert cloud.runs == []


def test_jobs_may_be_generated(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(name) for name in "ab"]
    assert [run["job_id"] for run in run_jobs(str(job) for job in jobs)] == jobs


def test_no_timeout_is_the_default(cloud: DBTCloudEmulator) -> None:
    assert run_job(job_id=f" {cloud.create_job('Nightly')}\n", timeout=None)["is_success"]
