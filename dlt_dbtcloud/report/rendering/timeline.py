"""The timeline of a run: its threads, its critical path, and where the time went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlt_dbtcloud.report.page import Execution, PastTime, RunPage, outcome_of
from dlt_dbtcloud.report.rendering.graph import Graph

__all__ = [
    "Phase",
    "Slow",
    "Timeline",
    "critical_path",
    "phases",
    "slowest",
    "timeline",
]


# seconds by which the clocks of dbt's threads may differ
_TOLERANCE = 0.05
_UNKNOWN_THREAD = "(no thread)"
# lanes of a thread whose executions overlap
_MAX_LANES = 12


@dataclass(frozen=True)
class Phase:
    """A part of the time of a run.

    Args:
        kind: `queue`, `setup`, `step` or `rest`.
        name: Its name.
        seconds: Its duration.
        step: The index of its step, if it is one.
    """

    kind: str
    name: str
    seconds: float
    step: int | None = None


@dataclass(frozen=True)
class Timeline:
    """The lanes of a timeline.

    Args:
        threads: The names of the threads, sorted.
        lanes: The lane of each execution in the order of the page; None if it has no time.
        start: When the first execution began.
        end: When the last one ended.
    """

    threads: tuple[str, ...]
    lanes: tuple[int | None, ...]
    start: float
    end: float


@dataclass(frozen=True)
class Slow:
    """A slow execution.

    Args:
        index: Its position in the page.
        execution: The execution.
        past: The median of the node's earlier executions, if known.
    """

    index: int
    execution: Execution
    past: PastTime | None


def timeline(executions: Sequence[Execution]) -> Timeline:
    """Return the lanes of executions: one per thread, and more if a thread's overlap."""
    timed = [
        (execution.started_at, index)
        for index, execution in enumerate(executions)
        if execution.started_at is not None
    ]
    ends: dict[str, list[float]] = defaultdict(list)
    places: dict[int, tuple[str, int]] = {}
    for began, index in sorted(timed):
        thread = _thread_of(executions[index])
        lanes = ends[thread]
        free = (lane for lane, end in enumerate(lanes) if end <= began + _TOLERANCE)
        lane = min(next(free, len(lanes)), _MAX_LANES - 1)
        lanes[lane : lane + 1] = [began + executions[index].seconds]
        places[index] = thread, lane
    order = [(name, lane) for name in sorted(ends, key=_natural) for lane in range(len(ends[name]))]
    numbers = {place: number for number, place in enumerate(order)}
    return Timeline(
        tuple(name for name, _ in order),
        tuple(numbers.get(places.get(i, ("", -1))) for i in range(len(executions))),
        min((began for began, _ in timed), default=0.0),
        max((began + executions[index].seconds for began, index in timed), default=0.0),
    )


def critical_path(executions: Sequence[Execution], graph: Graph) -> list[int]:
    """Return the executions that determined the end of each step, as positions, first to last.

    Each began when the one before it, of which it is made, had ended.
    """
    steps: dict[int, dict[str, int]] = defaultdict(dict)
    for index, execution in enumerate(executions):
        if execution.started_at is not None and execution.status != "skipped":
            steps[execution.step][execution.unique_id] = index
    return [index for step in sorted(steps) for index in _path(executions, steps[step], graph)]


def _path(executions: Sequence[Execution], of_step: Mapping[str, int], graph: Graph) -> list[int]:
    """Return the critical path of a step.

    Args:
        executions: All executions.
        of_step: The positions of those of the step, by their nodes.
        graph: The graph of the nodes.
    """
    last: int | None = max(of_step.values(), key=lambda i: _end(executions[i]), default=None)
    path: list[int] = []
    while last is not None:
        path.append(last)
        execution = executions[last]
        began = execution.started_at or 0.0
        waited_for = map(of_step.__getitem__, graph.awaited(execution.unique_id, of_step))
        earlier = [
            i
            for i in waited_for
            if _end(executions[i]) <= began + _TOLERANCE
            # the tolerance must not lead in circles
            and (executions[i].started_at or 0.0) < began
            and i != last
        ]
        last = max(earlier, key=lambda i: _end(executions[i]), default=None)
    return path[::-1]


def phases(page: RunPage) -> list[Phase]:
    """Return the parts of the time of a run: queue, set-up, steps and rest."""
    run = page.run
    now = run.finished_at or page.made_at
    found: list[Phase] = []
    if run.created_at is not None:
        left = run.started_at if run.started_at is not None else now
        found.append(Phase("queue", "Queue", max(0.0, left - run.created_at)))
    setup = 0.0
    steps: list[Phase] = []
    for step in page.steps:
        if step.started_at is None:
            continue
        seconds = max(0.0, (step.finished_at or now) - step.started_at)
        if step.command is None:
            setup += seconds
        else:
            steps.append(Phase("step", step.command, seconds, step.index))
    if setup:
        found.append(Phase("setup", "Set-up", setup))
    found += steps
    if run.started_at is not None:
        rest = now - run.started_at - setup - sum(phase.seconds for phase in steps)
        if rest > _TOLERANCE:
            found.append(Phase("rest", "Between steps", rest))
    return found


def slowest(
    executions: Sequence[Execution], past: Mapping[str, PastTime], count: int = 10
) -> list[Slow]:
    """Return the slowest nodes, each by its longest execution, the slowest first.

    Skipped nodes and those with nothing to do are left out.
    """
    order = sorted(range(len(executions)), key=lambda i: -executions[i].seconds)
    longest: dict[str, Slow] = {}
    for i in order:
        execution = executions[i]
        key, outcome = execution.unique_id, outcome_of(execution.status)
        if len(longest) == count or execution.seconds <= 0:
            break
        if outcome not in ("skipped", "idle"):
            longest.setdefault(key, Slow(i, execution, past.get(key)))
    return [*longest.values()]


def _end(execution: Execution) -> float:
    return (execution.started_at or 0.0) + execution.seconds


def _thread_of(execution: Execution) -> str:
    # `Thread-1 (worker)`, and `Thread-1 (` in the debug log
    return (execution.thread or "").partition(" (")[0].strip() or _UNKNOWN_THREAD


def _natural(name: str) -> tuple[int, str]:
    """Return a key that sorts `Thread-2` before `Thread-10`."""
    digits = name.rpartition("-")[2]
    return (int(digits) if digits.isdecimal() and len(digits) < 10 else 10**10, name)
