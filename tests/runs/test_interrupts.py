"""A process that ends while it waits leaves no run unknown, a killed one no second run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudRunTimeout,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.interrupts import leave
from dlt_dbtcloud.typing import Run
from tests.support.clock import until

ROOT = Path(__file__).parents[2]
CALL = """
import dlt, signal, sys
from dlt_dbtcloud import run_dbt_cloud_job
{before}
pipeline = dlt.attach("flights") if {bound} else None
run = run_dbt_cloud_job(pipeline=pipeline)
print(run["id"], run["status_humanized"])
"""

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def script(cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Return what starts a process that runs a job, which ends when the test does."""
    started = []
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def start(job: int, bound: bool = False, before: str = "", **settings: str) -> Any:
        settings["JOB_ID"] = str(job)
        environment = {f"DBT_CLOUD__{name}": value for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", CALL.format(bound=bound, before=before)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def load() -> None:
    destination = dlt.destinations.duckdb("flights.duckdb")
    pipeline = dlt.pipeline("flights", destination=destination, dataset_name="raw")
    pipeline.run([{"carrier": "AA"}], table_name="airlines")


def is_waited_for(cloud: DBTCloudEmulator) -> bool:
    return any(request.method == "GET" and "/runs/7" in request.path for request in cloud.requests)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_how_to_resume_and_has_its_usual_effect(
    cloud: DBTCloudEmulator, script: Script, number: signal.Signals
) -> None:
    process = script(cloud.create_job("Long", duration=None))
    until(lambda: is_waited_for(cloud))
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    run = cloud.runs[0]
    assert process.returncode == -number
    assert f"get_dbt_cloud_run_status(run_id={run['id']})" in errors
    assert run["href"] in errors
    assert run["status_humanized"] == "Running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_where_that_is_asked_for(
    cloud: DBTCloudEmulator, script: Script, number: signal.Signals
) -> None:
    process = script(cloud.create_job("Long", duration=None), CANCEL_ON_ABANDON="true")
    until(lambda: is_waited_for(cloud))
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -number
    assert cloud.runs[0]["is_cancelled"]
    assert "is not waited for any longer: Cancelled" in errors


class TaskTimeout(BaseException):
    """What an orchestrator raises into a task that takes too long, out of the reach of `except`."""


@pytest.fixture
def alarm() -> Iterator[Callable[[type[BaseException], Callable[[], object]], None]]:
    """Return what lets a signal raise an exception in this thread when something has come true."""
    before = signal.getsignal(signal.SIGALRM)
    threads = []

    def set_alarm(kind: type[BaseException], condition: Callable[[], object]) -> None:
        def ring(*_: object) -> None:
            raise kind("time is up")

        def wait() -> None:
            until(condition)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

        signal.signal(signal.SIGALRM, ring)
        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield set_alarm
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("kind", "cancel"),
    [
        (TaskTimeout, False),
        (TaskTimeout, True),
        (KeyboardInterrupt, False),
        (SystemExit, False),
        (GeneratorExit, True),
        (RuntimeError, False),
    ],
)
def test_whatever_is_raised_into_the_wait_leaves_no_run_unsaid(
    cloud: DBTCloudEmulator,
    caplog: pytest.LogCaptureFixture,
    alarm: Any,
    kind: type[BaseException],
    cancel: bool,
) -> None:
    job = cloud.create_job("Long", duration=None)
    alarm(kind, lambda: is_waited_for(cloud))
    with pytest.raises(kind, match="time is up"):
        run_dbt_cloud_job(job_id=job, cancel_on_abandon=cancel)
    (run,) = cloud.runs
    assert run["is_cancelled"] is cancel
    said = "any longer: Cancelled" if cancel else f"get_dbt_cloud_run_status(run_id={run['id']})"
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize("cancel", [False, True])
def test_a_run_that_is_looked_at_beside_others_for_the_first_time_is_not_left_unsaid(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture, alarm: Any, cancel: bool
) -> None:
    job = cloud.create_job("Long", duration=None)
    # of the search for a run of somebody else that came before
    cloud.fail("list_runs", "rate_limit", retry_after=60, skip=1)
    alarm(TaskTimeout, lambda: cloud.struck)
    with pytest.raises(TaskTimeout):
        run_dbt_cloud_job(job_id=job, reuse_queued_run=True, cancel_on_abandon=cancel)
    (run,) = cloud.runs
    assert run["is_cancelled"] is cancel
    assert f"Run {run['id']} " in caplog.text


