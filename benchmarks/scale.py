"""A thousand calls within a minute, on one account with the limit of requests of dbt Cloud.

make scale
make scale SCENARIOS='alone reuse' DURATION=300

Each call is of a pipeline of its own, with a client of its own, and sends real requests to one
embedded dbt Cloud. All of them share a clock on which only sleeping takes time, and of which one
thread runs at a time: the minutes of a run, of a cool-down and between two checks take none.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import requests

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudConfiguration, DBTCloudException
from dlt_dbtcloud.cause import bound_load
from dlt_dbtcloud.client.deadlines import DeadlineAdapter
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeTimer, SharedClock

MINUTE, COOL_DOWN = 60.0, 300.0
# seconds to the API and back
LATENCY = (0.05, 0.3)
LOST: tuple[Kind, ...] = ("cut", "half", "html", "status")
# the requests of a route among which faults are spread
FAULTY_REQUESTS = 5000
TOO_MANY = 429


@dataclass(frozen=True)
class Scenario:
    """The calls of a simulation.

    Args:
        loads: The number of pipelines, each with one load, which ends within the same minute.
        jobs: The number of jobs, each the job of as many pipelines.
        workers: The number of calls for each load: half of the second ones come within a second of
            the first, the others two minutes after it.
        seconds: The duration of a run.
        per_minute: The limit of requests.
        sends_retry_after: Whether a 429 has a `Retry-After` header.
        lost: The share of responses that are lost, after the request took effect.
        reuse_queued_run: As of `run_dbt_cloud_job`.
        waits: As `wait_for_outcome` of it.
        wait_seconds: As of it.
    """

    loads: int = 1000
    jobs: int = 100
    workers: int = 1
    seconds: float = 120.0
    per_minute: int = 5000
    sends_retry_after: bool = False
    lost: float = 0.0
    reuse_queued_run: bool = False
    waits: bool = True
    wait_seconds: float = 10.0


SCENARIOS = {
    "alone": Scenario(),
    "header": Scenario(sends_retry_after=True),
    "reuse": Scenario(reuse_queued_run=True),
    "workers": Scenario(loads=500, workers=2),
    "lost": Scenario(lost=0.05),
    "no-wait": Scenario(waits=False),
    "200": Scenario(loads=200),
}


class Request(NamedTuple):
    """A request: its arrival, its kind, the job that it triggers, and the status or 0."""

    at: float
    kind: str
    job_id: int
    status: int


class Call(NamedTuple):
    """A call that has ended: when, for which load and trigger, and its run unless it failed."""

    at: float
    loaded: float
    trigger: Trigger
    run: Run | None


@dataclass(frozen=True)
class Report:
    """The outcome of a simulation; times are in seconds since the first load ended.

    Args:
        requests: The number of requests.
        busiest: The most requests in a minute.
        refused: The number of 429s.
        cool_downs: How often the API began to refuse all requests.
        runs: The number of runs that were not cancelled.
        cancelled: The number of runs that were.
        queued: The most runs that were queued at once.
        triggered: When the last run was triggered.
        ended: When the last call ended.
        noticed: The longest time from the end of a run to the end of its call.
        duplicates: The number of successful runs of a load beyond the first.
        wrong: The number of calls with an error, or with a run that does not build their load.
        lost: The number of runs that no call returned.
    """

    requests: int
    busiest: int
    refused: int
    cool_downs: int
    runs: int
    cancelled: int
    queued: int
    triggered: float
    ended: float
    noticed: float
    duplicates: int
    wrong: int
    lost: int

    @property
    def has_failed(self) -> bool:
        """Whether a call had a wrong effect or a wrong outcome."""
        return bool(self.duplicates or self.wrong or self.lost)


class Network(DeadlineAdapter):
    """The way to the API, which takes time on the clock; it records the requests."""

    def __init__(self, clock: SharedClock, chance: random.Random) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._clock = clock
        self._chance = chance

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """Send a request."""
        there, back = (self._chance.uniform(*LATENCY) / 2 for _ in range(2))
        self._clock.sleep(there)
        arrived, status = self._clock.now, 0
        try:
            response = super().send(request, *args, **options)
            status = response.status_code
        finally:
            self.requests.append(Request(arrived, *_kind(request), status))
            self._clock.sleep(back)
        return response


class Simulation:
    """The calls of a scenario and their outcomes.

    Args:
        scenario: The scenario.
        seed: The seed of all that is random but the jitter of the calls.
    """

    def __init__(self, scenario: Scenario, seed: int = 7) -> None:
        self._scenario = scenario
        self._chance = random.Random(seed)
        self._clock = SharedClock()
        self._network = Network(self._clock, self._chance)
        self._calls: list[Call] = []

    def run(self) -> Report:
        """Make all calls, and report."""
        clock, scenario = self._clock, self._scenario
        with (
            DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud,
            requests.Session() as session,
        ):
            session.trust_env = False
            session.mount("http://", self._network)
            jobs = [
                cloud.create_job(f"Job {number}", duration=scenario.seconds)
                for number in range(scenario.jobs)
            ]
            cloud.limit_requests(
                scenario.per_minute,
                cool_down=COOL_DOWN,
                sends_retry_after=scenario.sends_retry_after,
                clock=clock.monotonic,
            )
            self._spoil(cloud)
            clock.run(self._starts(cloud, session, jobs))
            return report(scenario, self._network.requests, self._calls, cloud.runs)

    def _starts(
        self, cloud: DBTCloudEmulator, session: requests.Session, jobs: Sequence[int]
    ) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield the calls, with the times when they begin."""
        scenario, epoch = self._scenario, self._clock.time()
        for number in range(scenario.loads):
            loaded = self._chance.uniform(0, MINUTE)
            load = LastLoad(f"pipeline_{number}", f"{epoch + loaded:.6f}", epoch + loaded)
            trigger = Trigger(
                str(jobs[number % len(jobs)]),
                {"cause": "By dlt"},
                load,
                reuse_queued_run=scenario.reuse_queued_run,
            )
            for worker in range(scenario.workers):
                is_retry = self._chance.random() < 0.5
                later = 2 * MINUTE if is_retry else self._chance.uniform(0, 1)
                begins = loaded + later * worker
                yield begins, partial(self._call, cloud, session, trigger, loaded)

    def _call(
        self, cloud: DBTCloudEmulator, session: requests.Session, trigger: Trigger, loaded: float
    ) -> None:
        config = DBTCloudConfiguration(
            cloud.api_token,
            str(cloud.account_id),
            cloud.url,
            wait_for_outcome=self._scenario.waits,
            wait_seconds=self._scenario.wait_seconds,
        )
        client = DBTCloudClientV2(
            cloud.api_token, cloud.account_id, cloud.url, session=session, clock=self._clock
        )
        run = None
        try:
            (run,) = Lifecycle(client, config).run_all([trigger])
        except DBTCloudException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        self._calls.append(Call(self._clock.now, loaded, trigger, run))

    def _spoil(self, cloud: DBTCloudEmulator) -> None:
        """Lose a share of the responses to the first requests of each route."""
        for route in ("trigger_job", "list_runs", "get_run", "cancel_run"):
            for number in range(FAULTY_REQUESTS if self._scenario.lost else 0):
                if self._chance.random() < self._scenario.lost:
                    cloud.fail(route, self._chance.choice(LOST), skip=number)


