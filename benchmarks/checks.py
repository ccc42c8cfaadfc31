"""Status checks of ten simulated jobs, with and without the durations of their past runs.

python -m benchmarks.checks

Each job runs on an embedded dbt Cloud, on a clock on which only sleeping takes time.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.progress import Pace, Progress
from dlt_dbtcloud.runs.watch import Watch
from tests.support.clock import FakeClock, clocked
from tests.support.past_runs import add_past_runs, finish_after

PAST, RUNS = 20, 5
WAIT_SECONDS = 10.0
# seconds within which the end of a usual run is noticed
PROMPT = 2.0

Duration = Callable[[random.Random], float]


@dataclass(frozen=True)
class SimulatedJob:
    """A job.

    Args:
        name: What it is like.
        past: The duration of a past run, in seconds.
        now: The duration of a run that is measured; by default as of a past run.
        outcome: The outcome of that run.
    """

    name: str
    past: Duration
    now: Duration | None = None
    outcome: Outcome = "success"

    @property
    def is_usual(self) -> bool:
        """Whether the measured runs take as long as the past ones."""
        return self.now is None


class Measured(NamedTuple):
    """The duration of a run, the delay in noticing its end, and its checks."""

    seconds: float
    late: float
    checks: int


def about(seconds: float, spread: float = 1.0) -> Duration:
    """Return a duration that varies by some seconds."""
    return lambda chance: seconds + chance.uniform(-spread, spread)


JOBS = (
    SimulatedJob("steady, a minute", about(60)),
    SimulatedJob("steady, ten minutes", about(600)),
    SimulatedJob("steady, an hour", about(3600, 15)),
    SimulatedJob("varies by ten seconds", about(300, 5)),
    SimulatedJob("bimodal", lambda chance: chance.choice((60, 600)) + chance.uniform(-1, 1)),
    SimulatedJob("slow: twice as long", about(600), about(1200, 60)),
    SimulatedJob("slower by a minute", about(300), about(360, 10)),
    SimulatedJob("fails at once", about(600), about(8, 6), "error"),
    SimulatedJob("fails early", about(600), about(80, 40), "error"),
    SimulatedJob("fails halfway", about(3600, 15), about(1800, 300), "error"),
)


def main() -> None:
    """Print the measurements, and fail if a run was noticed later than promised."""
    table = Table(title=f"Status checks, `wait_seconds={WAIT_SECONDS:g}`")
    for heading in (
        *("job", "seconds", "late: regular", "placed", "checks: regular", "placed"),
        *("one per 10 s", "one per 2 s"),
    ):
        table.add_column(heading, justify="left" if heading == "job" else "right")
    broken = []
    for number, job in enumerate(JOBS):
        regular, placed = measure(job, number)
        seconds = mean(run.seconds for run in placed)
        cells = [
            *(max(run.late for run in runs) for runs in (regular, placed)),
            *(mean(run.checks for run in runs) for runs in (regular, placed)),
            *(seconds / WAIT_SECONDS, seconds / PROMPT),
        ]
        table.add_row(job.name, f"{seconds:,.0f}", *(f"{cell:,.1f}" for cell in cells))
        broken += [job.name] if not is_as_promised(job, regular, placed) else []
    Console(width=120).print(table)
    if broken:
        sys.exit(f"Not as promised: {', '.join(broken)}.")


def measure(job: SimulatedJob, seed: int) -> tuple[list[Measured], list[Measured]]:
    """Measure runs without and with the durations of past runs.

    Args:
        job: The job.
        seed: The seed of its durations.
    """
    chance = random.Random(seed)
    past = [job.past(chance) for _ in range(PAST)]
    lengths = [(job.now or job.past)(chance) for _ in range(RUNS)]
    with (
        DBTCloudEmulator() as cloud,
        DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client,
    ):
        add_past_runs(cloud, cloud.create_job(job.name, duration=None), past)
        watched = partial(watch, cloud, client, job)
        return (
            [watched(seconds, reads=False) for seconds in lengths],
            [watched(seconds, reads=True) for seconds in lengths],
        )


def watch(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    job: SimulatedJob,
    seconds: float,
    *,
    reads: bool,
) -> Measured:
    """Watch a run that ends after some seconds; read the past runs or not."""
    # ahead of the emulator, so that the run starts at its trigger and not a moment later
    clock = FakeClock(ahead=3600)
    client = clocked(client, clock)
    run = client.start_job_run(cloud.runs[0]["job_definition_id"])
    clock.at(seconds, partial(finish_after, cloud, id_of(run), seconds, job.outcome))
    before = len(cloud.requests)
    pace = Pace(clock, client if reads else None)
    progress = Progress(None, pace, clock)
    Watch(client, [run], are_new=True, progress=progress).until(86400, WAIT_SECONDS)
    checks = sum(request.path.endswith(f"/{run['id']}/") for request in cloud.requests[before:])
    return Measured(seconds, clock.now - seconds, checks)


def is_as_promised(
    job: SimulatedJob, regular: Sequence[Measured], placed: Sequence[Measured]
) -> bool:
    """Return whether the end of each run was noticed in time, with few checks."""
    if job.is_usual:
        return all(run.late <= PROMPT and run.checks < run.seconds / PROMPT for run in placed)
    pairs = zip(placed, regular, strict=True)
    return all(ours.late <= theirs.late + 1e-6 for ours, theirs in pairs)


if __name__ == "__main__":
    main()
