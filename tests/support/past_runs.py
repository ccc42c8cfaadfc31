"""Past runs of a job: a test begins after them, and waits for none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from werkzeug.datastructures import MultiDict

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.typing import Run
from tests.support.clock import DBT_PATIENCE, PATIENCE, FakeClock

__all__ = ["AwaitingClock", "add_past_runs", "ended_run", "finish_after", "started_run"]


def started_run(cloud: DBTCloudEmulator, job: int | None, **data: Any) -> Run:
    """Start a run as somebody else, without a request, and return the API's payload of it.

    Args:
        cloud: The emulator.
        job: The job.
        data: The overrides of the trigger.
    """
    path = {"account_id": cloud.account_id, "id": job}
    call = Call(path, MultiDict(), {"cause": "a test", **data})
    with cloud._state.changed:
        answer = cloud._jobs.trigger_job(call)
    return cast("Run", json.loads(answer.get_data())["data"])


def ended_run(cloud: DBTCloudEmulator, job: int | None, **data: Any) -> Run:
    """Return a run that somebody else has started, as `started_run` does, and that has ended."""
    return cloud.wait_for_run(started_run(cloud, job, **data)["id"], DBT_PATIENCE)


def add_past_runs(
    cloud: DBTCloudEmulator,
    job: int,
    durations: Sequence[float],
    *steps: str,
) -> None:
    """Let runs of a job succeed, each after its duration.

    Args:
        cloud: The emulator.
        job: The job, whose scripted runs wait for `finish_run`.
        durations: The seconds from the start to the end of each run.
        steps: The commands that replace those of the job.
    """
    data = {"cause": "Past", **({"steps_override": [*steps]} if steps else {})}
    for seconds in durations:
        finish_after(cloud, id_of(started_run(cloud, job, **data)), seconds)


def finish_after(
    cloud: DBTCloudEmulator, run_id: int, seconds: float, outcome: Outcome = "success"
) -> None:
    """Finish a run now, and date its start back by its duration."""
    cloud.finish_run(run_id, outcome)
    run = cloud._state.any_run(run_id)
    assert run is not None
    assert run.finished_at is not None
    run.created_at = run.started_at = run.finished_at - timedelta(seconds=seconds)


class AwaitingClock(FakeClock):
    """A fake clock whose sleep lasts until all runs have ended.

    Args:
        cloud: The emulator of the runs.
    """

    def __init__(self, cloud: DBTCloudEmulator) -> None:
        super().__init__()
        self._state = cloud._state

    def sleep(self, seconds: float, /) -> None:
        with self._state.changed:
            assert self._state.changed.wait_for(self._have_ended, PATIENCE)
        super().sleep(seconds)

    def _have_ended(self) -> bool:
        return all(run.is_finished for run in self._state.runs())
