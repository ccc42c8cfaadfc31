"""Injected faults, before or after a request takes effect."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind, When
from tests.support.clock import FakeClock, FakeTimer, until
from tests.support.processes.threads import in_background
from tests.support.servers.emulator_api import Api


@pytest.fixture
def job(cloud: DBTCloudEmulator) -> int:
    return cloud.create_job("Nightly")


@pytest.mark.parametrize(
    ("kind", "status", "beginning"),
    [("status", 500, "{"), ("html", 502, "<html>"), ("html", 200, "<html>"), ("half", 200, "{")],
)
def test_a_response_is_replaced(
    cloud: DBTCloudEmulator, api: Api, job: int, kind: Kind, status: int, beginning: str
) -> None:
    takes_effect: dict[When, bool] = {"before": False, "after": True}
    for when, has_run in takes_effect.items():
        before = len(cloud.runs)
        cloud.fail("trigger_job", kind, when=when, status=status)
        response = api.post(f"/jobs/{job}/run/", {"cause": "a test"})
        assert response.status_code == status
        assert response.text.startswith(beginning)
        assert len(cloud.runs) - before == has_run
        assert api.trigger(job)["status"] == 1


def test_half_a_response_is_not_json(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    cloud.fail("trigger_job", "half")
    response = api.post(f"/jobs/{job}/run/", {"cause": "a test"})
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_a_connection_is_cut(
    cloud: DBTCloudEmulator, api: Api, job: int, kind: Any, when: Any, runs: int
) -> None:
    cloud.fail("trigger_job", kind, when=when, seconds=0.05)
    with pytest.raises(requests.ConnectionError):
        api.post(f"/jobs/{job}/run/", {"cause": "a test"})
    assert len(cloud.runs) == runs
    assert cloud.requests[-1].status == 0


def test_hanging_requests_are_released_when_the_server_stops() -> None:
    with DBTCloudEmulator() as cloud:
        job = cloud.create_job("Nightly")
        cloud.fail("trigger_job", "hang", seconds=3600)
        api = Api(cloud)

        def send() -> None:
            with api.session, pytest.raises(requests.ConnectionError):
                api.post(f"/jobs/{job}/run/", {"cause": "a test"})

        sending = in_background(send)
        until(lambda: len(cloud.runs) == 1)
    sending.result()


def test_a_slow_response_is_complete(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    cloud.fail("trigger_job", "slow", seconds=0.1)
    assert api.trigger(job)["job_id"] == job
    assert len(cloud.runs) == 1


def test_a_request_takes_effect_later() -> None:
    clock = FakeClock()
    with DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud:
        job = cloud.create_job("Nightly")
        cloud.fail("trigger_job", "late", seconds=60)
        api = Api(cloud)
        with api.session:
            assert api.post(f"/jobs/{job}/run/", {"cause": "a test"}).status_code == 504
        clock.sleep(59)
        assert cloud.runs == []
        clock.sleep(1)
        assert len(cloud.runs) == 1


def test_a_lagging_list_lacks_the_newest_runs(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    run = api.trigger(job)["id"]
    cloud.fail("list_runs", "lag", seconds=3600)
    page = api.get("/runs/").json()
    assert page["data"] == []
    assert page["extra"]["pagination"] == {"count": 0, "total_count": 0}
    cloud.fail("list_runs", "lag", seconds=0)
    assert [each["id"] for each in api.get("/runs/").json()["data"]] == [run]
    assert api.get(f"/runs/{run}/").json()["data"]["id"] == run


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (7, "7")])
def test_a_rate_limit_has_an_optional_retry_after(
    cloud: DBTCloudEmulator, api: Api, job: int, seconds: float | None, header: str | None
) -> None:
    cloud.fail("trigger_job", "rate_limit", retry_after=seconds)
    response = api.post(f"/jobs/{job}/run/", {"cause": "a test"})
    assert response.status_code == 429
    assert response.headers.get("Retry-After") == header
    assert cloud.runs == []


def test_requests_beyond_the_limit_begin_a_cool_down(cloud: DBTCloudEmulator, api: Api) -> None:
    clock = FakeClock()
    cloud.limit_requests(3, clock=clock.monotonic)
    statuses = []
    for seconds in (0, 10, 20, 60, 65, 100, 364, 365, 365, 365, 365):
        clock.now = seconds
        response = api.get("/runs/")
        statuses.append(response.status_code)
        assert "Retry-After" not in response.headers
    # the fourth is in another minute than the first; the fifth is one too many in any minute
    assert statuses == [200] * 4 + [429] * 3 + [200] * 3 + [429]
    assert cloud.struck == [("list_runs", "rate_limit")] * 4


def test_the_limit_is_of_each_account(cloud: DBTCloudEmulator, api: Api) -> None:
    other = cloud.create_account(visible=True)
    cloud.limit_requests(1)
    urls = [f"{cloud.url}/api/v2/accounts/{each}/runs/" for each in (cloud.account_id, other)]
    statuses = [api.session.get(url, timeout=60).status_code for url in (urls[0], *urls)]
    assert statuses == [200, 429, 200]


def test_a_refused_request_has_no_effect(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    clock = FakeClock()
    cloud.limit_requests(1, cool_down=7, sends_retry_after=True, clock=clock.monotonic)
    assert api.get("/runs/").status_code == 200
    for seconds, left in ((1.5, "7"), (3.0, "6"), (8.4, "1")):
        clock.now = seconds
        response = api.post(f"/jobs/{job}/run/", {"cause": "a test"})
        assert (response.status_code, response.headers["Retry-After"]) == (429, left)
    assert cloud.runs == []


@pytest.mark.parametrize("remove", ["heal", "reset"])
def test_the_limit_can_be_removed(cloud: DBTCloudEmulator, api: Api, remove: str) -> None:
    cloud.limit_requests(1)
    assert [api.get("/runs/").status_code for _ in range(2)] == [200, 429]
    getattr(cloud, remove)()
    assert api.get("/runs/").status_code == 200


@pytest.mark.parametrize(("per_minute", "cool_down"), [(0, 1), (-1, 1), (1, -1)])
def test_an_impossible_limit_is_refused(
    cloud: DBTCloudEmulator, per_minute: int, cool_down: int
) -> None:
    with pytest.raises(ValueError, match="at least"):
        cloud.limit_requests(per_minute, cool_down=cool_down)


def test_skip_and_calls_select_the_requests_that_fail(cloud: DBTCloudEmulator, api: Api) -> None:
    cloud.fail("list_runs", "status", skip=1, calls=2)
    statuses = [api.get("/runs/").status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    cloud.fail("list_runs", "status", calls=None)
    assert {api.get("/runs/").status_code for _ in range(4)} == {503}
    assert api.get("/jobs/").status_code == 200


def test_a_fault_can_affect_a_single_run(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    runs = [api.trigger(job)["id"] for _ in range(2)]
    cloud.fail("get_run", "status", calls=None, run_id=runs[0])
    assert [api.get(f"/runs/{run}/").status_code for run in runs] == [503, 200]
    cloud.heal()
    assert api.get(f"/runs/{runs[0]}/").status_code == 200


def test_reset_removes_all_faults(cloud: DBTCloudEmulator, api: Api) -> None:
    cloud.fail("list_runs", "status", calls=None)
    cloud.reset()
    assert api.get("/runs/").status_code == 200


@pytest.mark.parametrize("wrong", [("no_route", "cut"), ("get_run", "no_kind")])
def test_unknown_routes_and_kinds_are_refused(
    cloud: DBTCloudEmulator, wrong: tuple[Any, Any]
) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        cloud.fail(*wrong)
