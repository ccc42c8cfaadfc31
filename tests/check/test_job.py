"""The job, its place and its engine are found, or the reason why they are not."""

from __future__ import annotations

import json
from typing import Any

import dlt

from dlt_dbtcloud import DBTCloudClientV2, check_dbt_cloud, run_dbt_cloud_job
from dlt_dbtcloud.check.job import engine_of
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import Finding
from tests.support.past_runs import ended_run


def job_finding(**credentials: Any) -> Finding:
    """Return the finding on the job."""
    findings = check_dbt_cloud(credentials)["findings"]
    return next(finding for finding in findings if finding["check"] == "job")


def test_the_engine_is_known_by_its_version() -> None:
    cases: list[tuple[str | None, str | None, str]] = [
        ("latest", None, "dbt Core, version `latest`."),
        ("latest", "2026.4.7+4533730", "dbt Core, version `latest`; its last run used `2026.4.7+"),
        ("versionless", "2.0.0-preview.9", "dbt Fusion, version `versionless`; its last run"),
        ("latest-fusion", "1.11.2", "dbt Fusion, version `latest-fusion`"),
        ("fusion-stable", None, "dbt Fusion"),
        ("1.11.2", "2.0.0", "dbt Core, version `1.11.2`"),
        (None, "1.9.4", "dbt Core, version `1.9.4`."),
        ("2.0.0rc196", None, "dbt Fusion"),
        (None, "2026.4.7", "dbt Core"),
    ]
    for setting, last, engine in cases:
        assert f"The job runs {engine}" in engine_of(setting, last)


def test_an_unknown_engine_is_not_guessed() -> None:
    assert engine_of(None, None) == "The version of dbt is not known before the job has run."


def test_the_version_of_the_last_run_is_shown(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    ended_run(cloud, job)
    findings = check_dbt_cloud({"job_id": job, "dbt_version_override": "latest-fusion"})["findings"]
    (engine,) = (each["message"] for each in findings if each["check"] == "engine")
    assert engine.startswith("The job runs dbt Fusion, version `latest-fusion`")


def test_a_missing_job_id_names_the_only_job(cloud: DBTCloudEmulator) -> None:
    assert job_finding()["message"] == "`job_id` is missing."
    job = cloud.create_job("Nightly")
    finding = job_finding()
    assert f"The account has job {job} (`Nightly`)." in finding["message"]
    assert str(finding["fix"]).startswith(f"`job_id = {job}` under `[dbt_cloud]`")


def test_a_missing_job_id_is_repaired_by_a_job_that_exists(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(name) for name in ("Nightly", "Hourly")]
    for finding, line in (
        (job_finding(), f"`job_id = {jobs[0]}` under `[dbt_cloud]`"),
        (job_finding(job_id="set me up!"), f"`job_id={jobs[0]}` in the call"),
    ):
        assert str(finding["fix"]).startswith(line)


def test_a_placeholder_is_a_missing_job(cloud: DBTCloudEmulator) -> None:
    finding = job_finding(job_id="set me up!")
    assert "Still a placeholder: `job_id`" in finding["message"]
    assert finding["fix"] == "`job_id=70471823` in the call"


def test_a_wrong_id_names_the_closest(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(name) for name in "ab"]
    finding = job_finding(job_id=jobs[1] + 1)
    assert f"is not in account {cloud.account_id}, or in a project" in finding["message"]
    assert f"job {jobs[0]} (`a`), job {jobs[1]} (`b`)" in finding["message"]
    assert finding["fix"] == f"`job_id={jobs[1]}` in the call"


def test_a_job_of_another_account_names_that_account(cloud: DBTCloudEmulator) -> None:
    account = cloud.create_account("Other", visible=True)
    job = cloud.create_job("There", account_id=account)
    finding = job_finding(job_id=job)
    assert f"but in account {account}." in finding["message"]
    assert finding["fix"] == f"`DBT_CLOUD__ACCOUNT_ID={account}` in the environment"


def test_a_job_that_the_token_may_not_read_needs_a_permission(cloud: DBTCloudEmulator) -> None:
    hidden = cloud.create_job("There", account_id=cloud.create_account())
    finding = job_finding(job_id=hidden)
    assert "it can read no job at all" in finding["message"]
    assert "Job Runner" in str(finding["fix"])
    cloud.create_job("Here")
    finding = job_finding(job_id=hidden, project_id=5)
    assert "it cannot read project 5" in finding["message"]
    assert "permissions for project 5" in str(finding["fix"])


def test_names_are_corrected_beside_the_name(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(name) for name in ("Nightly", "Weekly", "Weekly")]
    finding = job_finding(job_name="Nightley")
    assert finding["fix"] == '`job_name="Nightly"` in the call'
    finding = job_finding(job_name="Weekly")
    assert finding["message"].startswith("2 jobs are named `Weekly`")
    assert finding["fix"] == f"`job_id={jobs[1]}` in the call"
    assert job_finding(job_name="Nightly")["ok"]


def test_a_job_that_cannot_run_is_found(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    job = cloud.create_job("Off", deactivated=True)
    assert "is deactivated" in job_finding(job_id=job)["message"]


def test_an_outage_after_the_connection_is_a_finding(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    cloud.fail("get_job", "status")
    finding = job_finding(job_id=job)
    assert not finding["ok"]
    assert finding["fix"] == "check again later"


def test_placeholders_of_the_trigger_are_found(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    report = check_dbt_cloud({"job_id": job, "git_branch": "<branch>"})
    assert report["findings"][-1]["check"] == "trigger"
    assert "Still a placeholder: `git_branch`" in report["findings"][-1]["message"]


def test_variables_are_in_the_body_that_would_be_sent(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly", execute_steps=["dbt build"])
    credentials = {"job_id": job, "additional_vars": {"load_id": "{load_id}"}}
    findings = check_dbt_cloud(credentials, pipeline=loaded_pipeline)["findings"]
    (trigger,) = (each for each in findings if each["check"] == "trigger")
    run = run_dbt_cloud_job(credentials, pipeline=loaded_pipeline, wait_for_outcome=False)
    body = cloud.runs[0]["trigger"] or {}
    assert run["id"] == cloud.runs[0]["id"]
    for value in (body["cause"], *(body["steps_override"] or ())):
        assert json.dumps(value, ensure_ascii=False) in trigger["message"]


def test_commands_that_take_no_variables_are_found(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", execute_steps=["dbt build --vars '{{'"])
    report = check_dbt_cloud({"job_id": job, "additional_vars": {"a": 1}})
    assert not report["findings"][-1]["ok"]
    assert report["findings"][-1]["fix"] == "`additional_vars={}` in the call"
