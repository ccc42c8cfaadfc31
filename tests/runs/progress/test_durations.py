"""Past runs of the same kind predict the end of a run; nothing else does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, cast

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.progress.durations import Durations, Kind, Pace, durations_of, kind_of
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.past_runs import add_past_runs, started_run


def run_of(seconds: float | None = None, *steps: str, **fields: Any) -> Run:
    began = datetime(2026, 1, 31, tzinfo=timezone.utc)
    times: dict[str, Any] = {}
    if seconds is not None:
        ended = began + timedelta(seconds=seconds)
        times = {"started_at": str(began), "finished_at": str(ended)}
    trigger = {"cause": "By hand", "steps_override": [*steps] or None}
    return cast(Run, {"id": 7, "job_definition_id": 3, "trigger": trigger, **times, **fields})


def test_runs_with_the_same_commands_are_of_one_kind() -> None:
    assert kind_of(run_of()) == Kind(3, ())
    assert kind_of(run_of(None, "dbt build --select a+")) == Kind(3, ("dbt build --select a+",))


def test_variables_do_not_make_another_kind() -> None:
    kinds = {
        kind_of(run_of(None, f"dbt build {variables} --select a+"))
        for variables in ("", "--vars '{a: 1}'", "--vars '{a: 2}'", "'--vars={a: 3}'")
    }
    assert kinds == {Kind(3, ("dbt build --select a+",))}


def test_a_retry_or_a_run_without_its_trigger_is_of_no_kind() -> None:
    cause = {"cause": "Nightly: retry of run 6 [dlt:3f9c2ab41d07]"}
    assert kind_of(run_of(retrying_run_id=6)) is None
    assert kind_of(run_of(trigger=cause)) is None
    assert kind_of(run_of(trigger=None)) is None
    assert kind_of(run_of(job_definition_id=None)) is None
    assert Durations({Kind(3, ()): (1,)}).of(run_of(trigger=None)) == ()


def test_the_newest_durations_of_each_kind_are_kept() -> None:
    narrowed = "dbt build --select a+"
    past = [run_of(10 + n) for n in range(30)] + [run_of(3, narrowed), run_of(), run_of(-5)]
    durations = durations_of(past)
    assert durations.of(run_of()) == tuple(10.0 + n for n in range(20))
    assert durations.of(run_of(None, narrowed)) == (3.0,)
    assert durations.of(run_of(None, "dbt test")) == ()


def test_the_past_runs_are_read_once_and_late(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Long", duration=None)
    add_past_runs(cloud, job, [100, 120, 300])
    add_past_runs(cloud, job, [9], "dbt test")
    run = started_run(cloud, job)
    clock = FakeClock()
    pace = Pace(clock, clocked(client, clock))
    before = len(cloud.requests)
    for _ in range(10):
        pace.note(run)
        pace.read([run], is_needed=True)
        assert (len(cloud.requests) - before) == (clock.now >= 5)
        clock.sleep(1)
    assert round(pace.usual(run) or 0) == 120
    (request,) = cloud.requests[before:]
    assert request.query["order_by"] == ["-finished_at"]


def test_an_error_of_the_request_changes_nothing(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock = FakeClock()
    pace = Pace(clock, clocked(client, clock))
    pace.note(run)
    clock.sleep(10)
    cloud.fail("list_runs", "status", status=500)
    before = len(cloud.requests)
    for _ in range(3):
        pace.read([run], is_needed=True)
    assert pace.usual(run) is None
    assert len(cloud.requests) == before + 1


def test_several_jobs_take_one_request(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    jobs = [cloud.create_job(name, duration=None) for name in "ab"]
    for job, seconds in zip(jobs, (60, 600), strict=True):
        add_past_runs(cloud, job, [seconds])
    runs = [started_run(cloud, job) for job in jobs]
    clock = FakeClock()
    pace = Pace(clock, clocked(client, clock))
    for run in runs:
        pace.note(run)
    clock.sleep(10)
    before = len(cloud.requests)
    pace.read(runs, is_needed=True)
    assert [round(pace.usual(run) or 0) for run in runs] == [60, 600]
    assert len(cloud.requests) == before + 1


def test_the_start_of_a_run_is_placed_between_two_checks_if_clocks_disagree() -> None:
    for skew in (-7200, 0, 7200):
        clock = FakeClock()
        pace = Pace(clock)
        pace.note(run_of())
        clock.sleep(10)
        at = datetime.fromtimestamp(clock.time() - 4 + skew, timezone.utc)
        pace.note(run_of(started_at=str(at)))
        running = pace.running(run_of())
        assert running is not None
        assert round(running, 3) == {-7200: 10, 0: 4, 7200: 0}[skew]


def test_a_run_that_was_never_checked_is_not_running() -> None:
    assert Pace(FakeClock()).running(run_of()) is None


def test_the_past_runs_are_not_read_after_a_cool_down(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock = FakeClock()
    limited = clocked(client, clock)
    pace = Pace(clock, limited)
    pace.note(run)
    cloud.fail("get_run", "rate_limit", retry_after=60)
    limited.patient(600).get_run_status(run["id"])
    assert limited.shortest_pause
    before = len(cloud.requests)
    pace.read([run], is_needed=True)
    assert len(cloud.requests) == before
