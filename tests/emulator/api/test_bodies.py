"""A trigger's body is accepted in the forms that clients send, and refused if it is invalid."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.api import bodies
from dlt_dbtcloud.typing import TriggerData
from tests.support.servers.emulator_api import Api


def test_a_trigger_repeats_every_override(cloud: DBTCloudEmulator, api: Api) -> None:
    body = {
        "cause": "Because",
        "git_sha": "abc",
        "git_branch": "main",
        "azure_pull_request_id": 1,
        "github_pull_request_id": 2,
        "gitlab_merge_request_id": 3,
        "non_native_pull_request_id": 4,
        "schema_override": "pr_1",
        "dbt_version_override": "1.9.0",
        "threads_override": 8,
        "target_name_override": "ci",
        "generate_docs_override": False,
        "timeout_seconds_override": 60,
        "steps_override": ["dbt run"],
    }
    run = api.trigger(cloud.create_job("Any"), **body)
    assert {key: run["trigger"][key] for key in body} == body
    assert run["trigger"]["cause_category"] == "api"
    assert run["trigger"]["job_definition_id"] == run["job"]["id"]
    assert (run["git_branch"], run["git_sha"]) == (None, None)
    started = api.run(run["id"])
    assert (started["git_branch"], started["git_sha"]) == ("main", "abc")


def test_nulls_unknown_fields_and_numbers_as_text_are_accepted(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    run = api.trigger(
        cloud.create_job("Any"),
        account_id=1,
        job_id="x",
        steps_override=None,
        schema_override=None,
        threads_override="4",
        something={"else": 1},
    )
    assert run["trigger"]["threads_override"] == 4
    assert run["trigger"]["steps_override"] is None


def test_an_invalid_body_answers_400(cloud: DBTCloudEmulator, api: Api) -> None:
    for body, data in [
        ({"cause": ""}, {"cause": "'' is not a non-empty string"}),
        ({"cause": 5}, {"cause": "5 is not a non-empty string"}),
        ({"cause": "x" * 256}, {"cause": "Ensure this field has no more than 255 characters."}),
        (
            {"cause": "x", "steps_override": "dbt run"},
            {"steps_override": "'dbt run' is not of type 'array'"},
        ),
        ({"cause": "x", "steps_override": [1]}, {"steps_override": "1 is not a non-empty string"}),
        ({"cause": "x", "git_sha": 7}, {"git_sha": "7 is not a non-empty string"}),
        (
            {"cause": "x", "threads_override": "many"},
            {"threads_override": "'many' is not of type 'integer'"},
        ),
        (
            {"cause": "x", "threads_override": 0},
            {"threads_override": "0 is less than the minimum of 1"},
        ),
        (
            {"cause": "x", "threads_override": True},
            {"threads_override": "True is not of type 'integer'"},
        ),
        (
            {"cause": "x", "generate_docs_override": 1},
            {"generate_docs_override": "1 is not of type 'boolean'"},
        ),
        (
            {"cause": "x", "timeout_seconds_override": -1},
            {"timeout_seconds_override": "-1 is less than the minimum of 0"},
        ),
    ]:
        answer = api.post(f"/jobs/{cloud.create_job('Any')}/run/", body)
        assert answer.status_code == 400
        assert answer.json()["data"] == data
        assert answer.json()["status"]["is_success"] is False
        assert cloud.runs == []


def test_a_cause_may_have_255_characters(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"), cause="x" * 255)
    assert run["trigger"]["cause"] == "x" * 255


@pytest.mark.parametrize("body", [{}, {"cause": None}, {"threads_override": 2}])
def test_a_trigger_without_a_cause_is_accepted(
    cloud: DBTCloudEmulator, api: Api, body: dict[str, Any]
) -> None:
    answer = api.post(f"/jobs/{cloud.create_job('Any')}/run/", body)
    assert answer.status_code == 200
    assert answer.json()["data"]["trigger"]["cause"] == "Triggered via API"


def test_a_step_that_is_not_a_dbt_command_answers_400(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any")
    answer = api.post(f"/jobs/{job}/run/", {"cause": "x", "steps_override": ["rm -rf /"]})
    assert answer.status_code == 400
    reason = "`rm -rf /` is not a dbt command: a step starts with `dbt`."
    assert answer.json()["data"] == {"steps_override": reason}


def test_every_name_of_a_dbt_version_is_accepted(cloud: DBTCloudEmulator, api: Api) -> None:
    for version in [
        *("versionless", "latest", "compatible", "extended", "fallback"),
        *("latest-fusion", "fusion-stable", "1.9.0", "2026.4.7+4533730"),
    ]:
        job = cloud.create_job("Any", outcome="error")
        assert api.post(f"/jobs/{job}/", {"dbt_version": version}).json()["data"]["dbt_version"]
        assert api.trigger(job)["dbt_version"] == version
        run = api.run(api.trigger(job, dbt_version_override=version)["id"])
        assert (run["dbt_version"], run["can_retry"]) == (version, True)


def test_a_trigger_takes_every_documented_field() -> None:
    assert bodies.TRIGGER.keys() == TriggerData.__annotations__.keys()
