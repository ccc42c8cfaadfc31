"""Accounts, projects and environments are available in both versions of the API."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.emulator_api import Api


def _any(api: Api, version: str) -> str:
    return api.account.replace("v2", version)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_an_account_is_shown_and_listed(cloud: DBTCloudEmulator, api: Api, version: str) -> None:
    base = _any(api, version)
    assert api.session.get(base, timeout=60).json()["data"]["id"] == cloud.account_id
    listed = api.session.get(base.rpartition("/")[0], timeout=60).json()
    assert [account["name"] for account in listed["data"]] == ["Embedded dbt Cloud"]
    assert listed["extra"]["pagination"] == {"count": 1, "total_count": 1}
    assert listed["data"][0]["run_slots"] > 0


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("noun", ["projects", "environments"])
def test_projects_and_environments_are_created_changed_and_deleted(
    api: Api, version: str, noun: str
) -> None:
    base = f"{_any(api, version)}/{noun}"
    project = api.data("/projects/")[0]["id"]
    body: Any = {"name": "New", "project_id": project, "type": 0 if noun == "projects" else None}
    made = api.session.post(f"{base}/", json=body, timeout=60).json()["data"]
    assert (made["name"], made["state"]) == ("New", 1)
    assert api.session.get(f"{base}/{made['id']}", timeout=60).json()["data"] == made
    changed = api.session.post(f"{base}/{made['id']}/", json={"name": "Newer"}, timeout=60)
    assert changed.json()["data"]["name"] == "Newer"
    found = api.session.get(f"{base}/?name__icontains=newer&pk={made['id']}", timeout=60).json()
    assert [item["id"] for item in found["data"]] == [made["id"]]
    deleted = api.session.delete(f"{base}/{made['id']}/", timeout=60)
    assert (deleted.status_code, deleted.json()["data"]["state"]) == (200, 2)
    assert api.session.delete(f"{base}/{made['id']}/", timeout=60).status_code == 404
    assert api.session.post(f"{base}/", json={}, timeout=60).status_code == 400


def test_environments_are_listed_under_their_project(cloud: DBTCloudEmulator, api: Api) -> None:
    other = cloud.create_project("Other")
    base = f"{_any(api, 'v3')}/projects/{other}/environments"
    (found,) = api.session.get(f"{base}/", timeout=60).json()["data"]
    assert found["project_id"] == other
    made = api.session.post(f"{base}/", json={"name": "Staging"}, timeout=60).json()["data"]
    assert made["project_id"] == other
    assert api.session.get(f"{base}/{made['id']}", timeout=60).json()["data"]["name"] == "Staging"
    ids = [item["id"] for item in api.data("/environments/", project_id=other)]
    assert ids == [found["id"], made["id"]]


def test_projects_are_listed_by_page_and_filter(cloud: DBTCloudEmulator, api: Api) -> None:
    first = api.data("/projects/")[0]["id"]
    others = [cloud.create_project(name) for name in ("B", "A")]
    assert [item["id"] for item in api.data("/projects/", pk__gt=first)] == others
    assert [item["id"] for item in api.data("/projects/", pk__in=f"[{first}]")] == [first]
    ordered = api.data("/projects/", order_by="name", limit=2)
    assert [item["name"] for item in ordered] == ["A", "B"]


def test_the_environments_of_a_project_are_included_on_request(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    other = cloud.create_project("Other")
    (environment,) = api.data("/environments/", project_id=other)
    assert api.data(f"/projects/{other}/")["environments"] == []
    related = "['environments','repository']"
    assert api.data(f"/projects/{other}/", include_related=related)["environments"] == [environment]
    *_, listed = api.data("/projects/", include_related=related)
    assert listed["environments"] == [environment]
    api.delete(f"/environments/{environment['id']}/")
    assert api.data(f"/projects/{other}/", include_related=related)["environments"] == []
