"""A check reports every problem as a finding with the line that repairs it, and starts nothing."""

from __future__ import annotations

import json
from typing import Any

import dlt
import pytest
from pytest_httpserver import HTTPServer

from dlt_dbtcloud import (
    DBTCloudConfiguration,
    InvalidCredentialsException,
    check_dbt_cloud,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import ConnectionReport, Finding
from tests.fixtures import WriteConfig
from tests.support.dbt.manifests import source_entry
from tests.support.past_runs import ended_run
from tests.support.servers.wire import WireServer

TOKEN = "dbtc_s3cr3t_of_a_user"
CHECKS = [
    *("configuration", "host", "token", "account", "job", "project", "environment", "engine"),
    "trigger",
]
LOADED = ["load", "trigger", "sources"]


def problem(report: ConnectionReport) -> Finding:
    """Return the only finding that is not ok, after all others."""
    assert not report["ok"]
    *others, last = report["findings"]
    assert all(finding["ok"] and finding["fix"] is None for finding in others)
    assert not last["ok"]
    assert last["fix"]
    return last


def by_check(report: ConnectionReport) -> dict[str, Finding]:
    return {finding["check"]: finding for finding in report["findings"]}


@pytest.fixture
def job(cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the configured job."""
    job = cloud.create_job("Nightly", execute_steps=["dbt build", "dbt test"])
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job))
    return job


def test_a_configuration_without_problems_is_ok(cloud: DBTCloudEmulator, job: int) -> None:
    report = check_dbt_cloud({"threads_override": 4})
    assert report["ok"]
    assert [finding["check"] for finding in report["findings"]] == CHECKS
    found = by_check(report)
    assert found["account"]["message"] == (
        f"The token may read account {cloud.account_id} (`Embedded dbt Cloud`)."
    )
    assert found["job"]["message"] == f"Job {job} (`Nightly`) runs `dbt build`, `dbt test`."
    assert "(`Embedded project`)" in found["project"]["message"]
    assert "(`Production`)" in found["environment"]["message"]
    assert found["engine"]["message"] == "The job runs dbt Core, version `latest`."
    body = json.dumps(
        {"cause": "Triggered via API [dlt:…]", "threads_override": 4},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    assert f"/jobs/{job}/run/` would send `{body}`." in found["trigger"]["message"]
    # few requests, which start nothing
    assert {request.method for request in cloud.requests} == {"GET"}
    assert len(cloud.requests) <= 4
    assert not cloud.runs


def test_a_report_never_contains_the_token(
    cloud: DBTCloudEmulator, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for credentials in ({}, {"api_token": TOKEN}, {"api_token": f"{TOKEN} x"}, {"job_name": "x"}):
        report = check_dbt_cloud(credentials)
        assert cloud.api_token not in str(report)
        assert TOKEN not in str(report)
    vars_ = f"dbt build --vars '{{password: {TOKEN}}}'"
    report = check_dbt_cloud({"steps_override": [vars_], "cause": cloud.api_token})
    assert report["ok"]
    assert TOKEN not in str(report)
    assert cloud.api_token not in str(report)


def test_an_unusable_configuration_is_a_finding(cloud: DBTCloudEmulator) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"api_token": "<token>"}, "Still a placeholder: `api_token`", '`api_token="…"` in'),
        ({"account_id": "x"}, "`account_id='x'` is not", "`account_id=70403` in the call"),
        ({"base_api_url": "ftp://x"}, "does not contain a host", "`base_api_url="),
        ({"timeout": -1}, "`timeout=-1.0` must be", "`timeout=86400.0` in the call"),
        ({"retries": "two"}, "retries", "`retries=0` in the call"),
        ({"connection": "prod"}, "There is no `connection='prod'`", "[dbt_cloud.prod]"),
        ({"acount_id": 1}, "unknown keys: acount_id", "correct"),
    ]
    for credentials, message, fix in cases:
        finding = problem(check_dbt_cloud(credentials))
        assert finding["check"] == "configuration"
        assert message in finding["message"]
        assert fix in str(finding["fix"])
        assert not cloud.requests


def test_a_fix_changes_the_place_that_sets_the_value(
    cloud: DBTCloudEmulator, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    fix = '`api_token = "…"` under `[dbt_cloud]` in `.dlt/secrets.toml`'
    assert problem(check_dbt_cloud())["fix"] == fix
    write_config("config.toml", f'[dbt_cloud.eu]\napi_token = "{TOKEN}"')
    assert "move" in str(problem(check_dbt_cloud(connection="eu"))["fix"])
    assert problem(check_dbt_cloud(connection="ue"))["fix"] == '`connection="eu"` in the call'
    write_config("config.toml", '[dbt_cloud.eu]\naccount_id = "x"')
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", cloud.api_token)
    finding = problem(check_dbt_cloud(connection="eu"))
    assert finding["fix"] == "`account_id = 70403` under `[dbt_cloud.eu]` in `.dlt/config.toml`"
    monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "x")
    assert problem(check_dbt_cloud())["fix"] == "`DBT_CLOUD__ACCOUNT_ID=70403` in the environment"


def test_a_host_without_an_answer_is_found() -> None:
    with WireServer() as gone:
        url = gone.url
    finding = problem(check_dbt_cloud({"api_token": TOKEN, "account_id": 1, "base_api_url": url}))
    assert finding["check"] == "host"
    assert "cannot be reached" in finding["message"]
    assert "`base_api_url=" in str(finding["fix"])


def test_a_host_that_is_not_dbt_cloud_is_found(httpserver: HTTPServer) -> None:
    cases: list[tuple[int, str, str]] = [
        (200, "<html>Sign in</html>", "text/html"),
        (200, '{"hello": "world"}', "application/json"),
        (200, "[]", "application/json"),
        (401, "<html>Proxy</html>", "text/html"),
        (404, "<html>Not Found</html>", "text/html"),
        (404, '{"detail": "Not Found"}', "application/json"),
        (503, "<html>Down</html>", "text/html"),
    ]
    for status, body, content_type in cases:
        httpserver.clear()
        httpserver.expect_request("/api/v2/accounts/").respond_with_data(
            body, status, content_type=content_type
        )
        credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": httpserver.url_for("/")}
        finding = problem(check_dbt_cloud(credentials))
        assert finding["check"] == "host"
        assert "not as dbt Cloud" in finding["message"] or "is not dbt Cloud" in finding["message"]
        assert len(httpserver.log) == 1


def test_a_refusal_of_dbt_cloud_is_found_with_its_message(httpserver: HTTPServer) -> None:
    cases: list[tuple[int, str, str, str]] = [
        (401, "Invalid token.", "wrong or expired, or", "`api_token="),
        (401, "The API is not accessible to unpaid accounts.", "unpaid", "plan includes the API"),
        (403, "Forbidden: Access denied", "not allowed from this machine", "IP address"),
        (429, "Too many requests.", "refuses all requests for now", "in 5 minutes"),
    ]
    for status, user_message, message, fix in cases:
        answer = {"status": {"code": status, "is_success": False, "user_message": user_message}}
        httpserver.clear()
        httpserver.expect_request("/api/v2/accounts/").respond_with_json(
            {**answer, "data": None}, status
        )
        credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": httpserver.url_for("/")}
        report = check_dbt_cloud(credentials)
        assert by_check(report)["host"]["ok"]
        finding = problem(report)
        assert finding["check"] == "token"
        assert message in finding["message"]
        assert fix in str(finding["fix"])


def test_a_token_of_another_host_may_be_wrong_or_elsewhere(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DBTCloudEmulator() as other:
        finding = problem(check_dbt_cloud({"base_api_url": other.url}))
    assert finding["check"] == "token"
    assert "is not the Access URL of its account" in finding["message"]
    assert finding["fix"] == "`DBT_CLOUD__API_TOKEN=…` in the environment"


def test_a_wrong_account_differs_from_a_missing_permission(cloud: DBTCloudEmulator) -> None:
    hidden = cloud.create_account()
    finding = problem(check_dbt_cloud({"account_id": hidden}))
    assert finding["check"] == "account"
    assert f"The token can see account {cloud.account_id}" in finding["message"]
    assert finding["fix"] == f"`account_id={cloud.account_id}` in the call"


def test_a_missing_account_is_named(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBT_CLOUD__ACCOUNT_ID")
    finding = problem(check_dbt_cloud())
    assert finding["message"].startswith("`account_id` is missing. The token can see account")
    assert finding["fix"] == (
        f"`account_id = {cloud.account_id}` under `[dbt_cloud]` in `.dlt/secrets.toml`"
    )


def test_a_token_without_accounts_needs_a_permission(httpserver: HTTPServer) -> None:
    success = {"status": {"code": 200, "is_success": True}, "data": []}
    httpserver.expect_request("/api/v2/accounts/").respond_with_json(success)
    refusal = {"status": {"code": 404, "is_success": False, "user_message": "No."}, "data": None}
    httpserver.expect_request("/api/v2/accounts/1/").respond_with_json(refusal, 404)
    credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": httpserver.url_for("/")}
    finding = problem(check_dbt_cloud(credentials))
    assert "The token sees no account" in finding["message"]
    assert "Job Runner" in str(finding["fix"])


def test_the_place_of_the_job_is_that_of_the_configuration(
    cloud: DBTCloudEmulator, job: int
) -> None:
    found = by_check(check_dbt_cloud({"project_id": 5, "environment_id": 6}))
    for name in ("project", "environment"):
        assert not found[name]["ok"]
        assert f"not in {name} " in found[name]["message"]
        assert str(found[name]["fix"]).startswith(f"`{name}_id=")
    assert found["trigger"]["ok"]


def test_a_connection_is_checked(
    cloud: DBTCloudEmulator, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROD__ACCOUNT_ID", "5")
    report = check_dbt_cloud(connection="prod")
    finding = problem(report)
    assert finding["check"] == "account"
    fix = f"`DBT_CLOUD__PROD__ACCOUNT_ID={cloud.account_id}` in the environment"
    assert finding["fix"] == fix
    assert "connection `prod`" in report["findings"][0]["message"]


def test_a_mistake_in_the_code_is_raised(cloud: DBTCloudEmulator) -> None:
    cases: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"pipeline": "flights"}, TypeError),
        ({"credentials": 5}, InvalidCredentialsException),
        ({"connection": {"api_token": TOKEN}}, InvalidCredentialsException),
        ({"job_id": 5}, TypeError),
    ]
    for arguments, error in cases:
        with pytest.raises(error) as caught:
            check_dbt_cloud(**arguments)
        assert TOKEN not in str(caught.value)


def test_an_instance_is_accepted_as_credentials(cloud: DBTCloudEmulator) -> None:
    report = check_dbt_cloud(DBTCloudConfiguration(job_id=cloud.create_job("Hourly")))
    assert report["ok"]


def test_a_pipeline_is_compared_with_the_sources_of_the_job(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    source = source_entry("airlines", schema="raw", database="flights")
    uid = "source.shop.raw.airlines"
    manifest = {"nodes": {}, "sources": {uid: source}, "child_map": {uid: []}}
    job = cloud.create_job("Nightly", artifacts={"manifest.json": manifest})
    report = check_dbt_cloud({"job_id": job}, pipeline=loaded_pipeline)
    finding = problem(report)
    assert finding["check"] == "manifest"
    assert finding["fix"] == f"`run_dbt_cloud_job(job_id={job})`, which runs it once"
    assert "dlt pipeline flights, load" in by_check(report)["trigger"]["message"]
    assert not cloud.runs
    ended_run(cloud, job)
    report = check_dbt_cloud({"job_id": job}, pipeline=loaded_pipeline)
    assert [finding["check"] for finding in report["findings"]] == [*CHECKS[:-1], *LOADED]
    assert "`raw.airlines`" in report["findings"][-1]["message"]
    assert report["ok"]
    assert len(cloud.runs) == 1


def test_a_pipeline_that_loaded_nothing_is_found(
    cloud: DBTCloudEmulator, job: int, pipeline: dlt.Pipeline
) -> None:
    found = by_check(check_dbt_cloud(pipeline=pipeline))
    assert not found["load"]["ok"]
    assert "has loaded nothing" in found["load"]["message"]
    assert found["trigger"]["ok"]
