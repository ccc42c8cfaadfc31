"""There is exactly one run even if responses are lost, and its outcome is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.retry import retry_once
from dlt_dbtcloud.runs.trigger import Trigger, start
from dlt_dbtcloud.runs.watch import cancel_and_confirm
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, FastClock, clocked, until
from tests.support.threads import in_background

LOAD = LastLoad("flights", "1732150000.123")


@dataclass
class Fault:
    """A fault as the emulator takes it."""

    kind: Any
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{k}={v}" for k, v in self.options.items())])


FAULTS = [
    *(
        Fault(kind, {"when": when, **options})
        for when in ("before", "after")
        for kind, options in (
            ("status", {"status": 500}),
            ("status", {"status": 503, "calls": 3}),
            ("html", {"status": 502}),
            ("html", {"status": 200}),
            ("html", {"status": 404}),
            ("half", {}),
            ("cut", {}),
            ("cut", {"calls": 2}),
            ("hang", {"seconds": 0.15}),
        )
    ),
    Fault("slow", {"seconds": 0.08}),
    Fault("late", {"seconds": 0.001}),
    Fault("late", {"seconds": 0.01}),
    Fault("late", {"seconds": 0.06}),
    Fault("rate_limit"),
    Fault("rate_limit", {"retry_after": 7, "calls": 2}),
]


@pytest.fixture
def config(cloud: DBTCloudEmulator) -> DBTCloudConfiguration:
    resolved = resolve_configuration(DBTCloudConfiguration(raise_on_failure=True))
    resolved.wait_seconds = 10.0
    return resolved


def run(
    client: DBTCloudClientV2,
    job: int,
    config: DBTCloudConfiguration,
    load: LastLoad | None = None,
    clock: Any = None,
) -> Run:
    clock = clock or FastClock()
    trigger = Trigger(str(job), {"cause": "a test"}, load, timeout=config.timeout)
    return Lifecycle(clocked(client, clock), config).run_all([trigger])[0]


def clock_of(fault: Fault, has_effect: Callable[[], object]) -> FastClock:
    """Return a clock on which a late effect comes in time, however late the machine makes it."""
    clock = FastClock()
    if fault.kind == "late":
        clock.at(200 * fault.options["seconds"], lambda: until(has_effect))
    return clock


def kept(cloud: DBTCloudEmulator) -> list[Run]:
    return [run for run in cloud.runs if not run["is_cancelled"]]


@pytest.mark.parametrize("load", [None, LOAD], ids=["unbound", "bound"])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_trigger_creates_exactly_one_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    fault: Fault,
    load: LastLoad | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = cloud.create_job("Nightly", duration=0.1)
    cloud.fail("trigger_job", fault.kind, **fault.options)
    ended = run(client, job, config, load, clock_of(fault, lambda: cloud.runs))
    assert ended["is_success"]
    assert [run["id"] for run in kept(cloud)] == [ended["id"]]
    assert ("trigger_job", fault.kind) in cloud.struck
    assert cloud.api_token not in caplog.text


@pytest.mark.parametrize("load", [None, LOAD], ids=["unbound", "bound"])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_failed_status_check_is_not_a_failed_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    fault: Fault,
    load: LastLoad | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = cloud.create_job("Nightly", duration=None)
    cloud.fail("get_run", fault.kind, **fault.options)

    def finish() -> None:
        until(lambda: cloud.struck)
        cloud.finish_run(cloud.runs[0]["id"])

    finishing = in_background(finish)
    assert run(client, job, config, load)["is_success"]
    finishing.result()
    assert len(cloud.runs) == 1
    assert ("get_run", fault.kind) in cloud.struck
    assert cloud.api_token not in caplog.text


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_retry_creates_exactly_one_run(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "success"])
    failed = client.start_job_run(job)
    cloud.fail("retry_run", fault.kind, **fault.options)
    clock = clock_of(fault, lambda: len(cloud.runs) == 2)
    retried = retry_once(clocked(client, clock), failed, timeout=600)
    assert retried["retrying_run_id"] == failed["id"]
    assert len(cloud.runs) == 2
    assert ("retry_run", fault.kind) in cloud.struck
    assert cloud.api_token not in caplog.text


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_cancellation_is_confirmed(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = client.start_job_run(cloud.create_job("Long", duration=None))
    cloud.fail("cancel_run", fault.kind, **fault.options)
    clock = clock_of(fault, lambda: cloud.runs[0]["is_cancelled"])
    watch = cancel_and_confirm(clocked(client, clock), [running], timeout=600)
    assert watch.runs[id_of(running)]["is_cancelled"]
    assert not watch.errors
    assert len(cloud.runs) == 1
    assert ("cancel_run", fault.kind) in cloud.struck
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