def report(
    scenario: Scenario, sent: Sequence[Request], calls: Sequence[Call], runs: Sequence[Run]
) -> Report:
    """Return the outcome of a simulation.

    Args:
        scenario: The scenario.
        sent: The requests.
        calls: The calls.
        runs: The runs.
    """
    arrivals = [each for each in sent if each.kind == "trigger" and each.status != TOO_MANY]
    times = _times(arrivals, runs, scenario.seconds)
    kept = [run for run in runs if not run["is_cancelled"]]
    built = Counter(bound_load(run) for run in kept)
    returned = {id_of(call.run) for call in calls if call.run}
    return Report(
        requests=len(sent),
        busiest=max(Counter(each.at // MINUTE for each in sent).values()),
        refused=sum(each.status == TOO_MANY for each in sent),
        cool_downs=_cool_downs(each.at for each in sent if each.status == TOO_MANY),
        runs=len(kept),
        cancelled=len(runs) - len(kept),
        queued=_most_queued([*times.values()]),
        triggered=max(each.at for each in arrivals),
        ended=max(call.at for call in calls),
        noticed=max(_delays(calls, times), default=0.0) if scenario.waits else 0.0,
        duplicates=sum(built.values()) - len(built),
        wrong=sum(not _is_right(call, times, waits=scenario.waits) for call in calls),
        lost=len({id_of(run) for run in kept} - returned),
    )


class Span(NamedTuple):
    """When a run was triggered, when it started, and when it ended."""

    triggered: float
    starts: float
    ends: float


def _times(arrivals: Sequence[Request], runs: Sequence[Run], seconds: float) -> dict[int, Span]:
    """Return the times of the runs that have started; those of a job run one by one."""
    triggered = defaultdict(list)
    for each in arrivals:
        triggered[each.job_id].append(each.at)
    times: dict[int, Span] = {}
    for job, moments in triggered.items():
        own = sorted((run for run in runs if run["job_definition_id"] == job), key=id_of)
        is_free = 0.0
        for moment, run in zip(sorted(moments), own, strict=True):
            if run["started_at"]:
                starts = max(moment, is_free)
                is_free = starts + seconds
                times[id_of(run)] = Span(moment, starts, is_free)
    return times


def _is_right(call: Call, times: Mapping[int, Span], *, waits: bool) -> bool:
    """Return whether a call returned a run that builds its load: its own, or a later one."""
    if call.run is None or (waits and not call.run["is_success"]):
        return False
    span = times.get(id_of(call.run))
    is_later = call.trigger.reuse_queued_run and span is not None and span.starts >= call.loaded
    return is_later or call.trigger.is_satisfied_by(call.run)


def _delays(calls: Iterable[Call], times: Mapping[int, Span]) -> Iterator[float]:
    """Yield the seconds from the end of each run to the end of its call."""
    for call in calls:
        if call.run and (span := times.get(id_of(call.run))):
            # a call for a load whose run has ended returns at once
            yield call.at - max(span.ends, call.loaded)


def _cool_downs(refusals: Iterable[float]) -> int:
    """Return the number of cool-downs in which requests were refused."""
    found, ends = 0, 0.0
    for moment in sorted(refusals):
        if moment >= ends:
            found, ends = found + 1, moment + COOL_DOWN
    return found


def _most_queued(spans: Collection[Span]) -> int:
    """Return the most runs that waited for their start at the same time."""
    changes = [(span.triggered, 1) for span in spans] + [(span.starts, -1) for span in spans]
    queued = most = 0
    for _, change in sorted(changes):
        queued += change
        most = max(most, queued)
    return most


def _kind(request: requests.PreparedRequest) -> tuple[str, int]:
    """Return the kind of a request, and the job that it triggers."""
    parts = request.path_url.partition("?")[0].strip("/").split("/")
    if parts[-1] == "run":
        return "trigger", int(parts[-2])
    kinds = {"runs": "list", "cancel": "cancel"}
    return kinds.get(parts[-1], "check"), 0


class Task(NamedTuple):
    """A simulation to run."""

    name: str
    scenario: Scenario
    seed: int


def simulate(task: Task) -> tuple[Task, Report, float, float]:
    """Run a simulation in a process of its own; return also its CPU seconds and megabytes."""
    os.environ |= {"RUNTIME__LOG_LEVEL": "CRITICAL"}
    # the jitter of the calls
    random.seed(task.seed)
    found = Simulation(task.scenario, task.seed).run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return task, found, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Run the simulations, print their reports as a table, and fail on any error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS], help=", ".join(SCENARIOS))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--duration", type=float, default=Scenario.seconds, help="of a run, in s")
    options = parser.parse_args()
    tasks = [
        Task(name, replace(SCENARIOS[name], seconds=options.duration), options.seed)
        for name in options.scenarios
    ]
    names = [field.name for field in fields(Report)]
    print("|".join(["", "scenario", *names, "CPU s", "MB", ""]), flush=True)
    began, has_failed = time.monotonic(), False
    with get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        for task, found, seconds, megabytes in pool.imap_unordered(simulate, tasks):
            numbers = [getattr(found, name) for name in names]
            cells = [f"{number:,.0f}" for number in (*numbers, seconds, megabytes)]
            print("|".join(["", task.name, *cells, ""]), flush=True)
            has_failed |= found.has_failed
    print(f"{time.monotonic() - began:.0f} seconds")
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
