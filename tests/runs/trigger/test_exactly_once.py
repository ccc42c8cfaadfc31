"""There is exactly one run even if responses are lost, and its outcome is reported."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudTriggerUnknownError,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import NewTimer
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.retry.methods import retry_once
from dlt_dbtcloud.runs.trigger.history import Found, find_created, recent_runs
from dlt_dbtcloud.runs.trigger.start import start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.watch import cancel_and_confirm
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, FakeTimer, clocked, until
from tests.support.past_runs import started_run
from tests.support.processes.threads import in_background

LOAD = LastLoad("flights", "1732150000.123")


@dataclass
class Fault:
    """A fault as the emulator takes it."""

    kind: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Seconds for a run, which must not end before a late request takes effect."""
        return max(2.0, self.options["seconds"] if self.kind == "late" else 0.0)

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{k}={v}" for k, v in self.options.items())])


SLOW = Fault("slow", {"seconds": 0.02})
HANG = Fault("hang", {"seconds": 0.02})
LATE = [Fault("late", {"seconds": seconds}) for seconds in (0.2, 2.0, 12.0)]
COOL_DOWNS = Fault("rate_limit", {"retry_after": 7, "calls": 2})
# errors that a call distinguishes, each more often than once
ERRORS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 503, "calls": 2}),
    ("html", {"status": 404, "calls": 2}),
    ("cut", {"calls": 2}),
]
BEFORE, AFTER = (
    [Fault(kind, {"when": when, **options}) for kind, options in ERRORS]
    for when in ("before", "after")
)
# others are read as one of them, whatever is requested
READ_ALIKE = [
    Fault("status", {"status": 500}),
    Fault("html", {"status": 502}),
    Fault("html", {"status": 200}),
    Fault("half"),
    Fault("cut"),
    HANG,
    Fault("rate_limit"),
]
FAULTS_OF_POSTS = [*BEFORE, *AFTER, SLOW, COOL_DOWNS]
# a GET has no effect, before or after its response
FAULTS_OF_GETS = [*AFTER, HANG, SLOW, LATE[0], COOL_DOWNS]


@pytest.fixture
def new_timer(clock: FakeClock) -> NewTimer:
    """Let the time of the embedded dbt Cloud pass with that of the client."""
    return partial(FakeTimer, clock)


@pytest.fixture
def config(cloud: DBTCloudEmulator) -> DBTCloudConfiguration:
    resolved = DBTCloudConfiguration(raise_on_failure=True)
    resolved.wait_seconds = 10.0
    return resolved


def run(
    client: DBTCloudClientV2,
    job: int,
    config: DBTCloudConfiguration,
    load: LastLoad | None = None,
    clock: FakeClock | None = None,
) -> Run:
    clock = clock or FakeClock()
    trigger = Trigger(str(job), {"cause": "a test"}, load, timeout=config.timeout)
    return Lifecycle(clocked(client, clock), config).run_all([trigger])[0]


def kept(cloud: DBTCloudEmulator) -> list[Run]:
    return [run for run in cloud.runs if not run["is_cancelled"]]


@pytest.mark.parametrize(
    ("fault", "is_bound"),
    [(LATE[-1], False), *((fault, True) for fault in (BEFORE[0], *LATE, COOL_DOWNS))],
    ids=str,
)
def test_a_call_creates_exactly_one_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    clock: FakeClock,
    fault: Fault,
    is_bound: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = cloud.create_job("Nightly", duration=fault.duration)
    cloud.fail("trigger_job", fault.kind, **fault.options)
    ended = run(client, job, config, LOAD if is_bound else None, clock)
    assert ended["is_success"]
    assert [run["id"] for run in kept(cloud)] == [ended["id"]]
    assert ("trigger_job", fault.kind) in cloud.struck
    assert cloud.api_token not in caplog.text


def test_a_trigger_creates_exactly_one_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = []
    loads = [*((fault, None) for fault in (*FAULTS_OF_POSTS, *READ_ALIKE)), (AFTER[0], LOAD)]
    for fault, load in loads:
        job = cloud.create_job("Nightly", duration=None)
        cloud.fail("trigger_job", fault.kind, **fault.options)
        trigger = Trigger(str(job), {"cause": str(fault)}, load, timeout=600.0)
        ids.append(start(clocked(client, clock), trigger).run["id"])
        assert {*cloud.struck} == {("trigger_job", fault.kind)}
        cloud.heal()
    assert [run["id"] for run in kept(cloud)] == ids
    assert len(cloud.runs) == len(ids)
    assert cloud.api_token not in caplog.text


