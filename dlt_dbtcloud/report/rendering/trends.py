"""Values of the page of a job's runs: slow and slowing nodes, flaky tests, freshness."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from dlt_dbtcloud.report.page import Outcome, outcome_of
from dlt_dbtcloud.report.rendering.content import (
    WORST_FIRST,
    duration_text,
    growth,
    plausible,
    time_text,
)
from dlt_dbtcloud.report.rendering.graph import TESTS
from dlt_dbtcloud.report.rendering.texts import Texts
from dlt_dbtcloud.report.trend import NodeTime, SourceAge, Trend, TrendRun

__all__ = ["Flaky", "Saving", "Slow", "flaky_tests", "saving", "slow_nodes", "trend_values"]


_COUNT = 10
# runs in the chart, and runs up to which a bar has an icon
_RUNS, _MARKED = 200, 80
# the widest and the lowest bar, in percent
_WIDEST, _LOWEST = 3.0, 2.0
# seconds at the top of the chart
_LEVELS = (
    *(
        0.1,
        0.2,
        0.5,
        1,
        2,
        4,
        6,
        10,
        20,
        30,
        40,
        60,
        90,
        120,
        180,
        240,
        360,
        600,
        900,
        1200,
        1800,
        2700,
        3600,
    ),
    *(5400, 7200, 10_800, 14_400, 28_800, 43_200, 86_400, 172_800, 345_600),
)
_WORDS: Mapping[Outcome, str] = {
    "bad": "failed",
    "warn": "warned",
    "skipped": "cancelled",
    "active": "running",
    "unknown": "other",
    "good": "succeeded",
    "idle": "queued",
}
# of a line of times
_LINE, _LINE_HEIGHT = 120.0, 24.0
# runs from which times have a trend, and the growth that counts as one
_ENOUGH, _GROWTH, _SECONDS = 4, 1.2, 0.1
_DAY = 86_400.0


@dataclass(frozen=True)
class Slow:
    """The times of a node that is not a test.

    Args:
        name: Its name.
        resource_type: Its type.
        times: Its times, oldest first.
        median: Their median.
        before: The median of the older half, if there are enough.
        after: The median of the newer half.
    """

    name: str
    resource_type: str
    times: tuple[float, ...]
    median: float
    before: float | None = None
    after: float | None = None

    @property
    def is_slowing(self) -> bool:
        """Whether the newer half is clearly slower."""
        if self.before is None or self.after is None:
            return False
        grown = self.after - self.before
        return self.after >= _GROWTH * self.before and grown >= _SECONDS


@dataclass(frozen=True)
class Flaky:
    """A test that passes in some runs and fails in others.

    Args:
        name: Its name.
        outcomes: Its outcomes, oldest first.
        changes: How often the outcome changed.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    changes: int


@dataclass(frozen=True)
class Saving:
    """The time that narrowed runs have saved, compared with the median of whole runs."""

    seconds: float
    narrowed: int
    whole: int


def slow_nodes(trend: Trend) -> list[Slow]:
    """Return the times of all nodes but tests, the slowest first."""
    found = []
    for executions in _by_node(trend.nodes).values():
        times = [each.seconds for each in executions if outcome_of(each.status) in ("good", "warn")]
        last = executions[-1]
        if last.resource_type in TESTS or not times:
            continue
        half = len(times) // 2
        has_trend = len(times) >= _ENOUGH
        found.append(
            Slow(
                last.name,
                last.resource_type,
                tuple(times),
                median(times),
                median(times[:half]) if has_trend else None,
                median(times[-half:]) if has_trend else None,
            )
        )
    return sorted(found, key=lambda each: (-each.median, each.name))


