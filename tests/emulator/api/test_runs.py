"""Runs, steps and artifacts are shown and listed as the service does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.emulator_api import Api

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


def test_a_trigger_answers_with_the_queued_run(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Nightly", execute_steps=["dbt run", "dbt test"])
    run = api.trigger(job, git_sha="abc")
    expected: dict[str, Any] = {
        "account_id": cloud.account_id,
        "job_id": job,
        "job_definition_id": job,
        "status": 1,
        "in_progress": True,
        "is_complete": False,
        "git_sha": None,
        "run_steps": [],
        "blocked_by": [],
        "can_retry": False,
        "retry_not_supported_reason": "RETRY_NOT_FAILED_RUN",
        "retrying_run_id": None,
        "started_at": None,
        "finished_at": None,
        "duration": "00:00:00",
        "queued_duration": "00:00:00",
        "run_duration": "00:00:00",
        "artifacts_saved": False,
    }
    assert {key: run[key] for key in expected} == expected
    assert run["job"]["execute_steps"] == ["dbt run", "dbt test"]
    assert STAMP.fullmatch(run["created_at"])
    assert run["id"] > 2**32
    path = f"/deploy/{cloud.account_id}/projects/{run['project_id']}/runs/{run['id']}/"
    assert run["href"] == cloud.url + path


def test_ids_rise(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any")
    ids = [api.trigger(job)["id"] for _ in range(5)]
    assert ids == sorted(ids)


def test_related_objects_are_included_only_on_request(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"))["id"]
    plain = api.run(run)
    for key in ("trigger", "job", "environment", "repository", "audit"):
        assert plain[key] is None
    assert plain["run_steps"] == []
    assert "run_retries" not in plain
    names = "trigger,job,environment,repository,run_steps,run_retries,audit,used_repo_cache"
    full = api.run(run, names)
    assert full["trigger"]["cause"] == "A test"
    assert full["job"]["name"] == "Any"
    assert full["environment"]["id"] == full["environment_id"]
    assert full["run_retries"] == []
    assert full["audit"]["trigger"]["actor"]["type"] == "service_token"


def test_steps_are_numbered_and_logged(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job(
        "Any",
        execute_steps=["dbt run", "dbt test --select a"],
        generate_docs=True,
        run_generate_sources=True,
    )
    run = api.run(api.trigger(job)["id"], "run_steps")
    steps = run["run_steps"]
    assert [(step["index"], step["name"], step["status"]) for step in steps] == [
        (1, "Clone git repository", 10),
        (2, "Create profile from connection Embedded", 10),
        (3, "Invoke dbt with `dbt deps`", 10),
        (4, "Invoke dbt with `dbt source freshness`", 10),
        (5, "Invoke dbt with `dbt run`", 10),
        (6, "Invoke dbt with `dbt test --select a`", 10),
        (7, "Invoke dbt with `dbt docs generate`", 10),
    ]
    assert all(step["logs"] and step["debug_logs"] == "" for step in steps)
    assert steps[4]["run_step_command"]["dbt_command"] == "dbt run"
    assert (run["has_docs_generated"], run["has_sources_generated"]) == (True, True)
    deep = api.run(run["id"], "run_steps", "debug_logs")["run_steps"][4]
    assert deep["debug_logs"]
    assert api.data(f"/steps/{deep['id']}/", include_related="debug_logs") == deep
    assert api.get("/steps/1/").status_code == 404


def test_a_failure_stops_at_the_first_command(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job(
        "Any", execute_steps=["dbt run", "dbt test"], run_generate_sources=True, outcome="error"
    )
    run = api.run(api.trigger(job)["id"], "run_steps")
    assert [step["status"] for step in run["run_steps"]] == [10, 10, 10, 10, 20]
    assert "error" in run["run_steps"][-1]["logs"]


def test_runs_are_listed_by_page_and_filter(cloud: DBTCloudEmulator, api: Api) -> None:
    good, bad = cloud.create_job("Good"), cloud.create_job("Bad", outcome="error")
    ids = [api.trigger(job)["id"] for job in (good, bad, good, bad)]
    body = api.get("/runs/", limit=3, order_by="-id", include_related="trigger").json()
    assert [run["id"] for run in body["data"]] == ids[:0:-1]
    assert body["data"][0]["trigger"]["cause"] == "A test"
    assert body["data"][0]["job"] is None
    assert body["extra"] == {
        "filters": {"state": "all", "limit": 3, "offset": 0, "account_id": cloud.account_id},
        "order_by": "-id",
        "pagination": {"count": 3, "total_count": 4},
    }
    listed = [run["id"] for run in api.data("/runs/", job_definition_id=bad, status__in="[20,30]")]
    assert listed == [ids[1], ids[3]]
    assert [run["id"] for run in api.data("/runs/", id__gt=ids[2])] == [ids[3]]
    refused = api.get("/runs/", status__in=[1, 2])
    assert refused.status_code == 400
    assert refused.json()["status"]["user_message"].startswith("The request was invalid.")
    unknown = api.get("/runs/", id__in="[1]").json()
    assert isinstance(unknown["data"], str)
    assert (unknown["extra"], unknown["error_code"]) == ({}, None)


def test_a_scripted_run_has_the_artifacts_of_dbt(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any", execute_steps=["dbt build", "dbt parse"], generate_docs=True)
    run = f"/runs/{api.trigger(job)['id']}/artifacts"
    assert api.data(f"{run}/", step=4) == ["manifest.json", "run_results.json"]
    assert api.data(f"{run}/", step=5) == ["manifest.json"]
    assert api.data(f"{run}/") == ["catalog.json", "manifest.json", "run_results.json"]
    assert api.data(f"{run}/", step=1) is None
    assert api.get(f"{run}/run_results.json", step=4).json()["args"] == {"which": "build"}
    last = api.get(f"{run}/run_results.json")
    assert (last.json()["args"], last.history) == ({"which": "docs"}, [])
    assert last.headers["Content-Type"] == "application/json"
    assert api.get(f"{run}/run_results.json", step=5).status_code == 404
    assert api.get(f"{run}/run_results.json", step=99).status_code == 404
    for odd in ("x", "-1", "9" * 5000):
        assert api.get(f"{run}/run_results.json", step=odd).status_code == 400


def test_a_scripted_run_has_the_artifacts_of_its_job(cloud: DBTCloudEmulator, api: Api) -> None:
    files: dict[str, Any] = {"run_results.json": {"results": [1]}, "compiled/a.sql": b"select 1"}
    job = cloud.create_job("Any", artifacts=files)
    run = api.trigger(job)["id"]
    assert api.data(f"/runs/{run}/artifacts/") == ["compiled/a.sql", "run_results.json"]
    assert api.get(f"/runs/{run}/artifacts/run_results.json").json() == {"results": [1]}
    assert api.get(f"/jobs/{job}/artifacts/compiled/a.sql").content == b"select 1"
    assert api.get(f"/jobs/{job}/artifacts/manifest.json").status_code == 404
    bare = api.trigger(cloud.create_job("Bare", artifacts={}))["id"]
    assert api.data(f"/runs/{bare}/artifacts/") is None
    assert api.run(bare)["artifacts_saved"] is False


def test_artifacts_are_available_when_the_run_has_finished(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    run = api.trigger(cloud.create_job("Any", duration=None))["id"]
    assert api.data(f"/runs/{run}/artifacts/") is None
    assert api.get(f"/runs/{run}/artifacts/manifest.json").status_code == 404
    cloud.finish_run(run)
    assert api.get(f"/runs/{run}/artifacts/manifest.json").status_code == 200


def test_a_failed_run_is_retried_as_a_new_run(cloud: DBTCloudEmulator, api: Api) -> None:
    steps = ["dbt seed", "dbt run", "dbt test"]
    job = cloud.create_job("Flaky", execute_steps=steps, outcome=["error", "success"])
    failed = api.trigger(job, threads_override=3)["id"]
    assert api.run(failed)["can_retry"] is True
    assert api.run(failed)["retry_not_supported_reason"] is None
    details = api.data(f"/runs/{failed}/retry/")
    assert details == {"failed_step": "dbt seed", "skipped_steps": ["dbt run", "dbt test"]}
    retry = api.post(f"/runs/{failed}/retry/").json()["data"]
    assert (retry["status"], retry["retrying_run_id"]) == (1, failed)
    assert retry["trigger"]["cause_category"] == "rerun"
    assert retry["trigger"]["threads_override"] == 3
    ended = api.run(retry["id"], "run_steps")
    assert (ended["status"], ended["retrying_run_id"]) == (10, failed)
    assert [step["name"] for step in ended["run_steps"]][3:] == [
        "Invoke dbt with `dbt retry`",
        "Invoke dbt with `dbt run`",
        "Invoke dbt with `dbt test`",
    ]
    assert [run["id"] for run in api.run(failed, "run_retries")["run_retries"]] == [retry["id"]]
    assert api.run(failed)["retry_not_supported_reason"] == "RETRY_NOT_LATEST_RUN"


@pytest.mark.parametrize(
    ("options", "overrides", "reason"),
    [
        ({"outcome": "success"}, {}, "RETRY_NOT_FAILED_RUN"),
        ({"outcome": "cancelled"}, {}, "RETRY_NOT_FAILED_RUN"),
        ({"outcome": "error", "artifacts": {}}, {}, "RETRY_NO_RUN_RESULTS"),
        ({"outcome": "error"}, {"steps_override": ["dbt parse"]}, "RETRY_UNSUPPORTED_CMD"),
        ({"outcome": "error"}, {"dbt_version_override": "1.5.9"}, "RETRY_UNSUPPORTED_VERSION"),
    ],
)
def test_a_run_that_cannot_be_retried_has_a_reason(
    cloud: DBTCloudEmulator, api: Api, options: Any, overrides: Any, reason: str
) -> None:
    job = cloud.create_job("Any", **options)
    run = api.run(api.trigger(job, **overrides)["id"])
    assert (run["can_retry"], run["retry_not_supported_reason"]) == (False, reason)
    answer = api.post(f"/runs/{run['id']}/retry/")
    assert answer.status_code == 400
    assert answer.json()["data"] == f"Run {run['id']} cannot be retried: {reason}"
    assert len(cloud.runs) == 1


def test_rerun_retries_a_failed_run_and_starts_a_new_run_otherwise(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "success"])
    first = api.post(f"/jobs/{job}/rerun/").json()["data"]
    second = api.post(f"/jobs/{job}/rerun/").json()["data"]
    third = api.post(f"/jobs/{job}/rerun/").json()["data"]
    assert first["retrying_run_id"] is None
    assert second["retrying_run_id"] == first["id"]
    assert third["retrying_run_id"] is None
    assert [run["status"] for run in cloud.runs] == [20, 10, 10]
    names = [run["run_steps"][-1]["name"] for run in cloud.runs]
    assert names == [f"Invoke dbt with `dbt {name}`" for name in ("build", "retry", "build")]
