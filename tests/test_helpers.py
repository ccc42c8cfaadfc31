"""The helpers keep the contract of `dlt.helpers.dbt_cloud`, and fix its faults."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.helpers import dbt_cloud as theirs
from dlt.helpers.dbt_cloud import client as their_client

import dlt_dbtcloud as ours
from dlt_dbtcloud import (
    DBTCloudConfiguration,
    DBTCloudNotFoundError,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    DBTCloudTransportError,
    DBTCloudTriggerUnknownError,
    InvalidCredentialsException,
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_status,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.wire import WireServer


@pytest.fixture
def job(cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch) -> int:
    job_id = cloud.create_job("Nightly")
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job_id))
    return job_id


# dlt's own tests of its helper


def test_trigger_run(job: int) -> None:
    run_status = run_dbt_cloud_job()
    assert run_status.get("id") is not None
    assert not run_status.get("is_error")


@pytest.mark.parametrize("wait_outcome", [False, True])
def test_run_status(job: int, wait_outcome: bool) -> None:
    run_status = run_dbt_cloud_job(wait_for_outcome=False)
    assert run_status.get("id") is not None
    assert not run_status.get("is_error")
    run_status = get_dbt_cloud_run_status(run_id=run_status["id"], wait_for_outcome=wait_outcome)
    assert run_status.get("id") is not None
    assert not run_status.get("is_error")


@pytest.mark.parametrize("name", ["run_dbt_cloud_job", "get_dbt_cloud_run_status"])
def test_the_positional_arguments_are_those_of_dlt(name: str) -> None:
    their_parameters = inspect.signature(getattr(theirs, name)).parameters.values()
    our_parameters = list(inspect.signature(getattr(ours, name)).parameters.values())
    for their, our in zip(their_parameters, our_parameters, strict=False):
        assert (our.name, our.default, our.kind) == (their.name, their.default, their.kind)
    for our in our_parameters[len(their_parameters) :]:
        assert our.kind is inspect.Parameter.KEYWORD_ONLY


def test_every_public_name_of_dlts_helper_exists() -> None:
    names = ["run_dbt_cloud_job", "get_dbt_cloud_run_status", "DBTCloudClientV2"]
    for name in [*names, "DBTCloudConfiguration"]:
        assert hasattr(theirs, name)
        assert hasattr(ours, name)
    assert hasattr(their_client, "InvalidCredentialsException")
    assert hasattr(ours, "InvalidCredentialsException")


def test_every_field_of_dlts_configuration_exists() -> None:
    their_fields = theirs.DBTCloudConfiguration.get_resolvable_fields()  # type: ignore[attr-defined]  # it is not in their __all__
    assert their_fields.keys() <= DBTCloudConfiguration.get_resolvable_fields().keys()


def test_the_response_to_the_trigger_is_the_first_status(cloud: DBTCloudEmulator, job: int) -> None:
    run = run_dbt_cloud_job(wait_for_outcome=False)
    assert run["status_humanized"] == "Queued"
    assert [request.method for request in cloud.requests] == ["POST"]


def test_data_is_sent(cloud: DBTCloudEmulator, job: int) -> None:
    run_dbt_cloud_job(data={"cause": "a test", "threads_override": 8})
    sent = cloud.requests[0].json
    assert sent.keys() == {"cause", "threads_override"}
    assert sent["cause"].startswith("a test [dlt:")
    assert sent["threads_override"] == 8


def test_a_job_can_be_passed_in_every_way(cloud: DBTCloudEmulator, job: int) -> None:
    credentials = DBTCloudConfiguration(job_id=str(job))
    runs = [
        run_dbt_cloud_job(dlt.secrets.value, job, None, False),
        run_dbt_cloud_job(credentials, wait_for_outcome=False),
        run_dbt_cloud_job(credentials, str(job), None, False),
        run_dbt_cloud_job({"job_id": job}, wait_for_outcome=False),
        run_dbt_cloud_job(job_id=job, wait_for_outcome=False),
    ]
    assert [run["id"] for run in runs] == [run["id"] for run in cloud.runs]
    assert {run["job_definition_id"] for run in runs} == {job}
    assert credentials.api_token is None


@pytest.mark.parametrize("name", ["account_id", "job_id"])
def test_an_error_names_what_a_trigger_lacks(
    job: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(f"DBT_CLOUD__{name.upper()}")
    with pytest.raises(InvalidCredentialsException, match=f"`{name}` is missing.*DBT_CLOUD__"):
        run_dbt_cloud_job()


def test_an_error_names_what_a_status_lacks(job: int) -> None:
    with pytest.raises(InvalidCredentialsException, match=r"`run_id` is missing"):
        get_dbt_cloud_run_status()


def test_an_error_names_a_missing_token(job: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    with pytest.raises(ConfigFieldMissingException, match="api_token"):
        run_dbt_cloud_job()


@pytest.mark.parametrize(
    "function", [get_dbt_cloud_run_status, cancel_dbt_cloud_run, retry_dbt_cloud_run]
)
def test_an_unknown_run_is_an_error_that_shows_what_to_check(
    cloud: DBTCloudEmulator, function: Callable[..., Any]
) -> None:
    with pytest.raises(DBTCloudNotFoundError, match="Check the ids"):
        function(run_id=1, timeout=0.05)


def test_a_run_of_another_account_is_not_found(cloud: DBTCloudEmulator) -> None:
    other = cloud.create_account(visible=True)
    job = cloud.create_job("Theirs", account_id=other)
    run = run_dbt_cloud_job({"account_id": other}, job)
    with pytest.raises(DBTCloudNotFoundError, match="proper permissions"):
        get_dbt_cloud_run_status(run_id=run["id"], timeout=0.05)


def test_an_unknown_job_is_an_error_at_once(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError, match="jobs/1/run/"):
        run_dbt_cloud_job(job_id=1)
    assert len(cloud.requests) == 1


def test_an_error_names_a_host_that_returns_pages(cloud: DBTCloudEmulator, job: int) -> None:
    for route in ("trigger_job", "list_runs"):
        cloud.fail(route, "html", when="before", status=200, calls=None)
    with pytest.raises(DBTCloudTriggerUnknownError, match=r"in the way.*check that `base_api_url`"):
        run_dbt_cloud_job(timeout=0.1)


def test_an_error_names_a_refused_connection(job: int) -> None:
    with WireServer() as server:
        url = server.url
    with pytest.raises(DBTCloudTransportError, match=os.strerror(errno.ECONNREFUSED)):
        run_dbt_cloud_job({"base_api_url": url}, timeout=0.1)


@pytest.mark.parametrize(
    ("outcome", "kind"), [("error", DBTCloudRunFailed), ("cancelled", DBTCloudRunCancelled)]
)
def test_a_run_that_does_not_succeed_is_never_silent(
    cloud: DBTCloudEmulator,
    caplog: pytest.LogCaptureFixture,
    outcome: Any,
    kind: type[DBTCloudRunFailed],
) -> None:
    job = cloud.create_job("Broken", outcome=outcome)
    run = run_dbt_cloud_job(job_id=job)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert run["href"] in caplog.text
    with pytest.raises(kind) as caught:
        run_dbt_cloud_job(job_id=job, raise_on_failure=True)
    assert caught.value.run_id == cloud.runs[-1]["id"]
    assert caught.value.run_url == cloud.runs[-1]["href"]
    assert caught.value.job_definition_id == job
    with pytest.raises(kind):
        get_dbt_cloud_run_status(run_id=run["id"], raise_on_failure=True)


def test_waiting_has_a_limit(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Long", duration=None)
    with pytest.raises(DBTCloudRunTimeout):
        run_dbt_cloud_job(job_id=job, timeout=0.05)


def test_no_token_is_in_any_output(
    cloud: DBTCloudEmulator,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    job = cloud.create_job("Broken", outcome="error")
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(job_id=job, retries=1, raise_on_failure=True)
    run_dbt_cloud_job(job_id=job)
    assert "Retrying: retry" in caplog.text
    assert any(record.levelname == "DEBUG" for record in caplog.records)
    captured = capfd.readouterr()
    for text in (
        captured.out,
        captured.err,
        caplog.text,
        str(caught.value),
        repr(caught.value.attrs()),
    ):
        assert cloud.api_token not in text