def flaky_tests(trend: Trend) -> list[Flaky]:
    """Return the tests that fail in some runs and pass in later ones, most changes first."""
    found = []
    for executions in _by_node(trend.nodes).values():
        outcomes = tuple(
            outcome
            for each in executions
            if (outcome := outcome_of(each.status)) in ("good", "warn", "bad")
        )
        is_bad = [outcome == "bad" for outcome in outcomes]
        changes = sum(a != b for a, b in pairwise(is_bad))
        recovers = any(a and not b for a, b in pairwise(is_bad))
        if executions[-1].resource_type in TESTS and recovers:
            found.append(Flaky(executions[-1].name, outcomes, changes))
    return sorted(found, key=lambda each: (-each.changes, each.name))


def saving(runs: Sequence[TrendRun]) -> Saving | None:
    """Return the time that narrowed runs saved; None without successful runs of both kinds."""
    good = [each for each in runs if outcome_of(each.status) == "good" and each.seconds is not None]
    whole = [each.seconds or 0.0 for each in good if each.kind == "whole"]
    narrowed = [each.seconds or 0.0 for each in good if each.kind == "narrowed"]
    if not whole or not narrowed:
        return None
    usual = median(whole)
    return Saving(sum(usual - each for each in narrowed), len(narrowed), len(whole))


def trend_values(trend: Trend, texts: Texts) -> dict[str, Any]:
    """Return the values of the template of the page.

    Args:
        trend: The data of the page.
        texts: Prepares its texts.
    """
    trend = _sound(trend)
    slow = slow_nodes(trend)
    slowing = [each for each in slow if each.is_slowing]
    slowing.sort(key=lambda each: (each.before or 0) - (each.after or 0))
    counts = Counter(outcome_of(each.status) for each in trend.runs)
    saved = saving(trend.runs)
    return {
        "title": texts.line(trend.job) or f"Job {trend.job_id}",
        "job_id": trend.job_id,
        "days": trend.days,
        "origin": texts.line(trend.origin, 300),
        "made_at": time_text(trend.made_at),
        "count": len(trend.runs),
        "counts": [(outcome, count) for outcome, count in counts.most_common()],
        "words": _WORDS,
        "chart": _chart(trend, texts),
        "slowest": [_slow(each, texts) for each in slow[:_COUNT]],
        "slowing": [_slow(each, texts) for each in slowing[:_COUNT]],
        "is_comparable": any(each.before is not None for each in slow),
        "flaky": [_flaky(each, texts) for each in flaky_tests(trend)[:_COUNT]],
        "sources": _sources(trend, texts),
        "saved": saved and {**vars(saved), "text": _signed(saved.seconds)},
        "problems": [texts.line(each, 400) for each in trend.problems[:20]],
    }


def _sound(trend: Trend) -> Trend:
    """Return a trend without durations that are none, such as infinity."""
    return replace(
        trend,
        runs=tuple(replace(each, seconds=plausible(each.seconds)) for each in trend.runs),
        nodes=tuple(replace(each, seconds=plausible(each.seconds) or 0.0) for each in trend.nodes),
        sources=tuple(replace(each, age=plausible(each.age)) for each in trend.sources),
    )


def _by_node(nodes: Sequence[NodeTime]) -> Mapping[str, list[NodeTime]]:
    """Return the last execution of each node in each run, by node and in order of runs."""
    found: dict[str, dict[int, NodeTime]] = defaultdict(dict)
    for each in nodes:
        found[each.unique_id][each.run] = each
    return {key: [runs[run] for run in sorted(runs)] for key, runs in found.items()}


