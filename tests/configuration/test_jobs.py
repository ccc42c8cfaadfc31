"""`job_name` finds exactly one job, with one request."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    InvalidCredentialsException,
    dbt_cloud_results,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.configuration import required_job_id, with_dbt_cloud_config
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.past_runs import ended_run


@with_dbt_cloud_config
def found(credentials: Any = None) -> str:
    """Return the id of the configured job."""
    return required_job_id(credentials)


def test_a_job_is_found_by_its_exact_name(cloud: DBTCloudEmulator) -> None:
    for name in ("Nightly tests", "nightly", "Weekly"):
        cloud.create_job(name)
    job = cloud.create_job("Nightly")
    assert found({"job_name": " Nightly "}) == str(job)
    (request,) = cloud.requests
    assert request.path.endswith("/jobs/")
    assert request.query == {
        "name__icontains": ["Nightly"],
        "limit": ["100"],
        "offset": ["0"],
    }


def test_an_id_needs_no_request(cloud: DBTCloudEmulator) -> None:
    assert found({"job_id": 7, "job_name": "Nightly"}) == "7"
    assert not cloud.requests


def test_several_jobs_of_a_name_are_listed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    jobs = [cloud.create_job("Nightly") for _ in range(2)]
    with pytest.raises(InvalidCredentialsException) as caught:
        found({"job_name": "Nightly"})
    text = str(caught.value)
    assert text.startswith("2 jobs are named `Nightly`: `Nightly` (job ")
    for job in map(client.get_job, jobs):
        project, environment = job["project_id"], job["environment_id"]
        assert f"(job {job['id']}, project {project}, environment {environment})" in text
    assert "Set `project_id` or `environment_id` to that of one, or `job_id`" in text


@pytest.mark.parametrize("key", ["project_id", "environment_id"])
def test_project_and_environment_narrow_the_search(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, key: str
) -> None:
    jobs = [cloud.create_job("Nightly", project_id=cloud.create_project(n)) for n in ("a", "b")]
    for job in jobs:
        value = dict(client.get_job(job))[key]
        assert found({"job_name": "Nightly", key: value}) == str(job)
        assert cloud.requests[-1].query[key] == [str(value)]
    with pytest.raises(InvalidCredentialsException, match="2 jobs are named `Nightly`"):
        found({"job_name": "Nightly"})


def test_a_name_without_a_job_lists_the_closest(cloud: DBTCloudEmulator) -> None:
    jobs = {each: cloud.create_job(each) for each in ("Nightly", "Weekly")}
    names = {"Nightley": ["Nightly"], "NIGHTLY": ["Nightly"], "zzz": ["Nightly", "Weekly"]}
    for name, closest in names.items():
        with pytest.raises(InvalidCredentialsException) as caught:
            found({"job_name": name})
        text = str(caught.value)
        assert text.startswith(
            f"No job in account {cloud.account_id} is named `{name}`. The closest"
        )
        assert [each for each, job in jobs.items() if f"`{each}` (job {job}," in text] == closest


def test_a_job_of_another_project_is_named(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    project = cloud.create_project("Other")
    with pytest.raises(InvalidCredentialsException) as caught:
        found({"job_name": "Nightly", "project_id": project})
    assert f"and project {project} is named" in str(caught.value)
    assert f"The closest are `Nightly` (job {job}, project" in str(caught.value)


def test_an_account_without_jobs_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(InvalidCredentialsException, match="The token can read no job"):
        found({"job_name": "Nightly"})


def test_a_missing_job_and_a_placeholder_are_refused(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(InvalidCredentialsException, match="`job_id` is missing"):
        found()
    with pytest.raises(InvalidCredentialsException, match="Still a placeholder: `job_name`"):
        found({"job_name": "<the job>"})
    assert not cloud.requests


def test_the_helper_triggers_the_job_of_the_name(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__JOB_NAME", "Nightly")
    job = cloud.create_job("Nightly")
    other = cloud.create_job("Other")
    assert run_dbt_cloud_job(wait_for_outcome=False)["job_definition_id"] == job
    assert run_dbt_cloud_job(job_id=other, wait_for_outcome=False)["job_definition_id"] == other


def test_results_are_those_of_the_job_of_the_name(cloud: DBTCloudEmulator) -> None:
    job, other = cloud.create_job("Nightly"), cloud.create_job("Other")
    run = ended_run(cloud, job)
    ended_run(cloud, other)
    source = dbt_cloud_results(credentials={"job_name": "Nightly"})
    assert [row["run_id"] for row in source.resources["dbt_runs"]] == [run["id"]]
