"""A load has one successful run, and each of many jobs has its own run."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    InvalidCredentialsException,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.artifacts.results import ReadRuns
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad, last_load
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.parts import Part, report
from dlt_dbtcloud.runs.trigger.exactly_once import keep_one
from dlt_dbtcloud.runs.trigger.start import skipped_run, start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.watch import Watch
from dlt_dbtcloud.typing import Run
from tests.support.clock import PATIENCE, FakeClock, FastClock, clocked, until
from tests.support.dbt.nodes import FAILED_FILES
from tests.support.past_runs import ended_run, started_run
from tests.support.processes.threads import in_background, interrupting


def cause_of(run: Run) -> str:
    return (run["trigger"] or {})["cause"]


def test_a_bound_call_names_its_load_with_as_few_requests_as_possible(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=loaded_pipeline)
    (load_id,) = loaded_pipeline.list_completed_load_packages()
    expected = f"Triggered via API: dlt pipeline flights, load {load_id} [dlt:"
    assert cause_of(cloud.runs[0]).startswith(expected)
    asked = [(request.method, request.path.split("/")[5]) for request in cloud.requests]
    # the last one is for the warnings in the log
    assert asked == [("GET", "runs"), ("POST", "jobs"), ("GET", "runs"), ("GET", "runs")]


def test_a_load_with_a_successful_run_gets_no_other(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly")
    first = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    again = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    assert again["id"] == first["id"]
    assert len(cloud.runs) == 1
    load = last_load(loaded_pipeline)
    assert load is not None
    later = Trigger(str(job), {"cause": "x"}, replace(load, load_id=f"{load.began + 1:.5f}"))
    assert start(client, later).run["id"] != first["id"]
    # a run with other overrides is another run
    options: Any = {"data": {"schema_override": "ci"}, "wait_for_outcome": False}
    other = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, **options)
    assert other["id"] == cloud.runs[2]["id"]


def test_a_run_in_flight_is_joined(cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline) -> None:
    job = cloud.create_job("Nightly", duration=None)
    first = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, wait_for_outcome=False)

    def finish() -> None:
        until(lambda: any(f"/runs/{first['id']}/" in asked.path for asked in cloud.requests))
        cloud.finish_run(first["id"])

    finishing = in_background(finish)
    again = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    finishing.result()
    assert again["id"] == first["id"]
    assert again["is_success"]


@pytest.mark.parametrize("outcome", ["error", "cancelled"])
def test_an_unsuccessful_run_is_followed_by_another(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, outcome: Any
) -> None:
    job = cloud.create_job("Flaky", outcome=[outcome, "success"])
    trigger = Trigger(str(job), {"cause": "x"}, LastLoad("flights", "1732150000.123"))
    first, again, found = (
        Lifecycle(clocked(client, FakeClock()), DBTCloudConfiguration()).run_all([trigger])[0]
        for _ in range(3)
    )
    assert not first["is_success"]
    assert again["is_success"]
    assert found["id"] == again["id"]
    assert len(cloud.runs) == 2


def test_a_lost_response_after_a_failed_run_does_not_return_the_failed_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "success"])
    config = DBTCloudConfiguration()
    load = LastLoad("flights", "1732150000.123")
    for expected in ("Error", "Success"):
        cloud.fail("trigger_job", "cut", when="after")
        trigger = Trigger(str(job), {"cause": "x"}, load)
        (run,) = Lifecycle(clocked(client, FakeClock()), config).run_all([trigger])
        assert run["status_humanized"] == expected
    assert len(cloud.runs) == 2


def test_simultaneous_workers_share_one_run(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    config = DBTCloudConfiguration()
    config.wait_seconds = 0.2
    # after dlt has set its level for the config
    caplog.set_level("INFO", logger="dlt")
    load = LastLoad("flights", "1732150000.123")
    together = threading.Barrier(3, timeout=PATIENCE)

    def work() -> Run:
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
            together.wait()
            trigger = Trigger(str(job), {"cause": "x"}, load)
            return Lifecycle(client, config).run_all([trigger])[0]

    def kept() -> list[int | None]:
        return [run["id"] for run in cloud.runs if not run["is_cancelled"]]

    def waited_for() -> dict[int | None, str]:
        """Return the run that each thread logged last as its own."""
        logged = [(each.thread, each.getMessage()) for each in list(caplog.records)]
        named = [
            (thread, re.search(r"(?:has run|^Triggered run|^Run) (\d+) ", text))
            for thread, text in logged
        ]
        return {thread: found[1] for thread, found in named if found}

    workers = [in_background(work) for _ in range(3)]
    until(lambda: len(waited_for()) == 3 and len({*waited_for().values()}) == 1 == len(kept()))
    (run_id,) = kept()
    cloud.finish_run(run_id)
    ended = [worker.result() for worker in workers]
    assert {run["id"] for run in ended} == {run_id} == {*kept()}
    assert all(run["is_success"] for run in ended)


def test_a_pipeline_without_a_load_runs_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run: Any = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=pipeline)
    assert (run["id"], run["status_humanized"], run["is_complete"]) == (None, "Skipped", True)
    assert not run["is_error"]
    assert "`shop` has loaded nothing yet" in caplog.text
    assert cloud.requests == []


def test_each_of_many_jobs_runs_once_in_the_requested_order(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(str(i)) for i in range(3)]
    runs = run_dbt_cloud_jobs(reversed(jobs))
    assert [run["job_id"] for run in runs] == jobs[::-1]
    assert all(run["is_success"] for run in runs)
    assert len(cloud.runs) == 3


def test_a_failed_run_does_not_hide_the_others(cloud: DBTCloudEmulator) -> None:
    good = cloud.create_job("x")
    bad, worse = (cloud.create_job(name, outcome="error") for name in ("bad", "worse"))
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_jobs([good, bad, worse], raise_on_failure=True)
    assert 'of job "bad" failed' in str(caught.value)
    assert 'of job "worse" failed' in str(caught.value)
    assert len(cloud.runs) == 3


def test_a_job_that_cannot_be_triggered_does_not_stop_the_others(cloud: DBTCloudEmulator) -> None:
    good = cloud.create_job("x")
    with pytest.raises(DBTCloudNotFoundError):
        run_dbt_cloud_jobs([1, good])
    assert [run["is_success"] for run in cloud.runs] == [True]


def test_an_invalid_job_id_starts_no_run(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(InvalidCredentialsException, match="`job_id='x'` is not a dbt Cloud id"):
        run_dbt_cloud_jobs([cloud.create_job("x"), "x"])
    assert cloud.requests == []


def test_an_empty_list_of_jobs_starts_no_run(cloud: DBTCloudEmulator) -> None:
    assert run_dbt_cloud_jobs([]) == []


def test_a_job_that_is_listed_twice_runs_twice(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("x")
    runs = run_dbt_cloud_jobs([job, str(job)])
    assert [run["id"] for run in runs] == [run["id"] for run in cloud.runs]
    assert len(runs) == 2


@pytest.mark.parametrize("jobs", [5, "123", None, b"12"])
def test_a_value_that_is_not_a_list_of_jobs_is_refused(cloud: DBTCloudEmulator, jobs: Any) -> None:
    with pytest.raises(TypeError, match="Pass the ids of jobs"):
        run_dbt_cloud_jobs(jobs)
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("per_minute", "reuse_queued_run"),
    # with 0, each request is refused at first; with 1, each but the first
    [(0, False), (1, True)],
)
def test_a_call_waits_out_a_cool_down_before_each_of_its_requests(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, per_minute: int, reuse_queued_run: bool
) -> None:
    clock = FakeClock()
    job = cloud.create_job("Nightly", duration=None)
    others = [started_run(cloud, job) for _ in range(2)] if reuse_queued_run else []

    def finish() -> None:
        running = [run for run in cloud.runs if run["status_humanized"] == "Running"]
        for run in running:
            cloud.finish_run(run["id"])

    # the trigger and the searches for earlier runs come before
    for seconds in (1050, 1500):
        clock.at(seconds, finish)
    # the service documents no `Retry-After`; with it, there are fewer requests to wait out
    cloud.limit_requests(
        max(1, per_minute), clock=clock.monotonic, sends_retry_after=not per_minute
    )
    if not per_minute:
        other = client.patient(0)
        other.get_account()
        with pytest.raises(DBTCloudRateLimitError):
            other.get_account()
    config = DBTCloudConfiguration()
    config.wait_seconds = 300.0
    load = LastLoad("flights", f"{clock.time():.5f}")
    trigger = Trigger(str(job), {"cause": "x"}, load, reuse_queued_run=reuse_queued_run)
    (ended,) = Lifecycle(clocked(client, clock), config).run_all([trigger])
    assert ended["is_success"]
    assert len(cloud.runs) == max(1, len(others))
    assert ended["id"] == cloud.runs[-1]["id"]
    assert cloud.struck


def run_on_a_fake_clock(client: DBTCloudClientV2, jobs: list[int], **options: Any) -> list[Run]:
    """Run jobs with a time limit that a slow machine does not use up."""
    clock = FakeClock()
    config = DBTCloudConfiguration(timeout=10.0, **options)
    config.wait_seconds = 10.0
    triggers = [Trigger(str(job), {"cause": "x"}) for job in jobs]
    return Lifecycle(clocked(client, clock), config).run_all(triggers)


def test_the_error_of_many_jobs_reports_all_of_them(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    long = [cloud.create_job(f"long {i}", duration=None) for i in range(2)]
    bad, good = cloud.create_job("bad", outcome="error"), cloud.create_job("good")
    with pytest.raises(DBTCloudNotFoundError) as caught:
        run_on_a_fake_clock(client, [1, long[0], bad, good, long[1]], raise_on_failure=True)
    said = str(caught.value)
    ids = {run["job_id"]: run["id"] for run in cloud.runs}
    for job in long:
        assert f"get_dbt_cloud_run_status(run_id={ids[job]})" in said
    assert 'of job "bad" failed' in said
    assert f"Run {ids[good]} of job {good}: Success." in said
    assert "/jobs/1/run/" in said
    assert [run["job_id"] for run in caught.value.runs] == [long[0], bad, good, long[1]]
    assert [run["status_humanized"] for run in caught.value.runs] == [
        *("Running", "Error", "Success", "Running"),
    ]
    assert json.loads(json.dumps(caught.value.runs)) == caught.value.runs


def test_an_error_of_one_job_has_its_run(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(job_id=cloud.create_job("bad", outcome="error"), raise_on_failure=True)
    (run,) = caught.value.runs
    assert run["id"] == cloud.runs[0]["id"]
    assert run["trigger"]
    with pytest.raises(DBTCloudNotFoundError) as missing:
        run_dbt_cloud_job(job_id=1)
    assert missing.value.runs == []


def test_an_error_names_the_other_started_runs(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("long", duration=None)
    with pytest.raises(DBTCloudNotFoundError) as caught:
        run_dbt_cloud_jobs([job, 1], wait_for_outcome=False)
    assert f'Run {cloud.runs[0]["id"]} of job "long": Queued.' in str(caught.value)


def test_a_missing_run_does_not_end_the_watch_of_others(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("long", duration=None))
    gone = Run(id=id_of(run) + 1_000_000, status=1)
    clock = FakeClock()
    clock.at(3, lambda: cloud.finish_run(run["id"]))
    watch = Watch(clocked(client, clock), [run, gone])
    watch.until(timeout=60, wait_seconds=10)
    assert watch.runs[id_of(run)]["is_success"]
    assert isinstance(watch.errors[id_of(gone)], DBTCloudNotFoundError)


def test_a_failed_clean_up_does_not_hide_a_successful_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly")
    config = DBTCloudConfiguration()
    cloud.fail("trigger_job", "status", when="before")
    # the searches after the lost answer and after the repeated one are answered
    cloud.fail("list_runs", "status", calls=None, skip=8)
    trigger = Trigger(str(job), {"cause": "x"})
    (run,) = Lifecycle(clocked(client, FakeClock()), config).run_all([trigger])
    assert run["is_success"]
    assert f"Run {run['id']} may have a duplicate" in caplog.text


def test_a_duplicate_that_cannot_be_cancelled_is_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    clock = FakeClock()
    trigger = Trigger(str(job), {"cause": "x"})
    cloud.fail("trigger_job", "status", when="before")
    cloud.fail("cancel_run", "status", status=403, when="before", calls=None)
    # the first one turns up late
    clock.at(19.0, lambda: client.start_job_run(job, cloud.requests[0].json))
    run = start(clocked(client, clock), trigger).run
    assert len(cloud.runs) == 2
    assert run["id"] == cloud.runs[0]["id"]
    assert (
        f"Run {cloud.runs[1]['id']} is a duplicate of run {run['id']}, created by the same trigger"
        in caplog.text
    )


def test_the_returned_run_is_the_one_that_is_kept(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    older, ours = (started_run(cloud, job) for _ in range(2))
    assert keep_one(client, [older, ours], keep=ours) is ours
    assert [run["is_cancelled"] for run in cloud.runs] == [True, False]


@pytest.mark.parametrize("hours", [-30, -2, 2, 30])
def test_differing_clocks_start_no_second_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, hours: int
) -> None:
    clock = FakeClock(ahead=hours * 3600)
    job = cloud.create_job("Nightly", duration=None)
    load = LastLoad("flights", f"{clock.time():.5f}")
    cloud.fail("trigger_job", "cut", when="after")
    client = clocked(client, clock)
    triggers = [Trigger(str(job), {"cause": "x"}, bound) for bound in (None, load, load)]
    started = [start(client, trigger).run["id"] for trigger in triggers]
    assert len({*started}) == 2 == len(cloud.runs)


@pytest.mark.parametrize(
    ("lists", "error"),
    [
        # the search for a run of the load, then the trigger, then the search for an earlier run
        ({"calls": None}, DBTCloudRateLimitError),
        ({"calls": 6}, DBTCloudRateLimitError),
        ({"skip": 1, "calls": None}, DBTCloudRunTimeout),
    ],
)
def test_a_rate_limit_ends_by_the_timeout(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, lists: dict[str, Any], error: Any
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    cloud.fail("list_runs", "rate_limit", **lists)
    if "skip" not in lists:
        cloud.fail("trigger_job", "rate_limit", calls=None)
    clock = FakeClock()
    config = DBTCloudConfiguration(timeout=200.0)
    load = LastLoad("flights", f"{clock.time():.5f}")
    trigger = Trigger(str(job), {"cause": "x"}, load, timeout=config.timeout)
    with pytest.raises(error):
        Lifecycle(clocked(client, clock), config).run_all([trigger])
    assert clock.now == pytest.approx(200, abs=0.01)


def test_a_trigger_waits_out_many_cool_downs(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    clock = FakeClock()
    cloud.fail("trigger_job", "rate_limit", retry_after=300, calls=10)
    trigger = Trigger(str(cloud.create_job("Nightly")), {"cause": "x"})
    assert start(clocked(client, clock), trigger).run["id"] == cloud.runs[0]["id"]
    assert 3000 <= clock.now <= 3300


@pytest.mark.parametrize("cancel", [False, True])
def test_ctrl_c_between_triggers_reports_every_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    cancel: bool,
) -> None:
    first, second = (cloud.create_job(name, duration=None) for name in ("a", "b"))
    cloud.fail("trigger_job", "rate_limit", retry_after=500, skip=1, calls=None)
    config = resolve_configuration(DBTCloudConfiguration(cancel_on_abandon=cancel))
    triggers = [Trigger(str(job), {"cause": "x"}) for job in (first, second)]
    with (
        pytest.raises(KeyboardInterrupt),
        interrupting(KeyboardInterrupt, lambda: cloud.struck),
    ):
        Lifecycle(clocked(client, FastClock(times=60)), config).run_all(triggers)
    (run,) = cloud.runs
    assert f"Job {second} may have been triggered: look" in caplog.text
    assert run["is_cancelled"] is cancel
    assert f"Stopped waiting for run {run['id']} (" in caplog.text
    assert ("to keep waiting" in caplog.text) is not cancel


def test_only_unfinished_runs_are_left(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    done, long = cloud.create_job("done"), cloud.create_job("long", duration=None)
    with pytest.raises(DBTCloudRunTimeout) as caught:
        run_on_a_fake_clock(client, [done, long], cancel_on_abandon=True)
    assert [run["status_humanized"] for run in cloud.runs] == ["Success", "Cancelled"]
    assert "Stopped waiting for it: Cancelled." in str(caught.value)
    assert "still running in dbt Cloud" not in str(caught.value)
    assert f"run {cloud.runs[0]['id']} (" not in caplog.text


def test_the_first_status_check_is_waited_for(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = client.trigger_job_run(cloud.create_job("Nightly"))
    cloud.fail("get_run", "status", calls=12)
    config = DBTCloudConfiguration()
    assert Lifecycle(clocked(client, FakeClock()), config).follow(run_id)["is_success"]


def test_a_run_that_is_not_known_yet_is_watched_by_its_id(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = client.trigger_job_run(cloud.create_job("Nightly"))
    cloud.fail("get_run", "status", status=404)
    config = DBTCloudConfiguration()
    assert Lifecycle(clocked(client, FakeClock()), config).follow(run_id)["is_success"]


def test_a_retry_is_triggered_within_the_timeout(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", outcome="error", artifacts=FAILED_FILES)
    failed = ended_run(cloud, job)
    cloud.fail("retry_run", "rate_limit", retry_after=2, calls=None)
    config = DBTCloudConfiguration(timeout=5.0)
    clock = FakeClock()
    with pytest.raises(DBTCloudRateLimitError):
        Lifecycle(clocked(client, clock), config).retry(failed["id"])
    assert clock.now <= 5.0


def test_retries_without_waiting_log_a_warning(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly", outcome="error")
    run_dbt_cloud_job(job_id=job, retries=2, wait_for_outcome=False)
    assert "`retries` has no effect without `wait_for_outcome`" in caplog.text
    assert len(cloud.runs) == 1


def ended(cloud: DBTCloudEmulator, outcome: Any) -> Part:
    """Return a part whose run has come to an end."""
    job = cloud.create_job(f"the {outcome}", outcome=outcome)
    return Part(run=ended_run(cloud, job))


def gone() -> Part:
    """Return a part whose job could not be triggered."""
    return Part(error=DBTCloudNotFoundError("POST", ".../jobs/1/run/", 404, "Not found."))


def test_runs_are_returned_in_their_order(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    parts = [ended(cloud, outcome) for outcome in ("success", "error", "cancelled")]
    parts.insert(1, Part(run=skipped_run("there is nothing to build")))
    assert report(client, parts, ReadRuns(), raises=False) == [part.run for part in parts]


@pytest.mark.parametrize(
    ("outcome", "kind"), [("error", DBTCloudRunFailed), ("cancelled", DBTCloudRunCancelled)]
)
def test_an_unsuccessful_run_is_logged_or_raised(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    outcome: str,
    kind: type[Exception],
) -> None:
    part = ended(cloud, outcome)
    caplog.clear()
    report(client, [part], ReadRuns(), raises=False)
    (logged,) = [each.getMessage() for each in caplog.records]
    caplog.clear()
    with pytest.raises(kind) as caught:
        report(client, [part], ReadRuns(), raises=True)
    assert logged == str(caught.value)
    assert caplog.records == []


def test_a_missing_run_is_always_raised(client: DBTCloudClientV2) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        report(client, [gone()], ReadRuns(), raises=False)


def test_the_first_error_reports_all_errors_and_runs(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    parts = [ended(cloud, "success"), gone(), ended(cloud, "error"), Part(run=skipped_run("x"))]
    with pytest.raises(DBTCloudNotFoundError) as caught:
        report(client, parts, ReadRuns(), raises=True)
    lines = str(caught.value).splitlines()
    assert [line[:3] for line in lines if line.startswith("(")] == ["(1)", "(2)"]
    assert "404" in lines[0]
    assert 'of job "the error" failed' in lines[1]
    assert lines[-1].endswith(": Success.")
    assert "Skipped" not in str(caught.value)