def _chart(trend: Trend, texts: Texts) -> dict[str, Any]:
    """Return a bar for each of the last runs, in percent: its height is the duration."""
    runs = trend.runs[-_RUNS:]
    longest = max((each.seconds or 0.0 for each in runs), default=0.0)
    top = next((level for level in _LEVELS if level >= longest), longest)
    slot = 100 / max(len(runs), 1)
    width = min(0.8 * slot, _WIDEST)
    bars = []
    for number, run in enumerate(runs):
        middle = (number + 0.5) * slot
        bar = _bar(run, top, texts)
        bar |= {
            "x": round(middle - width / 2, 2),
            "middle": round(middle, 2),
            "width": round(width, 2),
            "is_marked": bar["outcome"] != "good" and len(runs) <= _MARKED,
        }
        bars.append(bar)
    first, last = (runs[0].created_at, runs[-1].created_at) if runs else (None, None)
    keys = {(bar["outcome"], "") for bar in bars}
    keys |= {("good", "narrowed") for bar in bars if bar["is_narrowed"]}
    return {
        "bars": bars,
        "legend": sorted(keys, key=lambda key: (WORST_FIRST.index(key[0]), key[1])),
        "top": _level_text(top),
        "half": _level_text(top / 2),
        "first": time_text(first),
        "last": time_text(last),
        "more": len(trend.runs) - len(runs),
    }


def _bar(run: TrendRun, top: float, texts: Texts) -> dict[str, Any]:
    """Return the bar of a run without its place; its height is in percent of `top`."""
    height = max(_LOWEST, 100 * (run.seconds or 0.0) / top)
    is_narrowed = run.kind == "narrowed"
    words = (
        f"Run {run.id}",
        texts.line(run.status, 40),
        time_text(run.created_at),
        duration_text(run.seconds),
        "narrowed to its load" if is_narrowed else "",
    )
    return {
        "y": round(100 - height, 2),
        "height": round(height, 2),
        "outcome": outcome_of(run.status),
        "is_narrowed": is_narrowed,
        "url": texts.url(run.url),
        "words": ", ".join(filter(None, words)),
    }


def _level_text(seconds: float) -> str:
    """Return a duration without the zeros of a round one."""
    text = duration_text(seconds)
    return text.removesuffix(" 00 s").removesuffix(" 00 min").replace(".00 s", " s")


def _slow(slow: Slow, texts: Texts) -> dict[str, Any]:
    highest = max(slow.times) or 1.0
    step = _LINE / max(1, len(slow.times) - 1)
    points = [
        f"{i * step:.1f},{_LINE_HEIGHT - 1 - (_LINE_HEIGHT - 2) * time / highest:.1f}"
        for i, time in enumerate(slow.times)
    ]
    percent = growth(slow.after or 0.0, slow.before or 0.0)
    return {
        "name": texts.line(slow.name, 150),
        "type": texts.line(slow.resource_type, 40),
        "median": duration_text(slow.median),
        "before": duration_text(slow.before),
        "after": duration_text(slow.after),
        "change": "" if percent is None else f"{percent:+,} %",
        "runs": len(slow.times),
        "points": " ".join(points),
    }


def _flaky(flaky: Flaky, texts: Texts) -> dict[str, Any]:
    shown = flaky.outcomes[-40:]
    return {
        "name": texts.line(flaky.name, 150),
        "changes": flaky.changes,
        "failed": sum(outcome == "bad" for outcome in flaky.outcomes),
        "runs": len(flaky.outcomes),
        "dots": [(8 * i, outcome) for i, outcome in enumerate(shown)],
    }


def _sources(trend: Trend, texts: Texts) -> list[dict[str, Any]]:
    found: dict[str, list[SourceAge]] = defaultdict(list)
    for each in sorted(trend.sources, key=lambda each: each.run):
        found[each.unique_id].append(each)
    rows: list[dict[str, Any]] = [
        {
            "name": texts.line(key.partition(".")[2] or key, 150),
            "checks": len(checks),
            "stale": sum(outcome_of(each.status) in ("bad", "warn") for each in checks),
            "oldest": duration_text(
                max((c.age for c in checks if c.age is not None), default=None)
            ),
            "last": duration_text(checks[-1].age),
            "status": texts.line(checks[-1].status, 40),
            "outcome": outcome_of(checks[-1].status),
        }
        for key, checks in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["stale"], row["name"]))[: 3 * _COUNT]


def _signed(seconds: float) -> str:
    return ("" if seconds >= 0 else "-") + duration_text(abs(seconds))