def test_a_failed_status_check_is_not_a_failed_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run of a load, as each check of it is followed by a search for earlier runs."""
    for number, fault in enumerate(FAULTS_OF_GETS, 1):
        job = cloud.create_job("Nightly", duration=None)
        cloud.fail("get_run", fault.kind, **fault.options)
        clock.at(clock.now + 2, lambda: cloud.finish_run(cloud.runs[-1]["id"]))
        assert run(client, job, config, LOAD, clock)["is_success"], fault
        assert len(cloud.runs) == number
        assert {*cloud.struck} == {("get_run", fault.kind)}
        cloud.heal()
    assert cloud.api_token not in caplog.text


def test_a_retry_creates_exactly_one_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, fault in enumerate([*FAULTS_OF_POSTS, LATE[-1]], 1):
        failed = started_run(cloud, cloud.create_job("Flaky", outcome=["error", "success"]))
        cloud.fail("retry_run", fault.kind, **fault.options)
        retried = retry_once(clocked(client, clock), failed, timeout=600)
        assert retried["retrying_run_id"] == failed["id"]
        assert len(cloud.runs) == 2 * number, fault
        assert {*cloud.struck} == {("retry_run", fault.kind)}
        cloud.heal()
    assert cloud.api_token not in caplog.text


def test_a_cancellation_is_confirmed(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, fault in enumerate([*FAULTS_OF_POSTS, LATE[0]], 1):
        running = started_run(cloud, cloud.create_job("Long", duration=None))
        cloud.fail("cancel_run", fault.kind, **fault.options)
        watch = cancel_and_confirm(clocked(client, clock), [running], timeout=600)
        assert watch.runs[id_of(running)]["is_cancelled"], fault
        assert not watch.errors
        assert len(cloud.runs) == number
        assert {*cloud.struck} == {("cancel_run", fault.kind)}
        cloud.heal()
    assert cloud.api_token not in caplog.text


def test_a_refusal_after_a_lost_response_does_not_hide_a_late_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly")
    clock = FakeClock()
    trigger = Trigger(str(job), {"cause": "a test"})
    cloud.fail("trigger_job", "status", status=503, when="before")
    cloud.fail("trigger_job", "status", status=400, when="before", skip=1)
    clock.at(20.0, lambda: client.start_job_run(job, cloud.requests[0].json))
    assert start(clocked(client, clock), trigger).run["id"] == cloud.runs[0]["id"]
    assert len(cloud.runs) == 1


def lost(cloud: DBTCloudEmulator) -> Trigger:
    """Return a trigger whose run is accepted, while the response to it is lost."""
    job = cloud.create_job("Nightly", duration=None)
    cloud.fail("trigger_job", "status", status=503)
    return Trigger(str(job), {"cause": "a test"}, timeout=3600.0)


def test_a_search_that_hangs_for_a_minute_is_repeated(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger, clock = lost(cloud), FakeClock()
    cloud.fail("list_runs", "hang", seconds=3600)

    def pass_a_minute() -> None:
        until(lambda: ("list_runs", "hang") in cloud.struck)
        clock.now += 61
        cloud.heal()

    passing = in_background(pass_a_minute)
    assert start(clocked(client, clock), trigger).run["id"] == cloud.runs[0]["id"]
    passing.result()
    assert len(cloud.runs) == 1


def test_a_search_ends_after_repeated_failures_in_a_row(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger, clock = lost(cloud), FakeClock()
    cloud.fail("list_runs", "status", calls=None)
    with pytest.raises(
        DBTCloudTriggerUnknownError, match="The last search for it failed"
    ) as caught:
        start(clocked(client, clock), trigger)
    assert 300 < clock.now < 600
    assert caught.value.cause == trigger.cause
    assert len(cloud.runs) == 1


def test_an_answered_search_forgets_the_failures_before_it(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger, clock = lost(cloud), FakeClock()
    # three answers that lack the run, and eight failures in a row before each answer
    for skip in (0, 9, 18, 27):
        cloud.fail("list_runs", "status", skip=skip, calls=8)
    cloud.fail("list_runs", "lag", seconds=3600, calls=30)
    assert start(clocked(client, clock), trigger).run["id"] == cloud.runs[0]["id"]
    assert clock.now > 300


@pytest.mark.parametrize("fault", ["status", "lag"])
def test_a_search_ends_by_the_timeout(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, fault: Any
) -> None:
    trigger, clock = replace(lost(cloud), timeout=10.0), FakeClock()
    cloud.fail("list_runs", fault, seconds=3600, calls=None)
    with pytest.raises(DBTCloudTriggerUnknownError):
        start(clocked(client, clock), trigger)
    assert clock.now <= 10.001
    assert len(cloud.runs) == 1


def test_a_search_that_hangs_ends_by_the_timeout(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlt_dbtcloud.client.outages._SHORTEST_REQUEST", 0.1)
    trigger, clock = replace(lost(cloud), timeout=1.5), FakeClock()
    cloud.fail("list_runs", "hang", seconds=3600)
    cloud.fail("list_runs", "lag", seconds=3600, calls=None)
    with pytest.raises(DBTCloudTriggerUnknownError):
        start(clocked(client, clock), trigger)
    assert len(cloud.runs) == 1


def at(seconds: float) -> str:
    moment = datetime.fromtimestamp(time.time() + seconds, timezone.utc)
    return moment.isoformat(sep=" ", timespec="microseconds")


CAUSE = "a test [dlt:3f9c2ab41d07]"
UNSHOWN: dict[str, Any] = {
    "null": {"trigger": None},
    "absent": {},
    "empty": {"trigger": {"cause": ""}},
    "cut": {"trigger": {"cause": CAUSE[:-4]}},
    "changed": {"trigger": {"cause": "A Test [dlt:3f9c2ab41d07]"}},
}
OTHERS: dict[str, Any] = {
    "quoted": {"trigger": {"cause": "redo of [dlt:3f9c2ab41d07] by hand"}},
    "same words": {"trigger": {"cause": "a test"}},
    "another call": {"trigger": {"cause": "a test [dlt:000000000000]"}},
    "retried by the API": {"trigger": {"cause": CAUSE}, "retrying_run_id": 5},
    "old": {"trigger": None, "created_at": at(-86400)},
}


class Answers:
    """A dbt Cloud that loses the response to the first trigger, and then lists this run."""

    def __init__(
        self,
        server: HTTPServer,
        listed: Any,
        read: Any,
        path: str = "jobs/3/run/",
        first: Mapping[str, Any] | None = None,
        clock: FakeClock | None = None,
    ) -> None:
        self.posts = 0
        self._clock = clock or FakeClock()
        self._first = first
        self._server = server
        server.clear()
        shown = {"id": 7, "status": 1, "created_at": at(1)}
        server.expect_request(f"{RUNS}7/").respond_with_json(_answer({**shown, **read}))
        server.expect_request(RUNS).respond_with_json(_answer([{**shown, **listed}]))
        server.expect_request(f"/api/v2/accounts/1/{path}").respond_with_handler(self._post)

    def _post(self, _: Request) -> Response:
        self.posts += 1
        if self._first and self.posts == 1:
            return Response(json.dumps(_answer({"status": 1, **self._first})))
        body = _answer({"id": 9, "status": 1, "trigger": {"cause": CAUSE}})
        return Response(json.dumps(body), 503 if self.posts == 1 else 200)

    def client(self) -> DBTCloudClientV2:
        return DBTCloudClientV2("a-token", 1, self._server.url_for("/"))

    def start(self) -> Run:
        with self.client() as client:
            trigger = Trigger("3", {"cause": "a test"}, call_key="3f9c2ab41d07")
            return start(clocked(client, self._clock), trigger).run

    def search(self, client: DBTCloudClientV2) -> Found:
        """Search once for the run of the trigger."""
        trigger = Trigger("3", {"cause": "a test"}, call_key="3f9c2ab41d07")
        posted = self._clock.time()
        return find_created(
            client,
            recent_runs(client, trigger.job_id, posted),
            posted,
            created=trigger.created,
            may_be_created=trigger.may_have_created,
        )

    def retry(self) -> Run:
        with self.client() as client:
            failed = Run(id=5, job_definition_id=3)
            return retry_once(clocked(client, FakeClock()), failed, timeout=600)


RUNS = "/api/v2/accounts/1/runs/"


def _answer(data: Any) -> dict[str, Any]:
    pages = {"extra": {"pagination": {"total_count": 1}}} if isinstance(data, list) else {}
    return {"status": {"code": 200, "is_success": True}, "data": data, **pages}


def search(server: HTTPServer, listed: Sequence[Any], read: Sequence[Any]) -> list[Found]:
    """Search once for the lost run with each listed run and its payload when it is read."""
    with DBTCloudClientV2("a-token", 1, server.url_for("/")) as client:
        return [
            Answers(server, each, payload).search(client)
            for each, payload in zip(listed, read, strict=True)
        ]


NOTHING = Found([], [])
UNLISTED = list(UNSHOWN.values())


def test_a_run_whose_cause_is_not_listed_is_found_by_reading_it(httpserver: HTTPServer) -> None:
    shown = {"trigger": {"cause": CAUSE}}
    searched = search(httpserver, UNLISTED, len(UNLISTED) * [shown])
    for name, found in zip(UNSHOWN, searched, strict=True):
        assert [run["id"] for run in found.runs] == [7], name
        assert not found.unclear, name


def test_a_run_whose_cause_is_not_shown_is_unclear(httpserver: HTTPServer) -> None:
    for name, found in zip(UNSHOWN, search(httpserver, UNLISTED, UNLISTED), strict=True):
        assert not found.runs, name
        assert [run["id"] for run in found.unclear] == [7], name


def test_a_run_of_another_cause_is_not_found(httpserver: HTTPServer) -> None:
    others = list(OTHERS.values())
    unread = len(others) * [{"trigger": None}]
    assert search(httpserver, others, unread) == len(others) * [NOTHING]


def test_a_run_of_another_cause_is_not_found_by_reading_it(httpserver: HTTPServer) -> None:
    read = list(OTHERS.values())
    # the cause is listed as null, or as that of another call
    forms = cycle([UNSHOWN["null"], {}])
    listed = [{**other, **form} for other, form in zip(read, forms, strict=False)]
    assert search(httpserver, listed, read) == len(read) * [NOTHING]


def test_a_new_run_whose_cause_is_not_shown_may_be_the_lost_one(httpserver: HTTPServer) -> None:
    answers = Answers(httpserver, {"trigger": None}, {"trigger": None})
    with pytest.raises(DBTCloudTriggerUnknownError, match=r"It may be run 7, whose cause"):
        answers.start()
    assert answers.posts == 1


def test_a_run_whose_cause_is_not_listed_may_be_the_lost_one(httpserver: HTTPServer) -> None:
    answers = Answers(httpserver, {"trigger": None}, {"trigger": {"cause": CAUSE}})
    assert answers.start()["id"] == 7
    assert answers.posts == 1


def test_a_run_of_another_cause_is_not_the_lost_one(httpserver: HTTPServer) -> None:
    answers = Answers(httpserver, {"trigger": None}, OTHERS["another call"])
    assert answers.start()["id"] == 9
    assert answers.posts == 2


RETRIES = [
    ({"retrying_run_id": 5}, 7, 1),
    ({"trigger": {"cause": "x: retry of run 5 [dlt:3f9c2ab41d07]"}}, 7, 1),
    ({"retrying_run_id": None}, 9, 2),
    ({"trigger": {"cause": "By hand"}}, 9, 2),
]


@pytest.mark.parametrize(("read", "run_id", "posts"), RETRIES)
def test_a_run_that_may_be_the_lost_retry_is_read(
    httpserver: HTTPServer, read: Any, run_id: int, posts: int
) -> None:
    answers = Answers(httpserver, {"trigger": None}, read, "runs/5/retry/")
    assert answers.retry()["id"] == run_id
    assert answers.posts == posts


def test_a_run_that_does_not_show_what_it_retries_may_be_the_lost_retry(
    httpserver: HTTPServer,
) -> None:
    answers = Answers(httpserver, {"trigger": None}, {"trigger": None}, "runs/5/retry/")
    with pytest.raises(DBTCloudTriggerUnknownError, match="It may be run 7, whose cause"):
        answers.retry()
    assert answers.posts == 1


FOREIGN: dict[str, Any] = {
    "of another job": {"id": 8, "job_definition_id": 4},
    "of another call": {"id": 8, "trigger": {"cause": "a test [dlt:000000000000]"}},
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_response_with_the_run_of_another_trigger_is_a_lost_one(
    httpserver: HTTPServer, foreign: dict[str, Any]
) -> None:
    answers = Answers(httpserver, {"trigger": {"cause": CAUSE}}, {}, first=foreign)
    assert answers.start()["id"] == 7
    assert answers.posts == 1


def test_a_response_with_the_retry_of_another_run_is_a_lost_one(httpserver: HTTPServer) -> None:
    foreign = {"id": 8, "retrying_run_id": 4}
    answers = Answers(httpserver, {"retrying_run_id": 5}, {}, "runs/5/retry/", first=foreign)
    assert answers.retry()["id"] == 7
    assert answers.posts == 1


@pytest.mark.parametrize("hours", [2, 10])
def test_a_clock_that_is_hours_ahead_does_not_hide_a_run_without_its_cause(
    httpserver: HTTPServer, hours: int
) -> None:
    answers = Answers(httpserver, {"trigger": None}, {}, clock=FakeClock(ahead=hours * 3600))
    with pytest.raises(DBTCloudTriggerUnknownError, match="run 7"):
        answers.start()
    assert answers.posts == 1


def test_a_second_run_may_appear_after_a_lost_response(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    """The run that is found may be that of another process with the same load."""
    assert start(clocked(client, FakeClock()), lost(cloud)).was_lost
