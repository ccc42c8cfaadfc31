"""Processes that trigger the same load keep one run, although the list of runs lags."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.duplicates import EarlierRuns, cancel_duplicates, keep_earliest
from dlt_dbtcloud.runs.trigger.start import Started, start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, FastClock, clocked, until
from tests.support.past_runs import started_run
from tests.support.processes.threads import in_background

LOAD = LastLoad("flights", "1732150000.123")


def lists(cloud: DBTCloudEmulator) -> int:
    return sum(request.path.endswith("/runs/") for request in cloud.requests)


def unblocked(cloud: DBTCloudEmulator) -> Run:
    """Return the second run, without the id of the first one."""
    return Run(**{**cloud.runs[1], "blocked_by": []})


@pytest.fixture
def second(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> tuple[FakeClock, EarlierRuns]:
    """Return the search of a process whose list lacks the run of another one."""
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"}, LOAD)
    started_run(cloud, int(trigger.job_id), cause=trigger.cause)
    cloud.fail("list_runs", "lag", seconds=3600, calls=None)
    clock = FakeClock()
    late = clocked(client, clock)
    started = start(late, trigger)
    assert started.is_new
    return clock, EarlierRuns(late, trigger, started)


def test_an_earlier_run_is_adopted_when_the_list_shows_it(
    cloud: DBTCloudEmulator, second: tuple[FakeClock, EarlierRuns]
) -> None:
    clock, earlier_runs = second
    clock.now = 9.0
    assert earlier_runs.look(unblocked(cloud)) is None
    cloud.heal()
    clock.now = 15.0
    found = earlier_runs.look(unblocked(cloud))
    assert found is not None
    assert found.run["id"] == cloud.runs[0]["id"]
    assert [run["is_cancelled"] for run in cloud.runs] == [False, True]


def test_earlier_runs_are_searched_for_a_few_times(
    cloud: DBTCloudEmulator, second: tuple[FakeClock, EarlierRuns]
) -> None:
    clock, earlier_runs = second
    before = lists(cloud)
    for seconds in range(100):
        clock.now = float(seconds)
        assert earlier_runs.look(unblocked(cloud)) is None
    assert lists(cloud) == before + 4


@pytest.mark.parametrize("blocked_by", [None, [7], ["x"]])
def test_an_odd_blocker_is_ignored(
    cloud: DBTCloudEmulator, second: tuple[FakeClock, EarlierRuns], blocked_by: Any
) -> None:
    clock, earlier_runs = second
    run = Run(**{**cloud.runs[1], "blocked_by": blocked_by})
    assert earlier_runs.look(run) is None
    cloud.heal()
    clock.now = 20.0
    assert earlier_runs.look(run) is not None


def test_an_earlier_run_is_searched_for_when_the_new_one_has_ended(
    cloud: DBTCloudEmulator,
    second: tuple[FakeClock, EarlierRuns],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, earlier_runs = second
    cloud.heal()
    cloud.finish_run(id_of(cloud.runs[0]))
    cloud.finish_run(id_of(cloud.runs[1]))
    assert earlier_runs.look(cloud.runs[1]) is None
    first, late = cloud.runs
    assert f"Both run {first['id']} and run {late['id']} have built the same load." in caplog.text


def test_an_outage_of_the_search_does_not_end_it(
    cloud: DBTCloudEmulator, second: tuple[FakeClock, EarlierRuns]
) -> None:
    clock, earlier_runs = second
    cloud.heal()
    cloud.fail("list_runs", "status")
    clock.now = 20.0
    assert earlier_runs.look(unblocked(cloud)) is None
    assert earlier_runs.look(unblocked(cloud)) is not None


def test_a_run_of_a_single_call_has_no_earlier_ones(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger = Trigger("1", {"cause": "a test"})
    started = Started(Run(id=7, status=1), is_new=True)
    clock = FakeClock()
    earlier_runs = EarlierRuns(clocked(client, clock), trigger, started)
    clock.now = 20.0
    assert earlier_runs.look(Run(id=7, status=1, blocked_by=[5])) is None
    assert cloud.requests == []


def test_a_late_run_of_a_repeated_trigger_is_cancelled_after_an_adoption(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"}, LOAD)
    earlier, own, _ = (
        started_run(cloud, int(trigger.job_id), cause=trigger.cause) for _ in range(3)
    )
    started = Started(own, is_new=True, was_lost=True)
    found = EarlierRuns(clocked(client, FakeClock()), trigger, started).look(cloud.runs[1])
    assert found is not None
    assert found.run["id"] == earlier["id"]
    cancel_duplicates(client, trigger, found, found.run)
    assert [run["is_cancelled"] for run in cloud.runs] == [False, True, True]


def test_workers_whose_lists_lag_end_with_one_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    config = DBTCloudConfiguration()
    config.wait_seconds = 10.0
    cloud.fail("list_runs", "lag", seconds=3600, calls=None)

    def work() -> Run:
        trigger = Trigger(str(job), {"cause": "x"}, LOAD)
        return Lifecycle(clocked(client, FastClock()), config).run_all([trigger])[0]

    first = in_background(work)
    until(lambda: len(cloud.runs) == 1)
    second = in_background(work)
    until(lambda: len(cloud.runs) == 2 and cloud.runs[1]["is_cancelled"])
    cloud.finish_run(id_of(cloud.runs[0]))
    assert first.result()["id"] == second.result()["id"] == cloud.runs[0]["id"]


@pytest.mark.parametrize("is_own", [True, False])
def test_a_worker_whose_run_another_one_cancels_waits_for_the_run_that_is_kept(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, is_own: bool
) -> None:
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"}, LOAD)
    config = DBTCloudConfiguration()
    config.wait_seconds = 10.0
    if not is_own:
        started_run(cloud, int(trigger.job_id), cause=trigger.cause)

    def work() -> Run:
        return Lifecycle(clocked(client, FastClock()), config).run_all([trigger])[0]

    waiting = in_background(work)
    until(lambda: cloud.runs)
    first = cloud.runs[0]
    until(lambda: any(each.path.endswith(f"/runs/{first['id']}/") for each in cloud.requests))
    kept = started_run(cloud, int(trigger.job_id), cause=trigger.cause)
    client.cancel_run(first["id"])
    until(lambda: cloud.runs[0]["is_cancelled"])
    cloud.finish_run(id_of(kept))
    ended = waiting.result()
    assert (ended["id"], ended["is_success"]) == (kept["id"], True)
    assert len(cloud.runs) == 2


@pytest.mark.parametrize(("lists", "is_found"), [(3, True), (None, False)])
def test_the_kept_run_is_searched_for_while_lists_lag(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, lists: int | None, is_found: bool
) -> None:
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"}, LOAD)
    first = started_run(cloud, int(trigger.job_id), cause=trigger.cause)

    def cancel() -> None:
        kept = started_run(cloud, int(trigger.job_id), cause=trigger.cause)
        client.cancel_run(first["id"])
        cloud.wait_for_run(id_of(first))
        cloud.finish_run(id_of(kept))
        cloud.fail("list_runs", "lag", seconds=3600, calls=lists)

    clock = FakeClock()
    clock.at(10, cancel)
    lifecycle = Lifecycle(clocked(client, clock), DBTCloudConfiguration())
    ended = lifecycle.run_all([trigger])[0]
    kept = cloud.runs[1]
    assert ended["id"] == (kept["id"] if is_found else first["id"])
    assert bool(ended["is_success"]) is is_found
    # a person may have cancelled the run
    assert len(cloud.runs) == 2


def test_a_kept_run_that_cannot_be_searched_for_hides_no_other(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    triggers = [
        Trigger(str(cloud.create_job(name, duration=None)), {"cause": "a test"}, LOAD)
        for name in ("Hourly", "Nightly")
    ]
    first = [client.start_job_run(each.job_id, {"cause": each.cause}) for each in triggers]

    def cancel() -> None:
        kept = [client.start_job_run(each.job_id, {"cause": each.cause}) for each in triggers]
        for run in first:
            client.cancel_run(run["id"])
            cloud.wait_for_run(id_of(run))
        for run in kept:
            cloud.finish_run(id_of(run))
        # the next list is that of a status check
        cloud.fail("list_runs", "status", status=403, skip=1)

    clock = FakeClock()
    clock.at(10, cancel)
    ended = Lifecycle(clocked(client, clock), DBTCloudConfiguration()).run_all(triggers)
    assert [run["id"] for run in ended] == [first[0]["id"], cloud.runs[3]["id"]]
    assert f"Run {first[0]['id']} " in caplog.text
    assert "may be a cancelled duplicate. " in caplog.text
    assert cloud.struck == [("list_runs", "status")]


def test_a_cool_down_keeps_no_duplicate_of_an_earlier_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"}, LOAD)
    first = started_run(cloud, int(trigger.job_id), cause=trigger.cause)
    # another worker's run is not listed at first, and the later one cannot be cancelled for minutes
    cloud.fail("list_runs", "lag", seconds=3600)
    cloud.fail("list_runs", "rate_limit", retry_after=300, skip=1, calls=3)
    cloud.fail("cancel_run", "rate_limit", retry_after=300, calls=3)
    clock = FakeClock()
    late = clocked(client, clock)
    started = keep_earliest(late, trigger, start(late, trigger))
    assert started.run["id"] == first["id"]
    assert [run["is_cancelled"] for run in cloud.runs] == [False, True]
    assert clock.now > 600


def test_a_duplicate_that_has_ended_before_it_is_found_is_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = Trigger(str(cloud.create_job("Nightly")), {"cause": "a test"}, LOAD)
    first = started_run(cloud, int(trigger.job_id), cause=trigger.cause)
    cloud.fail("list_runs", "lag", seconds=3600)
    own = start(client, trigger)
    kept = keep_earliest(client, trigger, own)
    assert (kept.run["id"], kept.run["is_success"]) == (own.run["id"], True)
    names = f"run {first['id']} and run {own.run['id']}"
    assert f"Both {names} have built the same load." in caplog.text
    assert not any(each.path.endswith("/cancel/") for each in cloud.requests)


def test_a_cool_down_keeps_no_duplicate_of_a_lost_trigger(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    clock = FakeClock()
    trigger = Trigger(str(job), {"cause": "a test"})
    cloud.fail("trigger_job", "status", status=503, when="before")
    # the searches after the first response, and not those after the second
    cloud.fail("list_runs", "rate_limit", retry_after=300, skip=4, calls=3)
    cloud.fail("cancel_run", "rate_limit", retry_after=300, calls=3)
    clock.at(100.0, lambda: client.start_job_run(job, cloud.requests[0].json))
    run = start(clocked(client, clock), trigger).run
    assert [each["is_cancelled"] for each in cloud.runs] == [False, True]
    assert run["id"] == cloud.runs[0]["id"]


def test_a_cool_down_does_not_end_the_search_for_a_lost_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    clock = FakeClock()
    trigger = Trigger(str(cloud.create_job("Nightly", duration=None)), {"cause": "a test"})
    cloud.fail("trigger_job", "cut")
    cloud.fail("list_runs", "rate_limit", calls=20)
    assert start(clocked(client, clock), trigger).run["id"] == cloud.runs[0]["id"]
    assert clock.now > 600
    assert len(cloud.runs) == 1


def test_a_later_run_of_a_load_that_failed_is_not_a_duplicate(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    trigger = Trigger(str(job), {"cause": "a test"}, LOAD)
    failed, _ = (started_run(cloud, job, cause=trigger.cause) for _ in range(2))
    cloud.finish_run(id_of(failed), "error")
    started = Started(failed, is_new=True, was_lost=True)
    cancel_duplicates(client, trigger, started, client.get_run_status(failed["id"]))
    assert not cloud.runs[1]["is_cancelled"]