@pytest.mark.parametrize("route", ["trigger_job", "retry_run"])
def test_a_post_that_is_left_says_where_to_look_for_its_run(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture, alarm: Any, route: str
) -> None:
    job = cloud.create_job("Long", outcome="error")
    run = run_dbt_cloud_job(job_id=job)
    cloud.fail(route, "rate_limit", retry_after=60)
    alarm(TaskTimeout, lambda: cloud.struck)
    calls: Any = {"trigger_job": run_dbt_cloud_job, "retry_run": retry_dbt_cloud_run}
    with pytest.raises(TaskTimeout):
        calls[route]({"job_id": job, "run_id": run["id"]})
    assert f"Job {job} may have been triggered: look" in caplog.text


def test_a_handler_that_raises_says_it_once(cloud: DBTCloudEmulator, script: Script) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
    process = script(cloud.create_job("Long", duration=None), before=before)
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert errors.count("goes on watching it") == 1


def test_a_handler_of_the_scripts_own_has_its_effect(
    cloud: DBTCloudEmulator, script: Script
) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: print('noted', flush=True))"
    process = script(cloud.create_job("Long", duration=None), before=before)
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "noted\n"
    cloud.finish_run(cloud.runs[0]["id"])
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.endswith("Success\n")
    assert "goes on watching it" in errors


def test_handlers_are_put_back(cloud: DBTCloudEmulator) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_dbt_cloud_job(job_id=cloud.create_job("Nightly"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_touches_no_handler(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", duration=0.1)
    ended: list[Any] = []
    thread = threading.Thread(target=lambda: ended.append(run_dbt_cloud_job(job_id=job)))
    thread.start()
    thread.join()
    assert ended[0]["is_success"]


@pytest.mark.parametrize("cancel", [False, True])
def test_a_run_without_a_page_is_named_all_the_same(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    cancel: bool,
) -> None:
    run = client.start_job_run(cloud.create_job("Long", duration=None))
    leave(client, [Run(id=run["id"], status=1)], cancel=cancel)
    assert f"Run {run['id']} is not waited for" in caplog.text


def test_a_timeout_cancels_where_that_is_asked_for(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Long", duration=None)
    with pytest.raises(DBTCloudRunTimeout):
        run_dbt_cloud_job(job_id=job, timeout=0.1, cancel_on_abandon=True)
    assert cloud.runs[0]["is_cancelled"]


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize(
    ("route", "when"),
    [("list_runs", "before"), ("trigger_job", "before"), ("trigger_job", "after")],
    ids=["before the POST", "during the POST", "after the POST"],
)
def test_a_process_that_is_killed_while_it_triggers_leaves_one_run_to_the_next(
    cloud: DBTCloudEmulator, script: Script, route: str, when: Any
) -> None:
    job = cloud.create_job("Nightly", duration=0.1)
    cloud.fail(route, "hang", when=when, seconds=60)
    process = script(job, bound=True)
    until(lambda: cloud.struck)
    process.kill()
    process.communicate()
    output, errors = script(job, bound=True).communicate(timeout=30)
    assert output == f"{cloud.runs[0]['id']} Success\n", errors
    assert len(cloud.runs) == 1


@pytest.mark.usefixtures("load")
def test_a_process_that_is_killed_while_it_waits_leaves_one_run_to_the_next(
    cloud: DBTCloudEmulator, script: Script
) -> None:
    job = cloud.create_job("Long", duration=None)
    process = script(job, bound=True)
    until(lambda: is_waited_for(cloud))
    process.kill()
    process.communicate()
    following = script(job, bound=True)
    before = len(cloud.requests)
    until(lambda: len(cloud.requests) > before + 1)
    cloud.finish_run(cloud.runs[0]["id"])
    output, errors = following.communicate(timeout=30)
    assert output == f"{cloud.runs[0]['id']} Success\n", errors
    assert len(cloud.runs) == 1
