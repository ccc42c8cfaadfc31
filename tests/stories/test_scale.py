"""Many pipelines that end at once exceed the limit of requests, and each gets its one run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from dlt.common import logger

from benchmarks.scale import Call, Report, Request, Scenario, Simulation, report
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run

SMALL = Scenario(loads=6, jobs=2, per_minute=30, seconds=60.0)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Let the pauses of the calls be the same in each session, and log nothing."""
    state, level = random.getstate(), logger.LOGGER.level
    random.seed(7)
    logger.LOGGER.setLevel("CRITICAL")
    yield
    logger.LOGGER.setLevel(level)
    random.setstate(state)


@pytest.mark.parametrize(
    ("scenario", "runs"),
    [
        (replace(SMALL, loads=5, workers=2, per_minute=50, sends_retry_after=True), 5),
        (replace(SMALL, lost=0.05), 6),
    ],
    ids=["workers", "lost"],
)
def test_each_load_gets_one_run_beyond_the_limit_of_requests(scenario: Scenario, runs: int) -> None:
    found = Simulation(scenario).run()
    assert not found.has_failed, found
    assert found.runs == runs
    # the calls have met the limit, and do not exceed it again
    assert found.refused >= 10
    assert found.cool_downs == 1


def test_loads_share_queued_runs_beyond_the_limit_of_requests() -> None:
    found = Simulation(replace(SMALL, loads=9, reuse_queued_run=True)).run()
    assert not found.has_failed, found
    assert found.cool_downs == 1
    assert SMALL.jobs < found.runs <= 4 * SMALL.jobs < 9


def test_calls_that_do_not_wait_respect_the_limit() -> None:
    found = Simulation(replace(SMALL, waits=False)).run()
    assert not found.has_failed, found
    # the search for a run of the load, the trigger, and the search for one of another worker
    assert (found.runs, found.requests, found.refused) == (6, 3 * 6, 0)


LOADS = [LastLoad(f"pipeline_{number}", "1732150000.123") for number in range(3)]
TRIGGERS = [Trigger("7", {"cause": "x"}, load) for load in LOADS]


def ended(run_id: int, trigger: Trigger, **options: Any) -> Run:
    payload: dict[str, Any] = {
        "id": run_id,
        "job_definition_id": 7,
        "trigger": {"cause": trigger.cause},
        "started_at": "2026-11-26",
        "is_success": True,
        "is_cancelled": False,
    }
    return cast(Run, {**payload, **options})


def reported(runs: list[Run], returned: list[Run | None], **options: Any) -> Report:
    """Return the report on calls at 10 s, of which each has returned a run or none at 900 s."""
    sent = [Request(20.0 + number, "trigger", 7, 200) for number in range(len(runs))]
    calls = [Call(900.0, 10.0, TRIGGERS[number], run) for number, run in enumerate(returned)]
    return report(Scenario(**options), sent, calls, runs)


def test_a_simulation_finds_each_error() -> None:
    first, again, other = (ended(1, TRIGGERS[0]), ended(2, TRIGGERS[0]), ended(3, TRIGGERS[1]))
    fine = reported([first, other], [first, other], seconds=300.0)
    assert not fine.has_failed
    assert (fine.runs, fine.queued, fine.triggered, fine.noticed) == (2, 1, 21.0, 900 - 320)
    twice = reported([first, again], [first])
    assert (twice.has_failed, twice.duplicates, twice.lost, twice.wrong) == (True, 1, 1, 0)
    cancelled = ended(2, TRIGGERS[0], is_cancelled=True, is_success=False, started_at=None)
    assert not reported([first, cancelled], [first]).has_failed
    for wrong in (None, other, cancelled):
        found = reported([first, cancelled, other], [wrong, other])
        assert (found.has_failed, found.wrong, found.duplicates) == (True, 1, 0)


def test_a_run_that_began_before_the_load_does_not_build_it() -> None:
    early, late = ended(1, TRIGGERS[2]), ended(2, TRIGGERS[2])
    for run, is_right in ((early, False), (late, True)):
        sent = [Request(moment, "trigger", 7, 200) for moment in (5.0, 6.0)]
        calls = [Call(900.0, 10.0, replace(TRIGGERS[0], reuse_queued_run=True), run)]
        found = report(Scenario(reuse_queued_run=True), sent, calls, [early, late])
        assert (found.wrong == 0) is is_right


def test_a_simulation_repeats_itself() -> None:
    found = []
    for _ in range(2):
        random.seed(3)
        found.append(Simulation(replace(SMALL, loads=3, per_minute=15), seed=3).run())
    assert found[0] == found[1]
    assert not found[0].has_failed, found[0]
    assert (found[0].runs, found[0].cool_downs) == (3, 1)
    assert found[0].refused
