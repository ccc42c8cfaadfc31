"""Past runs of a job, with durations that no test has to wait for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.payloads import id_of

__all__ = ["add_past_runs", "finish_after"]


def add_past_runs(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    job: int,
    durations: Sequence[float],
    *steps: str,
) -> None:
    """Let runs of a job succeed, each after its duration.

    Args:
        cloud: The emulator.
        client: A client of it.
        job: The job, whose scripted runs wait for `finish_run`.
        durations: The seconds from the start to the end of each run.
        steps: The commands that replace those of the job.
    """
    data = {"cause": "Past", **({"steps_override": [*steps]} if steps else {})}
    for seconds in durations:
        finish_after(cloud, id_of(client.start_job_run(job, data)), seconds)


def finish_after(
    cloud: DBTCloudEmulator, run_id: int, seconds: float, outcome: Outcome = "success"
) -> None:
    """Finish a run now, and date its start back by its duration."""
    cloud.finish_run(run_id, outcome)
    run = cloud._state.any_run(run_id)
    assert run is not None
    assert run.finished_at is not None
    run.created_at = run.started_at = run.finished_at - timedelta(seconds=seconds)
