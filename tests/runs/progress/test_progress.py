"""A wait is never mute, asks for nothing but what it shows, and survives its display."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.progress import Display, Pace, Progress
from dlt_dbtcloud.runs.progress.displays import Frame, LineDisplay
from dlt_dbtcloud.runs.watch import Watch
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.past_runs import add_past_runs, started_run

Finish = Callable[[], object]


def watch(
    client: DBTCloudClientV2,
    runs: list[Run],
    clock: FakeClock,
    display: Display | None = None,
    **options: Any,
) -> Watch:
    """Watch new runs with the history of their jobs."""
    client = clocked(client, clock)
    progress = Progress(display, Pace(clock, client), clock)
    watched = Watch(client, runs, are_new=True, progress=progress)
    watched.until(**{"timeout": 86400, "wait_seconds": 10, **options})
    return watched


def test_a_wait_has_a_line_per_change_and_minute(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Nightly", duration=None, execute_steps=["dbt seed", "dbt build"])
    add_past_runs(cloud, job, [180, 200, 220])
    first, run = (started_run(cloud, job) for _ in range(2))
    clock, stream = FakeClock(), io.StringIO()
    clock.at(30, partial(cloud.finish_run, first["id"]))
    clock.at(150, partial(cloud.finish_run, run["id"], "error"))
    watch(client, [run], clock, LineDisplay(stream))
    name = f"dbt Cloud run {run['id']}"
    assert stream.getvalue().splitlines() == [
        f'{name} of job "Nightly": {run["href"]}',
        f"{name}: queued behind run {first['id']} 0s",
        f"{name}: running 31s, ~3m 20s left, step 1/2: dbt seed",
        f"{name}: running 1m 31s, ~2m 20s left, step 1/2: dbt seed",
        f"{name}: running 2m 31s, ~1m 20s left, step 1/2: dbt seed",
        f"{name}: error after 2m 38s",
    ]


def test_progress_adds_one_request_to_a_wait(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    def requests_of(seconds: float, display: Display | None, **options: Any) -> int:
        run = started_run(cloud, cloud.create_job("Long", duration=None))
        clock, before = FakeClock(), len(cloud.requests)
        clock.at(seconds, partial(cloud.finish_run, run["id"]))
        watch(client, [run], clock, display, **options)
        return len(cloud.requests) - before

    for seconds, wait in ((3, 10), (7, 1), (12, 200)):
        plain = requests_of(seconds, None, wait_seconds=wait)
        shown = requests_of(seconds, LineDisplay(io.StringIO()), wait_seconds=wait)
        assert shown - plain == (seconds > 5 and wait == 1)
        if seconds == 3:
            assert plain == 3


def test_the_steps_are_requested_only_if_they_are_shown(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    for display, expected in ((None, "trigger"), (LineDisplay(io.StringIO()), "run_steps")):
        run = started_run(cloud, cloud.create_job("Long", duration=None))
        clock, before = FakeClock(), len(cloud.requests)
        clock.at(4, partial(cloud.finish_run, run["id"]))
        watched = watch(client, [run], clock, display)
        asked = [request.query["include_related"][0] for request in cloud.requests[before:]]
        assert all(each.endswith(expected) for each in asked)
        # the caller gets the same run
        assert watched.runs[id_of(run)]["run_steps"] == []
        assert watched.runs[id_of(run)]["job"] is None


def test_the_token_is_not_shown() -> None:
    clock, stream = FakeClock(), io.StringIO()
    client = DBTCloudClientV2("0123456789abcdef", 1)
    progress = Progress(LineDisplay(stream), Pace(clock), clock, client.without_token)
    step = {"index": 1, "name": "Invoke dbt with `dbt build --vars 0123456789abcdef`"}
    progress.note(cast(Run, {"id": 7, "job": {"name": "0123456789abcdef"}, "run_steps": [step]}))
    progress.show()
    assert "0123456789abcdef" not in stream.getvalue()
    assert "dbt build --vars" in stream.getvalue()


def test_long_logs_are_requested_once_a_minute() -> None:
    clock = FakeClock()
    progress = Progress(LineDisplay(io.StringIO()), Pace(clock), clock)
    asked = []
    for second in range(100):
        has_log = "run_steps" in progress.related()
        asked += [second] * has_log
        log = "x" * 1_100_000 if has_log else ""
        progress.note(Run(id=7, run_steps=[{"index": 1, "name": "dbt build", "logs": log}]))
        clock.sleep(1)
    assert asked == [0, 60]


def test_the_end_of_a_usual_run_is_noticed_within_two_seconds(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Long", duration=None)
    add_past_runs(cloud, job, [117, 120, 123])
    run = started_run(cloud, job)
    clock = FakeClock()
    clock.at(123, partial(cloud.finish_run, run["id"]))
    watch(client, [run], clock)
    assert clock.now - 123 <= 2


def test_many_runs_share_a_display(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    runs = [started_run(cloud, cloud.create_job(name, duration=None)) for name in "ab"]
    clock, stream = FakeClock(), io.StringIO()
    clock.at(4, partial(cloud.finish_run, runs[0]["id"]))
    clock.at(70, partial(cloud.finish_run, runs[1]["id"], "error"))
    watch(client, runs, clock, LineDisplay(stream))
    ids = [run["id"] for run in runs]
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [
        f'dbt Cloud run {run["id"]} of job "{name}": {run["href"]}'
        for run, name in zip(runs, "ab", strict=True)
    ]
    assert lines[2:] == [
        "dbt Cloud, 2 runs: 2 queued, 0s",
        "dbt Cloud, 2 runs: 2 running, 1s",
        f"dbt Cloud run {ids[0]}: success after 4s",
        "dbt Cloud, 2 runs: 1 success, 1 running, 4s",
        "dbt Cloud, 2 runs: 1 success, 1 running, 6s",
        "dbt Cloud, 2 runs: 1 success, 1 running, 1m 06s",
        f"dbt Cloud run {ids[1]}: error after 1m 11s",
    ]


def test_an_outage_is_not_mute(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock, stream = FakeClock(), io.StringIO()
    cloud.fail("get_run", "status", status=503, calls=None)
    clock.at(300, cloud.heal)
    clock.at(300, partial(cloud.finish_run, run["id"]))
    watch(client, [run], clock, LineDisplay(stream))
    lines = [line for line in stream.getvalue().splitlines() if "queued" in line]
    assert len(lines) >= 4


class Broken:
    """A display whose library fails.

    Args:
        error: What it raises.
    """

    def __init__(self, error: type[Exception] = RuntimeError) -> None:
        self._error = error

    def show(self, frame: Frame, now: float) -> None:
        raise self._error(f"no screen at {now:g} for {frame.title.split()[0]}")

    def due(self, now: float) -> float:
        return now + 1.0

    def close(self) -> None:
        pass


def test_a_broken_display_does_not_end_the_wait(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock = FakeClock()
    clock.at(9, partial(cloud.finish_run, run["id"]))
    watched = watch(client, [run], clock, Broken())
    assert watched.runs[id_of(run)]["is_success"]
    (warning,) = [record.message for record in caplog.records if record.name == "dlt"]
    assert warning == "Stopped showing progress: RuntimeError: no screen at 0 for dbt"


def test_the_time_limit_of_a_task_ends_the_wait(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    with pytest.raises(TimeoutError):
        watch(client, [run], FakeClock(), Broken(TimeoutError))


def test_a_closed_stream_does_not_end_the_wait(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    clock, stream = FakeClock(), io.StringIO()
    clock.at(5, stream.close)
    clock.at(9, partial(cloud.finish_run, run["id"]))
    assert watch(client, [run], clock, LineDisplay(stream)).runs[id_of(run)]["is_success"]
