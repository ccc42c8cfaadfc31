"""Authentication, routing and malformed requests."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
import requests
from werkzeug.test import Client
from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.faults import Faults
from dlt_dbtcloud.emulator.http import App
from dlt_dbtcloud.emulator.state import State
from tests.support.servers.emulator_api import Api


def test_both_authorization_schemes_are_accepted(cloud: DBTCloudEmulator) -> None:
    for scheme in ("Token", "Bearer", "token", "BEARER"):
        headers = {"Authorization": f"{scheme} {cloud.api_token}"}
        response = requests.get(f"{cloud.url}/api/v2/accounts/", headers=headers, timeout=60)
        assert response.json()["status"] == {
            "code": 200,
            "is_success": True,
            "user_message": "Success!",
            "developer_message": "",
        }


def test_401_comes_before_anything_else(cloud: DBTCloudEmulator, api: Api) -> None:
    token = cloud.api_token
    for path in ("/api/v2/accounts/", "/api/v2/nothing/", "/", "/x"):
        for value in (None, "Token wrong", "Token", f"Basic {token}", token, ""):
            # None removes the session's own
            headers = {"Authorization": value}
            response = api.session.post(
                cloud.url + path, headers=headers, data="no json", timeout=60
            )
            assert response.status_code == 401
            assert response.json() == {
                "status": {
                    "code": 401,
                    "is_success": False,
                    "user_message": "Invalid token.",
                    "developer_message": "",
                },
                "data": None,
            }


def test_missing_objects_and_paths_return_404(api: Api) -> None:
    for path in [
        *("/nothing/", "/jobs/abc/", "/runs/-1/", "/jobs/1/", "/runs/1/"),
        *(f"/runs/{'9' * 5000}/", f"/{'x' * 60_000}", "/runs/%00/", "/%FF%FE/", "/;x", "/%"),
    ]:
        response = api.get(path)
        assert response.status_code == 404
        body = response.json()
        assert body["status"]["is_success"] is False
        assert body["status"]["user_message"].startswith("The requested resource was not found.")
        assert body["data"] is None


def test_a_target_that_is_not_a_url_returns_404(cloud: DBTCloudEmulator) -> None:
    connection = http.client.HTTPConnection(cloud.url.partition("//")[2], timeout=60)
    for target in ("http://[x/api/v2/", "*", "api/v2/"):
        # the library would read the host from the target
        connection.putrequest("GET", target, skip_host=True)
        connection.putheader("Host", "x")
        connection.putheader("Authorization", f"Token {cloud.api_token}")
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        assert response.status == 404
    connection.close()


def test_double_slashes_return_404(cloud: DBTCloudEmulator, api: Api) -> None:
    # requests folds leading slashes
    connection = http.client.HTTPConnection(cloud.url.partition("//")[2], timeout=60)
    headers = {"Authorization": f"Token {cloud.api_token}"}
    connection.request("GET", "//api/v2/accounts/", headers=headers)
    assert connection.getresponse().status == 404
    connection.close()
    assert api.session.get(f"{cloud.url}/api//v2/accounts/", timeout=60).status_code == 404


def test_another_account_returns_404(cloud: DBTCloudEmulator, api: Api) -> None:
    hidden, seen = cloud.create_account("Hidden"), cloud.create_account("Seen", visible=True)
    foreign, near = (cloud.create_job("Theirs", account_id=key) for key in (hidden, seen))
    base = f"{cloud.url}/api/v2/accounts"
    for path in (f"{hidden}/", f"{hidden}/jobs/", f"{hidden}/runs/", f"{hidden}/jobs/{foreign}/"):
        assert api.session.get(f"{base}/{path}", timeout=60).status_code == 404
    assert api.post(f"/jobs/{foreign}/run/", {"cause": "x"}).status_code == 404
    assert api.post(f"/jobs/{near}/run/", {"cause": "x"}).status_code == 404
    assert api.session.get(f"{base}/{seen}/jobs/{near}/", timeout=60).status_code == 200
    listed = api.session.get(f"{base}/", timeout=60).json()["data"]
    assert [account["id"] for account in listed] == [cloud.account_id, seen]


def test_a_wrong_method_returns_no_envelope(api: Api) -> None:
    response = api.session.put(f"{api.account}/runs/", timeout=60)
    assert (response.status_code, response.json()) == (405, {"detail": 'Method "PUT" not allowed.'})
    assert api.get("/jobs/1/run/").status_code == 405


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_a_path_without_its_slash_is_redirected(
    cloud: DBTCloudEmulator, api: Api, method: str
) -> None:
    job = cloud.create_job("Any")
    url = f"{api.account}/jobs/{job}"
    response = api.session.request(
        method, url, params={"order_by": "-id"}, allow_redirects=False, timeout=60
    )
    assert response.status_code == 308
    assert response.headers["Location"] == f"{url}/?order_by=-id"
    followed = api.session.request(method, url, json={"name": "New"}, timeout=60)
    assert followed.status_code == 200
    assert followed.json()["status"]["is_success"] is True


def test_a_body_that_is_not_an_object_returns_400(api: Api) -> None:
    for body in [b"{", b"[]", b'"text"', b"\xff", b"null", b"[" * 99999]:
        response = api.session.post(f"{api.account}/jobs/", data=body, timeout=60)
        assert response.status_code == 400
        assert response.json()["data"].startswith(
            ("The body is not JSON", "The body is not a JSON")
        )


def test_a_huge_body_returns_413(api: Api) -> None:
    response = api.session.post(f"{api.account}/jobs/", data=b"", timeout=60)
    assert response.status_code == 400
    client = Client(App(State(), (), "secret", Faults()))
    headers = {"Authorization": "Token secret"}
    huge = client.post("/", headers=headers, data=b" " * 10_000_001)
    assert (huge.status_code, huge.headers["Connection"]) == (413, "close")


def test_head_returns_the_length_without_a_body(api: Api) -> None:
    got = api.session.head(f"{api.account}/projects/", timeout=60)
    assert (got.status_code, got.content) == (200, b"")
    assert int(got.headers["Content-Length"]) > 100
    assert api.get("/projects/").status_code == 200


class _Broken:
    def list_runs(self, call: Call) -> Response:
        raise KeyError("something", call.account_id)


def test_an_internal_error_returns_500_and_is_logged_without_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App(State(), (_Broken(),), "the-token", Faults())
    client = Client(app)
    response = client.get("/api/v2/accounts/1/runs/", headers={"Authorization": "Token the-token"})
    assert (response.status_code, response.get_json()) == (
        500,
        {"detail": "Internal server error."},
    )
    (unhandled,) = app.unhandled
    assert unhandled.path == "/api/v2/accounts/1/runs/"
    assert unhandled.reason == "its handler raised KeyError('something', 1)"
    assert "something" in caplog.text
    assert "the-token" not in caplog.text


def test_the_link_of_a_run_leads_to_a_page(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"))
    page = requests.get(run["href"], timeout=60)
    assert page.status_code == 200
    assert f"dbt Cloud run {run['id']}" in page.text
    assert ">Success<" in page.text
    missing: Any = requests.get(run["href"].replace(str(run["id"]), "1"), timeout=60)
    assert missing.status_code == 404
