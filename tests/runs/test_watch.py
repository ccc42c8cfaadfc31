"""The end of a run is noticed soon, through outages, with few checks, within the timeout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any, cast

import pytest
import requests
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dlt_dbtcloud import (
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    DBTCloudServerError,
)
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.exceptions import run_error
from dlt_dbtcloud.payloads import has_finished, id_of, time_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.watch import cancel_and_confirm, find_run
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.past_runs import started_run
from tests.support.watching import watch_runs

RUN = "/api/v2/accounts/1/runs/5/"
QUEUED = Run(id=5, status=1, status_humanized="Queued", is_complete=False)
DONE = Run(id=5, status=10, status_humanized="Success", is_complete=True, is_success=True)


def answered(data: Any) -> Response:
    body = {"status": {"code": 200, "is_success": True}, "data": data}
    return json_response(body)


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


def refused(code: int, **headers: str) -> Response:
    status = {"code": code, "is_success": False, "user_message": "no"}
    return json_response({"status": status, "data": None}, code, **headers)


Answers = Callable[..., DBTCloudClientV2]


@pytest.fixture
def answering(httpserver: HTTPServer) -> Iterator[Answers]:
    """Return a client whose status checks get the given answers, the last one for good."""
    with DBTCloudClientV2("dbtc_t0ken", 1, httpserver.url_for("/")) as client:

        def answer(*responses: Response) -> DBTCloudClientV2:
            for response in responses[:-1]:
                httpserver.expect_ordered_request(RUN).respond_with_response(response)
            httpserver.expect_request(RUN).respond_with_response(responses[-1])
            return client

        yield answer


def watch(client: DBTCloudClientV2, clock: FakeClock, **options: Any) -> Run:
    options = {"wait_seconds": 10, "timeout": 3600, "are_new": True, **options}
    return watch_runs(clocked(client, clock), [QUEUED], **options)[0]


def test_a_pause_of_zero_is_a_check_a_second(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock = FakeClock()
    clock.at(9, partial(cloud.finish_run, run["id"]))
    before = len(cloud.requests)
    watch_runs(clocked(client, clock), [run], wait_seconds=0, timeout=86400, are_new=True)
    assert set(clock.sleeps) == {1.0}
    assert len(cloud.requests) - before == 9


def test_the_end_is_noticed_within_a_tenth_of_the_duration_with_few_checks(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    length = 30
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock = FakeClock()
    clock.at(length, partial(cloud.finish_run, run["id"]))
    (ended,) = watch_runs(
        clocked(client, clock), [run], wait_seconds=10, timeout=86400, are_new=True
    )
    assert ended["status_humanized"] == "Success"
    assert clock.now - length <= length / 10 + 1
    assert len(cloud.requests) <= length / 10 + 20
    assert max(clock.sleeps) <= 10


def test_a_finished_run_costs_no_request(client: DBTCloudClientV2) -> None:
    clock = FakeClock()
    assert watch_runs(clocked(client, clock), [DONE], wait_seconds=10, timeout=1) == [DONE]
    assert clock.sleeps == []


@pytest.mark.parametrize(
    "trouble",
    [
        refused(500),
        refused(503),
        refused(429),
        Response("<html>Bad gateway</html>", 502),
        Response("<html>Log in</html>", 200, content_type="text/html"),
        Response('{"status": {"code"', 200, content_type="application/json"),
        refused(404),
    ],
    ids=["500", "503", "429", "html 502", "html 200", "half", "404 at first"],
)
def test_an_outage_is_waited_out(answering: Answers, trouble: Response) -> None:
    clock = FakeClock()
    client = answering(trouble, trouble, trouble, answered(DONE))
    assert watch(client, clock)["status"] == 10
    assert len(clock.sleeps) == 4


def test_the_pauses_of_an_outage_grow_and_are_bounded(answering: Answers) -> None:
    clock = FakeClock()
    client = answering(*[refused(503)] * 12, answered(DONE))
    watch(client, clock)
    for number, pause in enumerate(clock.sleeps[1:], start=1):
        assert min(60, 2**number) / 2 <= pause <= 60


def test_retry_after_is_respected(answering: Answers) -> None:
    clock = FakeClock()
    client = answering(refused(429, **{"Retry-After": "300"}), answered(DONE))
    watch(client, clock)
    first, second = clock.sleeps
    assert (first, 300 <= second <= 330) == (1, True)


def test_checks_are_farther_apart_after_a_rate_limit(answering: Answers) -> None:
    clock = FakeClock()
    limit = refused(429, **{"Retry-After": "300"})
    running = answered(QUEUED)
    client = answering(running, limit, limit, running, running, limit, running, answered(DONE))
    watch(client, clock)
    is_waited_out = [pause > 299 for pause in clock.sleeps]
    assert is_waited_out == [False, False, True, True, False, False, True, False]
    # it was limited twice, whatever `wait_seconds` is
    assert [clock.sleeps[number] for number in (4, 5, 7)] == [30, 30, 60]


def test_a_short_rate_limit_does_not_delay_later_checks(answering: Answers) -> None:
    clock = FakeClock()
    limit = refused(429, **{"Retry-After": "5"})
    client = answering(limit, limit, answered(QUEUED), limit, answered(QUEUED), answered(DONE))
    watch(client, clock)
    assert max(clock.sleeps) < 6
    assert clock.now < 30


@pytest.mark.parametrize(("headers", "refusals"), [({}, 20), ({"Retry-After": "300"}, 2)])
def test_a_longer_pause_than_after_a_rate_limit_is_kept(
    answering: Answers, headers: dict[str, str], refusals: int
) -> None:
    clock = FakeClock()
    limits = [refused(429, **headers)] * refusals
    client = answering(*limits, answered(QUEUED), answered(DONE))
    watch(client, clock, wait_seconds=45)
    assert clock.sleeps[-1] == 45


@pytest.mark.parametrize("code", [401, 403])
def test_a_rejected_token_ends_the_watch_at_once(answering: Answers, code: int) -> None:
    with pytest.raises(DBTCloudAuthError):
        watch(answering(refused(code)), FakeClock())


def test_a_missing_run_ends_the_watch(answering: Answers) -> None:
    clock = FakeClock()
    answers = [answered(QUEUED)] * 19
    with pytest.raises(DBTCloudNotFoundError):
        watch(answering(*answers, refused(404)), clock)
    assert clock.now > 60


def test_a_404_of_a_run_that_is_not_new_ends_the_watch(answering: Answers) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        watch(answering(refused(404)), FakeClock(), are_new=False)


def test_a_404_of_a_run_that_was_created_a_moment_ago_is_waited_out(answering: Answers) -> None:
    clock = FakeClock()
    created = datetime.fromtimestamp(clock.time() - 5, timezone.utc).isoformat()
    run = Run(id=5, status=1, created_at=created)
    client = clocked(answering(refused(404), answered(DONE)), clock)
    assert watch_runs(client, [run], wait_seconds=10, timeout=60)[0]["status"] == 10


def test_a_404_of_a_run_that_was_created_long_ago_ends_the_watch(answering: Answers) -> None:
    run = Run(id=5, status=1, created_at="2026-01-31 06:00:00.000000+00:00")
    with pytest.raises(DBTCloudNotFoundError):
        watch_runs(answering(refused(404)), [run], wait_seconds=0.01, timeout=60)


def test_a_run_that_is_known_by_its_id_is_found_later(
    answering: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    client = clocked(answering(refused(404), refused(404), answered(QUEUED)), clock)
    assert find_run(client, 5)["id"] == 5
    assert len(clock.sleeps) == 2
    (warning,) = [each.message for each in caplog.records if each.name == "dlt"]
    assert "retrying for up to 15 seconds" in warning
    assert "Check the ids in this URL" in warning


@pytest.mark.parametrize(("timeout", "waited"), [(3600.0, 15.0), (5.0, 5.0), (0.0, 0.0)])
def test_a_run_that_does_not_exist_is_an_error_after_seconds(
    answering: Answers, timeout: float, waited: float
) -> None:
    clock = FakeClock()
    with pytest.raises(DBTCloudNotFoundError, match="Check the ids in this URL"):
        find_run(clocked(answering(refused(404)), clock), 5, timeout=timeout)
    assert clock.now == pytest.approx(waited)


def test_a_run_that_is_not_known_yet_is_cancelled_and_retried(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    """Also if it is not known to the request for its cancellation."""
    config = DBTCloudConfiguration()
    for route in ("get_run", "cancel_run"):
        run = started_run(cloud, cloud.create_job(f"Long {route}", duration=None))
        cloud.fail(route, "status", status=404, when="before")
        cancelled = Lifecycle(clocked(client, FakeClock()), config).cancel(run["id"])
        assert cancelled["is_cancelled"]
    failed = started_run(cloud, cloud.create_job("Failing", outcome="error"))
    cloud.wait_for_run(failed["id"] or 0)
    cloud.fail("get_run", "status", status=404)
    again = Lifecycle(clocked(client, FakeClock()), config).retry(failed["id"])
    assert again["id"] != failed["id"]


def test_the_last_check_is_made_when_the_time_is_up(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Slow", duration=None))
    clock = FakeClock()
    clock.at(29.5, partial(cloud.finish_run, run["id"]))
    (ended,) = watch_runs(clocked(client, clock), [run], wait_seconds=60, timeout=30)
    assert ended["is_success"]
    assert clock.now <= 30.001


def test_the_error_for_a_running_run_shows_how_to_keep_waiting(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Slow", duration=None))
    with pytest.raises(DBTCloudRunTimeout) as caught:
        watch_runs(clocked(client, FakeClock()), [run], wait_seconds=10, timeout=5)
    assert "is still running after `timeout=5` seconds" in str(caught.value)
    assert f"get_dbt_cloud_run_status(run_id={run['id']})" in str(caught.value)
    assert caught.value.run_url == run["href"]


def test_a_clock_that_jumps_past_the_timeout_does_not_hide_the_end(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Slow", duration=None))
    clock = FakeClock()

    def jump() -> None:
        clock.now += 1e6
        cloud.finish_run(run["id"])

    clock.at(5, jump)
    (ended,) = watch_runs(clocked(client, clock), [run], wait_seconds=10, timeout=100)
    assert ended["is_success"]


def test_a_job_may_be_deleted_during_its_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Slow", duration=None)
    run = started_run(cloud, job)
    clock = FakeClock()

    def delete() -> None:
        headers = {"Authorization": f"Token {cloud.api_token}"}
        url = f"{client.base_api_url}/accounts/{cloud.account_id}/jobs/{job}/"
        assert requests.delete(url, headers=headers, timeout=60).ok

    clock.at(2, delete)
    clock.at(4, partial(cloud.finish_run, run["id"]))
    (ended,) = watch_runs(clocked(client, clock), [run], wait_seconds=10, timeout=100)
    assert ended["is_success"]


def test_an_outage_at_the_end_does_not_hide_the_timeout(answering: Answers) -> None:
    with pytest.raises(DBTCloudRunTimeout) as caught:
        watch(answering(refused(503)), FakeClock(), timeout=50)
    assert isinstance(caught.value.__cause__, DBTCloudServerError)


def test_many_runs_are_watched_with_one_request_per_hundred(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    runs = [started_run(cloud, cloud.create_job(str(i), duration=None)) for i in range(101)]
    clock = FakeClock()
    for number, run in enumerate(runs):
        clock.at(2 if number < 50 else 3, partial(cloud.finish_run, run["id"]))
    before = len(cloud.requests)
    ended = watch_runs(clocked(client, clock), runs, wait_seconds=10, timeout=60, are_new=True)
    assert [run["id"] for run in ended] == [run["id"] for run in runs]
    assert all(run["is_success"] for run in ended)
    asked = cloud.requests[before:]
    assert all(request.method == "GET" for request in asked)
    assert len(asked) <= 2 * len(clock.sleeps)


def test_a_list_without_an_end_does_not_prolong_the_watch(httpserver: HTTPServer) -> None:
    def page(request: Request) -> Response:
        assert len(httpserver.log) < 10
        first = 1 + int(request.args.get("offset", 0))
        data = [{"id": number, "status": 10} for number in range(first, first + 100)]
        return json_response({"data": data, "extra": {"pagination": {"total_count": 10**9}}})

    httpserver.expect_request("/api/v2/accounts/1/runs/").respond_with_handler(page)
    runs = [Run(id=5, status=1), Run(id=6, status=1)]
    with DBTCloudClientV2("a-token", 1, httpserver.url_for("/")) as client:
        ended = watch_runs(clocked(client, FakeClock()), runs, wait_seconds=10, timeout=60)
    assert [run["status"] for run in ended] == [10, 10]
    assert len(httpserver.log) == 1


def test_a_missing_run_of_many_ends_the_watch(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Slow", duration=None))
    gone = Run(id=id_of(run) + 1_000_000, status=1)
    with pytest.raises(DBTCloudNotFoundError):
        watch_runs(clocked(client, FakeClock()), [run, gone], wait_seconds=10, timeout=5)


def test_the_end_of_a_run_is_read_from_its_flags() -> None:
    cases: list[tuple[Run, bool]] = [
        (Run(is_complete=True), True),
        (Run(is_complete=False, in_progress=False), False),
        (Run(status=99, is_complete=False), False),
        (Run(status=99, is_complete=True), True),
        (Run(in_progress=True), False),
        (Run(in_progress=False), True),
        (Run(status=3), False),
        (Run(status=20), True),
        (Run(), False),
        (cast(Run, {"status": None, "is_complete": None}), False),
        (cast(Run, {"status": 10, "is_complete": None, "in_progress": None}), True),
    ]
    for run, is_ended in cases:
        assert has_finished(run) is is_ended, run


def test_a_cancellation_is_confirmed_at_once_if_it_has_taken_effect(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    runs = [started_run(cloud, cloud.create_job("Long", duration=None)) for _ in range(2)]
    clock = FakeClock()
    watch = cancel_and_confirm(clocked(client, clock), runs)
    assert all(run["is_cancelled"] for run in watch.runs.values())
    assert clock.now == pytest.approx(0)


def test_a_time_is_read_in_each_form_of_the_api() -> None:
    cases: list[tuple[Any, float | None]] = [
        ("2026-01-31 06:00:00.000000+00:00", 1769839200.0),
        ("2026-01-31T06:00:00.000000Z", 1769839200.0),
        ("2026-01-31 06:00:00", 1769839200.0),
        ("yesterday", None),
        (1769839200, None),
        (None, None),
    ]
    for created, expected in cases:
        assert time_of(Run(created_at=created), "created_at") == expected


def test_each_end_has_its_error() -> None:
    cases: list[tuple[Run, type[Exception] | None]] = [
        (DONE, None),
        (QUEUED, None),
        (Run(status=10), None),
        (Run(id=5, status=20, is_complete=True, is_error=True), DBTCloudRunFailed),
        (Run(id=5, status=30, is_complete=True, is_cancelled=True), DBTCloudRunCancelled),
        (Run(id=5, status=30), DBTCloudRunCancelled),
        (Run(id=5, status=99, is_complete=True), DBTCloudRunFailed),
        (Run(id=5, status=99, is_complete=True, is_success=True), None),
        # a payload that contradicts itself is no success
        (Run(id=5, status=20, is_success=True), DBTCloudRunFailed),
        (Run(id=5, status=30, is_success=True), DBTCloudRunCancelled),
        (Run(id=5, status=10, is_success=False), DBTCloudRunFailed),
        (Run(id=5, status=10, is_success=True, is_error=True), DBTCloudRunFailed),
        (Run(id=5, status=10, is_success=True, is_cancelled=True), DBTCloudRunCancelled),
    ]
    for run, kind in cases:
        error = run_error(run)
        assert (error and type(error)) is kind, run
