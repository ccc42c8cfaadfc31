"""Durations of a job's past runs, and what they predict for a watched run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import NamedTuple

from dlt.common import logger

from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import id_of, time_of
from dlt_dbtcloud.runs.schedule import Expected, next_check, usual_ends
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["Durations", "Kind", "Pace", "durations_of", "kind_of"]

# the newest successful runs of one job, and of the whole account for several jobs
_RUNS_OF_JOB = 50
_RUNS_OF_ACCOUNT = 100
# older runs of a kind predict nothing
_RUNS_OF_KIND = 20
# seconds of waiting after which past runs are read: a shorter run needs no prediction
_READ_AFTER = 5.0
# seconds for the request
_READ_WITHIN = 10.0


class Kind(NamedTuple):
    """A job and its overridden commands: runs of one kind take about as long."""

    job_id: int
    steps: tuple[str, ...]


def kind_of(run: Run) -> Kind | None:
    """Return the kind of a run; None for a retry or if unknown."""
    trigger, job_id = run.get("trigger"), run.get("job_definition_id")
    if not trigger or not job_id or retried_run(run) is not None:
        return None
    return Kind(job_id, tuple(map(_without_vars, trigger.get("steps_override") or ())))


@dataclass(frozen=True)
class Durations:
    """Seconds from the start to the end of successful runs, by their kind, newest first."""

    by_kind: Mapping[Kind, tuple[float, ...]] = field(default_factory=dict)

    def of(self, run: Run) -> tuple[float, ...]:
        """Return the durations of the runs of a run's kind."""
        kind = kind_of(run)
        return self.by_kind.get(kind, ()) if kind else ()


def durations_of(runs: Iterable[Run]) -> Durations:
    """Return the durations of finished runs.

    Args:
        runs: The runs, newest first, read with their triggers.
    """
    found: dict[Kind, list[float]] = {}
    for run in runs:
        kind = kind_of(run)
        started, finished = time_of(run, "started_at"), time_of(run, "finished_at")
        if kind and started and finished and finished >= started:
            found.setdefault(kind, []).append(finished - started)
    return Durations({kind: tuple(each[:_RUNS_OF_KIND]) for kind, each in found.items()})


class Pace:
    """When the watched runs started, and when they usually end.

    Args:
        clock: A clock, injectable for tests.
        client: The client that reads past runs, with one request; None reads none.
        past: The durations of past runs, if they are known.
    """

    def __init__(
        self,
        clock: Clock,
        client: DBTCloudClientV2 | None = None,
        past: Durations | None = None,
    ) -> None:
        self._clock = clock
        self._client = client
        self._began: float | None = None
        self._durations = past
        self._started: dict[int, float] = {}
        self._waiting: dict[int, float] = {}
        # the age at the next regular check
        self._due: float | None = None

    def note(self, run: Run) -> None:
        """Note whether a run has started, by the payload of a check."""
        run_id, now = id_of(run), self._clock.monotonic()
        self._began = now if self._began is None else self._began
        if run_id in self._started:
            return
        started = _time_here(run, self._clock)
        if started is None:
            self._waiting[run_id] = now
        else:
            # clocks that disagree do not place it before the last check, or in the future
            self._started[run_id] = min(max(started, self._waiting.get(run_id, started)), now)

    def read(self, runs: Sequence[Run], *, is_needed: bool) -> None:
        """Read the past runs once, if the wait is long; an error changes nothing.

        After a cool-down of the API they are not read.

        Args:
            runs: The runs that are still watched.
            is_needed: Whether a prediction is of use.
        """
        now = self._clock.monotonic()
        waited = now - (now if self._began is None else self._began)
        is_due = is_needed and waited >= _READ_AFTER
        if self._client is None or self._durations is not None or not is_due:
            return
        # a request that can be spared, if the API limits them
        if self._client.shortest_pause:
            return
        jobs = {kind.job_id for run in runs if (kind := kind_of(run))}
        if not jobs:
            return
        self._durations = Durations()
        try:
            self._durations = durations_of(_past_runs(self._client, jobs))
        except DBTCloudException as error:
            logger.debug(f"The past runs of the job are unknown. {error}")

    def usual(self, run: Run) -> float | None:
        """Return the median of a run's usual durations in seconds, if known."""
        durations = self._past(run)
        return median(durations) if durations else None

    def running(self, run: Run) -> float | None:
        """Return the seconds since a run started; None if it has not."""
        started = self._started.get(id_of(run))
        return None if started is None else self._clock.monotonic() - started

    def pause(self, runs: Sequence[Run], age: float, wait_seconds: float) -> float:
        """Return the pause before the next check of runs.

        Args:
            runs: The runs that are still watched.
            age: Seconds since the trigger of the youngest.
            wait_seconds: The longest pause; 0 for one second.
        """
        expected = [
            Expected(self.running(run), usual_ends(self._past(run), wait_seconds)) for run in runs
        ]
        pause, self._due = next_check(age, self._due, wait_seconds, expected)
        return pause

    def _past(self, run: Run) -> tuple[float, ...]:
        return self._durations.of(run) if self._durations else ()


def _past_runs(client: DBTCloudClientV2, jobs: set[int]) -> Iterator[Run]:
    """Return the newest successful runs, with one request."""
    is_one = len(jobs) == 1
    limit = _RUNS_OF_JOB if is_one else _RUNS_OF_ACCOUNT
    listed = client.patient(0, within=_READ_WITHIN).list_runs(
        **({"job_definition_id": min(jobs)} if is_one else {}),
        status=int(RunStatus.SUCCESS),
        include_related=["trigger"],
        order_by="-finished_at",
        limit=limit,
    )
    return islice(listed, limit)


def _time_here(run: Run, clock: Clock) -> float | None:
    """Return when a run started by the monotonic clock, if the clocks agree."""
    started = time_of(run, "started_at")
    return None if started is None else clock.monotonic() - (clock.time() - started)


def _without_vars(command: str) -> str:
    """Return a command without `--vars`, whose values may change with each load."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    dropped = {number for number, word in enumerate(words) if word == "--vars"}
    dropped |= {number + 1 for number in dropped}
    return shlex.join(
        word
        for number, word in enumerate(words)
        if number not in dropped and not word.startswith("--vars=")
    )
