"""The token has one user; what the emulator has none of is an empty list, as for the service."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.emulator_api import Api


def _get(api: Api, path: str, **query: Any) -> Any:
    return api.session.get(f"{api.cloud.url}{path}", params=query, timeout=60)


def test_the_user_of_the_token_is_the_only_one(cloud: DBTCloudEmulator, api: Api) -> None:
    user = _get(api, "/api/v2/whoami/").json()["data"]["user"]
    assert user["email"] == "embedded@example.com"
    assert user["permissions"][0]["account_id"] == cloud.account_id
    for version in ("v2", "v3"):
        listed = _get(api, f"/api/{version}/accounts/{cloud.account_id}/users/", limit=100).json()
        assert listed["data"] == [user]
        assert listed["extra"]["pagination"] == {"count": 1, "total_count": 1}
    assert _get(api, f"/api/v2/users/{user['id']}/").json()["data"] == user
    shown = _get(api, f"/api/v3/accounts/{cloud.account_id}/users/{user['id']}/").json()["data"]
    assert (shown["id"], shown["fullname"]) == (user["id"], "Embedded User")
    assert shown["license"]["license_type"] == "developer"
    for path in ("/api/v2/users/1/", f"/api/v3/accounts/{cloud.account_id}/users/1/"):
        assert _get(api, path).status_code == 404


def test_objects_that_the_emulator_does_not_have_are_an_empty_list(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    versions, nouns = ("v2", "v3"), ("connections", "repositories", "groups", "audit-logs")
    for version, noun in product(versions, nouns):
        path = f"/api/{version}/accounts/{cloud.account_id}/{noun}/"
        body = _get(api, path, limit=10).json()
        assert (body["status"]["is_success"], body["data"]) == (True, [])
        assert body["extra"]["filters"]["account_id"] == cloud.account_id
        assert body["extra"]["pagination"] == {"count": 0, "total_count": 0}
        assert _get(api, path, foo=1).status_code == 400
        assert _get(api, f"/api/{version}/accounts/1/{noun}/").status_code == 404
        assert _get(api, f"{path}1/").status_code == 404


@pytest.mark.parametrize("noun", ["connections", "repositories"])
def test_a_project_has_no_connections_and_repositories(
    cloud: DBTCloudEmulator, api: Api, noun: str
) -> None:
    base = f"/api/v3/accounts/{cloud.account_id}/projects"
    project = api.data("/projects/")[0]["id"]
    assert _get(api, f"{base}/{project}/{noun}/").json()["data"] == []
    assert _get(api, f"{base}/1/{noun}/").status_code == 404


def test_the_user_has_no_development_credentials(api: Api) -> None:
    user = _get(api, "/api/v2/whoami/").json()["data"]["user"]["id"]
    body = _get(api, f"/api/v3/users/{user}/credentials/").json()
    assert (body["status"]["is_success"], body["data"]) == (True, [])
    assert _get(api, "/api/v3/users/1/credentials/").status_code == 404
