"""An interrupted process reports its run, and a killed one causes no second run."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudException,
    DBTCloudRunTimeout,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.interrupts import leave
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked, until
from tests.support.dbt.nodes import FAILED_FILES
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.past_runs import ended_run, started_run
from tests.support.processes.forks import Fork, forked
from tests.support.processes.threads import in_background, interrupting
from tests.support.watching import is_waited_for

PUBLIC = """
from dlt_dbtcloud import run_dbt_cloud_job
run_dbt_cloud_job()
"""
# what `run_dbt_cloud_job` does, with a clock and without a display
CALL = """
import dlt, signal, sys
from dlt.common.configuration import resolve_configuration
from dlt_dbtcloud.configuration import DBTCloudConfiguration, connect
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.calls import triggers_of
from tests.support.clock import FastClock
{before}
folder = {folder!r}
pipeline = dlt.attach("flights", pipelines_dir=folder) if folder else None
config = resolve_configuration(DBTCloudConfiguration())
triggers = triggers_of([config.job_id], config, None, pipeline)
with connect(config, FastClock(times=100)) as client:
    (run,) = Lifecycle(client, config).run_all(triggers)
print(run["id"], run["status_humanized"])
"""

Script = Callable[..., Fork]


@pytest.fixture
def script(cloud: DBTCloudEmulator, forking: None) -> Iterator[Script]:
    """Return a function that starts a process that runs a job."""
    with ExitStack() as started:

        def start(
            job: int, bound: dlt.Pipeline | None = None, before: str = "", **settings: str
        ) -> Fork:
            settings = {"JOB_ID": str(job), "WAIT_SECONDS": "10", **settings}
            environment = {f"DBT_CLOUD__{name}": value for name, value in settings.items()}
            program = CALL.format(folder=bound and bound.pipelines_dir, before=before)
            return started.enter_context(forked(program, env={**os.environ, **environment}))

        yield start


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded the table `airlines`."""
    return shared_loads.copy("flights", load_tables, "airlines")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_logs_how_to_resume_and_has_its_usual_effect(
    cloud: DBTCloudEmulator,
    forking: None,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    # the public function has no clock of a test, but `cloud` sets short pauses
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(cloud.create_job("Long", duration=None)))
    with forked(PUBLIC) as process:
        until(lambda: is_waited_for(cloud))
        process.send_signal(number)
        assert process.wait() == -number
        run = cloud.runs[0]
        assert f'dbt Cloud run {run["id"]} of job "Long": ' in process.errors
        assert f"Stopped waiting for run {run['id']} ({run['href']})" in process.errors
        assert f"get_dbt_cloud_run_status(run_id={run['id']})" in process.errors
        assert run["status_humanized"] == "Running"


def test_a_signal_cancels_the_run_if_asked_to(cloud: DBTCloudEmulator, script: Script) -> None:
    process = script(cloud.create_job("Long", duration=None), CANCEL_ON_ABANDON="true")
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert cloud.runs[0]["is_cancelled"]
    assert re.search(r"Stopped waiting for run \d+ \(\S+\): Cancelled\.", process.errors)


class TaskTimeout(BaseException):
    """An error that an orchestrator raises into a late task, and that no `except` catches."""


# what the trigger is doing, as faults of the service
HUNG: list[tuple[str, str]] = [("trigger_job", "hang")]
SEARCHED = [("trigger_job", "status"), ("list_runs", "hang")]


@pytest.mark.parametrize(
    ("number", "faults", "cancel"),
    [
        (signal.SIGINT, HUNG, True),
        (signal.SIGTERM, HUNG, False),
        (signal.SIGINT, SEARCHED, False),
        (signal.SIGTERM, SEARCHED, True),
    ],
)
def test_a_signal_during_a_trigger_names_its_cause_or_cancels_its_run(
    cloud: DBTCloudEmulator,
    script: Script,
    number: signal.Signals,
    faults: list[tuple[str, Any]],
    cancel: bool,
) -> None:
    for route, kind in faults:
        cloud.fail(route, kind, seconds=3600)
    process = script(cloud.create_job("Long", duration=None), CANCEL_ON_ABANDON=str(cancel))
    until(lambda: faults[-1] in cloud.struck)
    process.send_signal(number)
    assert process.wait() == -number
    (run,) = cloud.runs
    assert process.errors.count(f"the cause `{(run['trigger'] or {})['cause']}`") == 1
    assert run["is_cancelled"] is cancel
    assert (f"Stopped waiting for run {run['id']} " in process.errors) is cancel


