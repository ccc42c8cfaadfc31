"""Environment variables are set by scope, reach dbt, and hide their secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.dbt.fake_dbt import RECORDING, write_fake
from tests.support.servers.emulator_api import Api

NAME = "DBT_REGION"
SECRET = "DBT_ENV_SECRET_KEY"


class Variables:
    """Sends requests for the environment variables of a project."""

    def __init__(self, api: Api, project: int) -> None:
        self._api = api
        self.project = project
        account = api.account.replace("v2", "v3")
        self._url = f"{account}/projects/{project}/environment-variables"

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        url = f"{self._url}/{path}"
        return self._api.session.request(method, url, json=body, params=query, timeout=60)

    def data(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        response = self.send(method, path, body, **query)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def set(self, scope: str, value: str, name: str = NAME, **owner: int) -> Any:
        body = {"id": None, "name": name, "type": scope, "raw_value": value, **owner}
        return self.data("POST", "", body)

    def of_job(self, job: int) -> Any:
        return self.data("GET", "job/", job_definition_id=job)


@pytest.fixture
def variables(api: Api) -> Variables:
    """Return the requests for the first project."""
    return Variables(api, api.data("/projects/")[0]["id"])


def test_a_job_has_no_variables_at_first(cloud: DBTCloudEmulator, variables: Variables) -> None:
    assert variables.of_job(cloud.create_job("Any")) == {}
    assert variables.of_job(1) == {}
    assert variables.send("GET", "job/").status_code == 400


def test_each_scope_of_a_variable_is_shown(
    cloud: DBTCloudEmulator, api: Api, variables: Variables
) -> None:
    job, other = cloud.create_job("Any"), cloud.create_job("Other")
    environment = api.data(f"/jobs/{job}/")["environment_id"]
    ids = [
        variables.set("project", "eu")["id"],
        variables.set("environment", "us", environment_id=environment)["id"],
        variables.set("job", "jp", job_definition_id=job)["id"],
    ]
    shared = {
        "project": {"id": ids[0], "value": "eu"},
        "environment": {"id": ids[1], "value": "us"},
    }
    assert variables.of_job(job) == {NAME: {**shared, "job": {"id": ids[2], "value": "jp"}}}
    assert variables.of_job(other) == {NAME: shared}
    by_environment = variables.data("GET", "environment/")
    assert by_environment == {
        "environments": ["project", "Production"],
        "variables": {NAME: {"project": shared["project"], "Production": shared["environment"]}},
    }
    included = api.data(f"/jobs/{job}/", include_related="custom_environment_variables")
    assert [each["id"] for each in included["custom_environment_variables"]] == ids[2:]


def test_a_user_has_variables_that_runs_do_not_see(
    cloud: DBTCloudEmulator, variables: Variables
) -> None:
    made = variables.set("user", "mine", user_id=5)
    shown = {NAME: {"user": {"id": made["id"], "value": "mine"}}}
    assert variables.data("GET", "user/", user_id=5) == shown
    assert variables.data("GET", "user/", user_id=6) == {}
    assert variables.of_job(cloud.create_job("Any")) == {}


def test_a_variable_is_changed_and_deleted(cloud: DBTCloudEmulator, variables: Variables) -> None:
    job = cloud.create_job("Any")
    made = variables.set("job", "jp", job_definition_id=job)
    assert (made["name"], made["type"], made["display_value"]) == (NAME, "job", "jp")
    assert made["job_definition_id"] == job
    assert "raw_value" not in made
    path = f"{made['id']}/"
    changed = variables.data("POST", path, {**made, "raw_value": "kr"})
    assert changed["display_value"] == "kr"
    assert variables.of_job(job)[NAME]["job"]["value"] == "kr"
    deleted = variables.send("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert variables.of_job(job) == {}
    assert variables.send("DELETE", path).status_code == 404


def test_a_secret_is_never_shown(cloud: DBTCloudEmulator, variables: Variables) -> None:
    job = cloud.create_job("Any")
    made = variables.set("project", "hunter2", name=SECRET)
    changed = variables.data("POST", f"{made['id']}/", {"raw_value": "hunter22"})
    listed = variables.of_job(job), variables.data("GET", "environment/")
    assert made["display_value"] == "**********"
    assert "hunter2" not in str((made, changed, listed))


def test_an_invalid_variable_answers_400(variables: Variables) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"name": None}, "name"),
        ({"name": "REGION"}, "name"),
        ({"name": "DBT_A=B"}, "name"),
        ({"type": "account"}, "type"),
        ({"type": None}, "type"),
        ({"raw_value": ""}, "raw_value"),
        ({"raw_value": 5}, "raw_value"),
        ({"type": "job"}, "job_definition_id"),
        ({"type": "environment"}, "environment_id"),
        ({"type": "user"}, "user_id"),
    ]
    for change, field in cases:
        body = {"name": NAME, "type": "project", "raw_value": "eu", **change}
        refused = variables.send("POST", "", body)
        assert (refused.status_code, [*refused.json()["data"]]) == (400, [field])
        assert variables.data("GET", "environment/")["variables"] == {}


def test_a_variable_is_set_once_for_each_object(variables: Variables) -> None:
    variables.set("project", "eu")
    body = {"name": NAME, "type": "project", "raw_value": "us"}
    assert variables.send("POST", "", body).status_code == 400


def test_objects_of_other_projects_and_missing_ones_answer_404(
    cloud: DBTCloudEmulator, api: Api, variables: Variables
) -> None:
    job = cloud.create_job("Any")
    other = Variables(api, cloud.create_project("Other"))
    for body in (
        {"name": NAME, "type": "job", "raw_value": "x", "job_definition_id": job},
        {"name": NAME, "type": "environment", "raw_value": "x", "environment_id": 1},
    ):
        assert other.send("POST", "", body).status_code == 404
    made = variables.set("project", "eu")
    assert other.send("DELETE", f"{made['id']}/").status_code == 404
    assert Variables(api, 1).send("GET", "environment/").status_code == 404


def test_a_variable_of_many_environments_is_set_at_once(variables: Variables) -> None:
    item = {"new_name": NAME, "project": "eu", "Production": "us"}
    made = variables.data("POST", "bulk/", {"env_var": item})
    assert len(made["new_var_ids"]) == 2
    shown = variables.data("GET", "environment/")["variables"][NAME]
    assert {scope: each["value"] for scope, each in shown.items()} == {
        "project": "eu",
        "Production": "us",
    }
    assert [each["id"] for each in shown.values()] == made["new_var_ids"]


def test_a_list_of_variables_is_answered_as_documented(variables: Variables) -> None:
    items = [{"new_name": NAME, "project": "eu"}, {"new_name": "DBT_SIZE", "Production": "big"}]
    answers = variables.data("POST", "bulk/", {"env_var": items})
    assert [(each["key_name"], each["status_code"]) for each in answers] == [
        (NAME, 200),
        ("DBT_SIZE", 200),
    ]
    assert [len(each["data"]["new_var_ids"]) for each in answers] == [1, 1]


def test_an_invalid_list_sets_nothing(variables: Variables) -> None:
    for body in [
        {},
        {"env_var": 5},
        {"env_var": ["DBT_X"]},
        {"env_var": {"project": "eu"}},
        {"env_var": [{"new_name": "DBT_X", "project": "eu"}, {"new_name": "DBT_Y", "No": "x"}]},
        {"env_var": [{"new_name": "DBT_X", "project": "eu"}] * 2},
        {"env_var": [{"new_name": []}]},
        {"env_var": {"new_name": {"a": 1}, "project": "eu"}},
        {"env_var": {"new_name": "DBT_X", "project": ["eu"]}},
    ]:
        assert variables.send("POST", "bulk/", body).status_code == 400
        assert variables.data("GET", "environment/")["variables"] == {}


def test_the_values_of_a_variable_are_changed_at_once(variables: Variables) -> None:
    made = variables.set("project", "eu")["id"]
    body: dict[str, Any] = {"name": NAME, str(made): "us", "Production": "jp"}
    changed = variables.data("PUT", "bulk/", {"env_vars": body})
    assert (len(changed["new_var_ids"]), changed["deleted_var_ids"]) == (1, [])
    body = {"name": NAME, "new_name": "DBT_PLACE", "project": None, "Production": "kr"}
    changed = variables.data("PUT", "bulk/", {"env_vars": body})
    assert (changed["new_var_ids"], changed["deleted_var_ids"]) == ([], [made])
    (name, values) = variables.data("GET", "environment/")["variables"].popitem()
    assert (name, {key: each["value"] for key, each in values.items()}) == (
        "DBT_PLACE",
        {"Production": "kr"},
    )
    assert variables.send("PUT", "bulk/", {"env_vars": {"name": NAME}}).status_code == 404
    for odd in ("PLACE", 5, ["DBT_X"]):
        refused = {"env_vars": {"name": "DBT_PLACE", "new_name": odd}}
        assert variables.send("PUT", "bulk/", refused).status_code == 400
    unknown = {"env_vars": {"name": "DBT_PLACE", "1": "x"}}
    assert variables.send("PUT", "bulk/", unknown).status_code == 404


def test_all_values_of_a_variable_are_deleted_by_its_name(variables: Variables) -> None:
    for name in (NAME, "DBT_SIZE"):
        variables.data("POST", "bulk/", {"env_var": {"new_name": name, "project": "x"}})
    assert variables.send("DELETE", "bulk/", {"name": NAME}).status_code == 204
    assert [*variables.data("GET", "environment/")["variables"]] == ["DBT_SIZE"]


def test_variables_reach_dbt_and_the_job_overrides_its_environment_and_project(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    environ = {"DBT_A": "of the machine", "DBT_ONLY": "of the machine"}
    project = cloud.create_project("Real", project_dir=tiny, dbt_executable=dbt, environ=environ)
    job = cloud.create_job("Any", project_id=project)
    environment = api.data(f"/jobs/{job}/")["environment_id"]
    variables = Variables(api, project)
    for name, scopes in (("DBT_A", 1), ("DBT_B", 2), ("DBT_C", 3)):
        owners: list[tuple[str, dict[str, int]]] = [
            ("project", {}),
            ("environment", {"environment_id": environment}),
            ("job", {"job_definition_id": job}),
        ]
        for scope, owner in owners[:scopes]:
            variables.set(scope, f"of the {scope}", name, **owner)
    variables.set("project", "hunter2", name=SECRET)
    variables.set("project", "elsewhere", name="DBT_TARGET_PATH")
    variables.set("project", "elsewhere", name="DBT_ENGINE_TARGET_PATH")
    run = api.ended(api.trigger(job)["id"])
    seen = api.get(f"/runs/{run['id']}/artifacts/seen.json").json()["environ"]
    assert [seen[name] for name in ("DBT_A", "DBT_B", "DBT_C", "DBT_ONLY", SECRET)] == [
        "of the project",
        "of the environment",
        "of the job",
        "of the machine",
        "hunter2",
    ]
    assert seen["DBT_TARGET_PATH"] != "elsewhere"
    assert "DBT_ENGINE_TARGET_PATH" not in seen
    assert "hunter2" not in str(run)


def test_reset_removes_all_variables(cloud: DBTCloudEmulator, api: Api) -> None:
    Variables(api, api.data("/projects/")[0]["id"]).set("project", "eu")
    cloud.reset()
    project = api.data("/projects/")[0]["id"]
    assert Variables(api, project).data("GET", "environment/")["variables"] == {}
