"""Pages are shown to their reader, and neither framed nor read by pages of other origins."""

from __future__ import annotations

import pytest
import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.pages.guard import check_origin
from tests.support.servers.emulator_api import Api

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:80", "LOCALHOST"])
def test_names_of_loopback_are_accepted(host: str) -> None:
    check_origin({"Host": host})
    check_origin({"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"})


def test_other_hosts_and_origins_are_refused() -> None:
    for headers in [
        {"Host": ""},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "10.0.0.1:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
        {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    ]:
        with pytest.raises(ApiError) as caught:
            check_origin({"Host": "localhost:8000", **headers})
        assert caught.value.code == 403


def test_a_link_of_another_site_may_be_followed() -> None:
    check_origin({"Host": "localhost:8000", **NAVIGATION, "Sec-Fetch-Site": "cross-site"})


def test_all_responses_forbid_frames_and_other_origins(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"))["href"].removeprefix(cloud.url)
    pages = ("/", run, f"{run}steps/1/log.txt")
    for path in (*pages, "/deploy/nothing"):
        response = requests.get(cloud.url + path, timeout=60)
        assert response.ok is (path in pages)
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers
        if response.ok:
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_a_refused_request_learns_nothing(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Secret plans"))
    for url in (cloud.url, run["href"]):
        response = requests.get(url, headers={"Host": "evil.example"}, timeout=60)
        assert response.status_code == 403
        assert "Secret plans" not in response.text


def test_pages_can_only_be_read(cloud: DBTCloudEmulator, api: Api) -> None:
    href = api.trigger(cloud.create_job("Any"))["href"]
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert requests.request(method, href, timeout=60).status_code == 405
        assert requests.request(method, f"{cloud.url}/", timeout=60).status_code == 401


def test_reading_pages_changes_nothing(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any", duration=None))
    before = cloud.runs
    for url in (cloud.url, run["href"], f"{run['href']}steps/1/log.txt"):
        assert requests.get(url, timeout=60).ok
        assert requests.head(url, timeout=60).ok
    assert [(each["id"], each["status"]) for each in cloud.runs] == [
        (each["id"], each["status"]) for each in before
    ]