def test_a_trigger_without_effect_is_searched_for_a_while_and_says_that_no_run_was_found(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Long")
    clock = FakeClock()
    config = resolve_configuration(DBTCloudConfiguration(cancel_on_abandon=True))
    trigger = Trigger(str(job), {"cause": "a test"})

    def interrupt() -> None:
        raise TaskTimeout("time is up")

    cloud.fail("trigger_job", "rate_limit", retry_after=500)
    clock.at(1, interrupt)
    with pytest.raises(TaskTimeout):
        Lifecycle(clocked(client, clock), config).run_all([trigger])
    assert "was found that could be cancelled: look in its run history" in caplog.text
    assert [request.method for request in cloud.requests][-5:] == ["POST", *["GET"] * 4]
    assert clock.sleeps[-4:] == [0, 1, 2, 4]
    assert cloud.runs == []


def test_a_sigterm_during_a_retry_names_the_retried_run(
    cloud: DBTCloudEmulator, script: Script
) -> None:
    cloud.fail("retry_run", "hang", seconds=3600)
    process = script(
        cloud.create_job("Flaky", outcome="error", artifacts=FAILED_FILES), RETRIES="1"
    )
    until(lambda: cloud.struck)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert f"the cause `a retry of run {cloud.runs[0]['id']}`" in process.errors


def test_a_refused_retry_is_not_reported_as_one_that_may_exist(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    run = ended_run(cloud, cloud.create_job("Flaky", outcome="error", artifacts=FAILED_FILES))
    cloud.fail("retry_run", "status", status=401)
    with pytest.raises(DBTCloudException):
        retry_dbt_cloud_run(run_id=run["id"])
    assert "may have been triggered" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "cancel"),
    [
        (TaskTimeout, True),
        (KeyboardInterrupt, False),
        (GeneratorExit, True),
        (RuntimeError, False),
    ],
)
def test_any_error_raised_into_the_wait_reports_the_run(
    cloud: DBTCloudEmulator,
    caplog: pytest.LogCaptureFixture,
    kind: type[BaseException],
    cancel: bool,
) -> None:
    job = cloud.create_job("Long", duration=None)
    is_waiting = partial(is_waited_for, cloud)
    with pytest.raises(kind, match="time is up"), interrupting(kind, is_waiting):
        run_dbt_cloud_job(job_id=job, cancel_on_abandon=cancel)
    (run,) = cloud.runs
    assert run["is_cancelled"] is cancel
    message = "): Cancelled." if cancel else f"get_dbt_cloud_run_status(run_id={run['id']})"
    assert caplog.text.count(message) == 1


@pytest.mark.parametrize("cancel", [False, True])
def test_an_interrupted_search_for_other_runs_reports_the_run(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture, cancel: bool
) -> None:
    job = cloud.create_job("Long", duration=None)
    # in the search for another worker's earlier run
    cloud.fail("list_runs", "rate_limit", retry_after=3600, skip=1)
    with pytest.raises(TaskTimeout), interrupting(TaskTimeout, lambda: cloud.struck):
        run_dbt_cloud_job(job_id=job, reuse_queued_run=True, cancel_on_abandon=cancel)
    (run,) = cloud.runs
    assert run["is_cancelled"] is cancel
    assert f"Stopped waiting for run {run['id']} (" in caplog.text


