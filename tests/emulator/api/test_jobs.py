"""Jobs are created, listed, changed, deleted and triggered as other clients do it."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.emulator_api import Api


def _references(api: Api) -> dict[str, int]:
    environment = api.data("/environments/")[0]
    return {"project_id": environment["project_id"], "environment_id": environment["id"]}


def test_a_minimal_job_gets_the_defaults(cloud: DBTCloudEmulator, api: Api) -> None:
    body = {"account_id": cloud.account_id, "id": None, "name": "Adhoc", "job_type": "other"}
    job = api.post("/jobs/", {**body, **_references(api)}).json()["data"]
    assert job["id"] > 2**32
    assert (job["state"], job["deactivated"], job["execute_steps"]) == (1, False, [])
    assert job["settings"] == {"threads": 4, "target_name": "default"}
    assert job["triggers"]["schedule"] is False
    assert api.trigger(job["id"])["status"] == 1
    assert cloud.runs[0]["status"] == 10


def test_the_fields_of_a_new_job_are_kept(api: Api) -> None:
    body = {
        "name": "Nightly",
        "description": "Each night",
        "execute_steps": ["dbt seed", "dbt build"],
        "settings": {"threads": 2, "target_name": "prod"},
        "execution": {"timeout_seconds": 60},
        "generate_docs": True,
        "run_generate_sources": True,
        "triggers": {"github_webhook": False, "schedule": True, "on_merge": None},
        "schedule": {"cron": "0 6 * * *", "date": {"type": "custom_cron", "cron": "0 6 * * *"}},
        "dbt_version": None,
        "job_type": "scheduled",
        **_references(api),
    }
    job = api.post("/jobs/", body).json()["data"]
    assert {key: job[key] for key in body if key not in ("triggers", "schedule")} == {
        key: value for key, value in body.items() if key not in ("triggers", "schedule")
    }
    assert job["triggers"]["schedule"] is True
    assert job["schedule"]["cron"] == "0 6 * * *"
    assert api.data(f"/jobs/{job['id']}/") == job


def test_a_job_can_be_created_from_the_payload_of_another(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job = api.data(f"/jobs/{cloud.create_job('One', execute_steps=['dbt run'])}/")
    for name in ("is_deferrable", "raw_dbt_version", "job_type"):
        job.pop(name)
    clone = api.post("/jobs/", {**job, "id": None, "name": "One [CLONED]"}).json()["data"]
    assert clone["id"] > job["id"]
    assert (clone["name"], clone["execute_steps"]) == ("One [CLONED]", ["dbt run"])


def test_an_invalid_job_answers_400(api: Api) -> None:
    cases: list[tuple[Any, Any]] = [
        ({"name": None}, {"name": "required key not provided"}),
        ({"name": ""}, {"name": "'' is not a non-empty string"}),
        ({"execute_steps": "dbt run"}, {"execute_steps": "'dbt run' is not of type 'array'"}),
        ({"settings": {"threads": "x"}}, {"threads": "'x' is not of type 'integer'"}),
        (
            {"execute_steps": ["ls"]},
            {"execute_steps": "`ls` is not a dbt command: a step starts with `dbt`."},
        ),
    ]
    for change, data in cases:
        answer = api.post("/jobs/", {"name": "Job", **_references(api), **change})
        assert (answer.status_code, answer.json()["data"]) == (400, data)
        assert api.data("/jobs/") == []


def test_the_project_and_environment_must_belong_to_the_account(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    answer = api.post("/jobs/", {"name": "Job"})
    assert set(answer.json()["data"]) == {"project_id", "environment_id"}
    assert (
        api.post("/jobs/", {"name": "Job", **_references(api), "project_id": 1}).status_code == 404
    )


def test_an_update_changes_the_fields_it_names_and_null_clears(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job = cloud.create_job("One", execute_steps=["dbt run"], threads=2)
    changed = api.post(
        f"/jobs/{job}/", {"name": "Two", "dbt_version": "1.9.0", "settings": {"target_name": "x"}}
    ).json()["data"]
    assert (changed["name"], changed["dbt_version"]) == ("Two", "1.9.0")
    assert changed["settings"] == {"threads": 2, "target_name": "x"}
    assert changed["execute_steps"] == ["dbt run"]
    cleared = api.post(f"/jobs/{job}/", {"dbt_version": None, "name": None}).json()["data"]
    assert (cleared["name"], cleared["dbt_version"]) == ("Two", None)
    assert cleared["updated_at"] > cleared["created_at"]
    assert api.post(f"/jobs/{job}/", {"execute_steps": ["ls"]}).status_code == 400


@pytest.mark.parametrize("by_update", [False, True])
def test_a_deleted_job_can_only_be_read(cloud: DBTCloudEmulator, api: Api, by_update: bool) -> None:
    job = cloud.create_job("Old")
    answer = api.post(f"/jobs/{job}/", {"state": 2}) if by_update else api.delete(f"/jobs/{job}/")
    assert (answer.status_code, answer.json()["data"]["state"]) == (200, 2)
    assert answer.json()["status"]["is_success"] is True
    assert api.data(f"/jobs/{job}/")["state"] == 2
    assert api.data("/jobs/") == []
    assert [found["id"] for found in api.data("/jobs/", state="deleted")] == [job]
    for refused in (
        api.delete(f"/jobs/{job}/"),
        api.post(f"/jobs/{job}/", {"name": "New"}),
        api.post(f"/jobs/{job}/run/", {"cause": "x"}),
        api.post(f"/jobs/{job}/rerun/"),
    ):
        assert refused.status_code == 404


def test_a_deactivated_job_is_not_triggered(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Off", deactivated=True)
    answer = api.post(f"/jobs/{job}/run/", {"cause": "x"})
    assert answer.status_code == 400
    assert answer.json()["data"] == {"job": f"Job {job} is deactivated."}
    assert cloud.runs == []


def test_jobs_are_listed_by_page_and_filter(cloud: DBTCloudEmulator, api: Api) -> None:
    other = cloud.create_project("Other")
    jobs = [cloud.create_job(f"Job {number}") for number in range(3)]
    far = cloud.create_job("Far", project_id=other)
    body = api.get("/jobs/", limit=2, offset=1, account_id=cloud.account_id).json()
    assert [job["id"] for job in body["data"]] == jobs[1:]
    assert body["extra"] == {
        "filters": {"state": "active", "limit": 2, "offset": 1, "account_id": cloud.account_id},
        "order_by": "id",
        "pagination": {"count": 2, "total_count": 4},
    }
    assert [job["id"] for job in api.data("/jobs/", project_id=other)] == [far]
    assert [job["id"] for job in api.data("/jobs/", name__icontains="far")] == [far]
    assert [job["id"] for job in api.data("/jobs/", order_by="-id", limit=1)] == [far]
    assert api.data("/jobs/", triggers_schedule="true") == []
    assert len(api.data("/jobs/", is_system="false", is_fusion_ready="false")) == 4


def test_related_objects_are_included_on_request(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any", duration=None)
    first, last = (api.trigger(job)["id"] for _ in range(2))
    cloud.finish_run(first)
    plain = api.data(f"/jobs/{job}/", include_related="", order_by="-id")
    assert (plain["environment"], plain["most_recent_run"]) == (None, None)
    related = "account,project,environment,most_recent_run,most_recent_completed_run"
    full = api.data(f"/jobs/{job}/", include_related=related)
    assert full["account"]["id"] == cloud.account_id
    assert full["project"]["id"] == full["project_id"]
    assert full["environment"]["id"] == full["environment_id"]
    assert full["most_recent_run"]["id"] == last
    assert full["most_recent_completed_run"]["id"] == first
    assert api.data("/jobs/", include_related="['most_recent_run']")[0]["most_recent_run"]
