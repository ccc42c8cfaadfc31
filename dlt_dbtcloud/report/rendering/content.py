"""The content of a page: its nodes with their numbers and outcomes, and its words for times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import cached_property

from dlt_dbtcloud.report.page import Execution, Node, Outcome, RunPage, has_content, outcome_of
from dlt_dbtcloud.report.rendering.graph import Graph
from dlt_dbtcloud.report.rendering.texts import Texts
from dlt_dbtcloud.report.rendering.timeline import critical_path

__all__ = [
    "NAME_LENGTH",
    "WORST_FIRST",
    "Content",
    "duration_text",
    "growth",
    "plausible",
    "time_text",
]


NAME_LENGTH = 150
# a duration that can be compared
_SHORTEST = 0.001
# the year 9999, in seconds since 1970
_END_OF_TIME = 253_370_764_800.0
WORST_FIRST: Sequence[Outcome] = ("bad", "warn", "skipped", "active", "unknown", "good", "idle")


class Content:
    """The nodes of a page, with their numbers and outcomes.

    Args:
        page: The data of the page.
        texts: Prepares its texts.

    Attributes:
        ids: The ids of all nodes, those that were executed first.
        number: The position of each in `ids`.
        last: The position of the last execution of each node that was executed.
        graph: Their graph.
        freshness: The freshness of sources, by their ids.
    """

    def __init__(self, page: RunPage, texts: Texts) -> None:
        page = self.page = _sound(page)
        self.texts = texts
        self.graph = Graph([*page.nodes, *_unknown_nodes(page)])
        # a node that several steps execute has the outcome of the last
        self.last = {each.unique_id: i for i, each in enumerate(page.executions)}
        executed = dict.fromkeys(each.unique_id for each in page.executions)
        self.ids = [*(executed | dict.fromkeys(self.graph.nodes))]
        self.number = {unique_id: i for i, unique_id in enumerate(self.ids)}
        self.freshness = {each.unique_id: each for each in page.freshness}

    @cached_property
    def critical_path(self) -> list[int]:
        """Return the positions of the critical path's executions; none before the run's end."""
        return [] if self.is_in_progress else critical_path(self.page.executions, self.graph)

    @property
    def is_in_progress(self) -> bool:
        """Whether the run is queued or running."""
        return outcome_of(self.page.run.status) in ("active", "idle")

    @property
    def absent(self) -> str:
        """The words for a node that is not executed."""
        return "not in this run yet" if self.is_in_progress else "not in this run"

    def count(self, outcome: Outcome) -> int:
        """Return the number of executed nodes with an outcome."""
        return sum(self.outcome(key) == outcome for key in self.last)

    def outcome(self, key: str) -> Outcome:
        """Return the outcome of a node; `unknown` if it is not in the run."""
        execution = self.execution(key)
        if execution is not None:
            return outcome_of(execution.status)
        fresh = self.freshness.get(key)
        return outcome_of(fresh.status) if fresh else "unknown"

    def worst_test(self, key: str) -> Outcome | None:
        """Return the worst outcome of the tests of a node that were executed."""
        tests = [self.outcome(test) for test in self.graph.tests(key) if test in self.last]
        return min(tests, key=WORST_FIRST.index, default=None)

    def name(self, key: str) -> str:
        """Return the name of a node, else its id."""
        name = self.texts.line(self.graph.nodes[key].name, NAME_LENGTH)
        return name or self.texts.line(key, NAME_LENGTH)

    def execution(self, key: str) -> Execution | None:
        """Return the last execution of a node; None if it is not in the run."""
        last = self.last.get(key)
        return None if last is None else self.page.executions[last]

    def message(self, execution: Execution) -> str | None:
        """Return the message of an execution, else the number of a test's failures."""
        count = execution.failures
        if not count or has_content(execution.message):
            return execution.message
        return f"Got {count:,} result{'' if count == 1 else 's'}"

    def freshness_text(self, key: str) -> str:
        """Return the freshness of a source in words; empty if unknown."""
        fresh = self.freshness.get(key)
        if fresh is None:
            return ""
        age = "" if fresh.age is None else f"{duration_text(fresh.age)} old"
        loaded = f"loaded at {self.texts.line(fresh.loaded_at, 40)}" if fresh.loaded_at else ""
        return ", ".join(filter(None, (age, loaded, self.texts.line(fresh.criteria, 120))))


def duration_text(seconds: float | None) -> str:
    """Return a duration in words, such as `3 min 05 s`; empty if unknown."""
    if seconds is None or not abs(seconds) < _END_OF_TIME:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def plausible(seconds: float | None) -> float | None:
    """Return a time or duration; None if it is unknown, negative or endless."""
    return seconds if seconds is not None and 0 <= seconds < _END_OF_TIME else None


def growth(now: float, before: float) -> int | None:
    """Return the growth of a duration in percent; None if it was too short to compare."""
    return round(100 * (now - before) / before) if before >= _SHORTEST else None


def time_text(seconds: float | None) -> str:
    """Return a time in UTC; empty if unknown."""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc) if seconds is not None else None
    except (OverflowError, OSError, ValueError):
        return ""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


def _sound(page: RunPage) -> RunPage:
    """Return a page without times that are no times, such as infinity."""
    executions = tuple(
        replace(each, started_at=plausible(each.started_at), seconds=plausible(each.seconds) or 0.0)
        for each in page.executions
    )
    steps = tuple(
        replace(
            each, started_at=plausible(each.started_at), finished_at=plausible(each.finished_at)
        )
        for each in page.steps
    )
    run = replace(
        page.run,
        created_at=plausible(page.run.created_at),
        started_at=plausible(page.run.started_at),
        finished_at=plausible(page.run.finished_at),
    )
    past = {
        key: replace(each, seconds=plausible(each.seconds) or 0.0)
        for key, each in page.past.items()
    }
    made_at = plausible(page.made_at) or 0.0
    return replace(page, run=run, made_at=made_at, steps=steps, executions=executions, past=past)


def _unknown_nodes(page: RunPage) -> Iterator[Node]:
    """Return nodes that were executed or checked, but are not in the project."""
    known = {node.unique_id for node in page.nodes}
    found = [each.unique_id for each in page.executions]
    found += [each.unique_id for each in page.freshness]
    for unique_id in dict.fromkeys(found):
        if unique_id not in known:
            kind, _, rest = unique_id.partition(".")
            name = rest.split(".")[-1] if rest else unique_id
            yield Node(unique_id, name, kind if rest else "node")