@pytest.mark.parametrize("route", ["trigger_job", "retry_run"])
def test_an_interrupted_post_logs_where_to_find_its_run(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture, route: str
) -> None:
    job = cloud.create_job("Long", outcome="error", artifacts=FAILED_FILES)
    run = ended_run(cloud, job)
    cloud.fail(route, "rate_limit", retry_after=500)
    calls: Any = {"trigger_job": run_dbt_cloud_job, "retry_run": retry_dbt_cloud_run}
    with pytest.raises(TaskTimeout), interrupting(TaskTimeout, lambda: cloud.struck):
        calls[route]({"job_id": job, "run_id": run["id"]})
    assert f"Job {job} may have been triggered: look" in caplog.text


def test_a_handler_that_raises_gets_one_message(cloud: DBTCloudEmulator, script: Script) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
    process = script(cloud.create_job("Long", duration=None), before=before)
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 3
    assert process.errors.count("to keep waiting") == 1


def test_the_scripts_own_handler_has_its_effect(cloud: DBTCloudEmulator, script: Script) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: print('noted', flush=True))"
    process = script(cloud.create_job("Long", duration=None), before=before)
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGTERM)
    until(lambda: process.output == "noted\n")
    cloud.finish_run(cloud.runs[0]["id"])
    assert process.wait() == 0
    assert process.output.endswith("Success\n")
    assert "to keep waiting" in process.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ignored_signal_stays_ignored(
    cloud: DBTCloudEmulator, script: Script, number: signal.Signals
) -> None:
    before = f"signal.signal({int(number)}, signal.SIG_IGN)"
    process = script(cloud.create_job("Long", duration=None), before=before)
    until(lambda: is_waited_for(cloud))
    process.send_signal(number)
    cloud.finish_run(cloud.runs[0]["id"])
    assert process.wait() == 0
    assert process.output.endswith("Success\n")
    assert "get_dbt_cloud_run_status" not in process.errors


def test_handlers_are_restored(cloud: DBTCloudEmulator) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_dbt_cloud_job(job_id=cloud.create_job("Nightly"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_leaves_handlers_alone(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    assert in_background(lambda: run_dbt_cloud_job(job_id=job)).result()["is_success"]


@pytest.mark.parametrize("cancel", [False, True])
def test_a_run_without_a_page_is_named(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    cancel: bool,
) -> None:
    run = started_run(cloud, cloud.create_job("Long", duration=None))
    leave(client, [Run(id=run["id"], status=1)], cancel=cancel)
    assert f"Stopped waiting for run {run['id']}" in caplog.text


def test_a_timeout_cancels_the_run_if_asked_to(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Long", duration=None)
    with pytest.raises(DBTCloudRunTimeout):
        run_dbt_cloud_job(job_id=job, timeout=0.1, cancel_on_abandon=True)
    assert cloud.runs[0]["is_cancelled"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_while_triggering_leaves_one_run_to_the_next(
    cloud: DBTCloudEmulator, script: Script, copy: dlt.Pipeline, when: Any
) -> None:
    job = cloud.create_job("Nightly", duration=0.1)
    # the run does not exist, as if the process was killed before the POST, or exists
    cloud.fail("trigger_job", "hang", when=when, seconds=3600)
    process = script(job, bound=copy)
    until(lambda: cloud.struck)
    process.send_signal(signal.SIGKILL)
    process.wait()
    following = script(job, bound=copy)
    assert following.wait() == 0, following.errors
    assert following.output == f"{cloud.runs[0]['id']} Success\n"
    assert len(cloud.runs) == 1


def test_a_process_killed_while_waiting_leaves_one_run_to_the_next(
    cloud: DBTCloudEmulator, script: Script, copy: dlt.Pipeline
) -> None:
    job = cloud.create_job("Long", duration=None)
    process = script(job, bound=copy)
    until(lambda: is_waited_for(cloud))
    process.send_signal(signal.SIGKILL)
    process.wait()
    following = script(job, bound=copy)
    before = len(cloud.requests)
    until(lambda: len(cloud.requests) > before + 1)
    cloud.finish_run(cloud.runs[0]["id"])
    assert following.wait() == 0, following.errors
    assert following.output == f"{cloud.runs[0]['id']} Success\n"
    assert len(cloud.runs) == 1
