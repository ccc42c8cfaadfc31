"""Values of the template of a page: its head, failures, warnings, times and steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dlt_dbtcloud.report.page import (
    Execution,
    Freshness,
    Outcome,
    RunHead,
    Step,
    has_content,
    outcome_of,
)
from dlt_dbtcloud.report.rendering.content import (
    WORST_FIRST,
    Content,
    duration_text,
    growth,
    time_text,
)
from dlt_dbtcloud.report.rendering.timeline import Slow, phases, slowest

__all__ = ["View"]


# characters of a message, and of code
_MESSAGE, _CODE = 4_000, 6_000
# characters of the logs of all steps, and of one
_LOGS, _LOG = 160_000, 8_000
_MAX_FAILURES, _MAX_BROKEN, _MAX_WARNINGS, _MAX_PROBLEMS = 25, 3, 50, 20
_MAX_NAMES, _MAX_TABLES, _MAX_STEPS, _MAX_FILES = 20, 200, 100, 100
# rows of the table that needs no scripts
_MAX_ROWS = 500
_FRESHNESS = re.compile(r"\bsource (?:snapshot-)?freshness\b")
# percent by which a time may differ from the median
_USUAL = 10
_WORDS: Mapping[Outcome, str] = {
    "bad": "failed",
    "warn": "warned",
    "skipped": "skipped",
    "active": "running",
    "unknown": "other",
    "good": "succeeded",
    "idle": "nothing to do",
}
_LEGEND: Sequence[tuple[str, Outcome]] = tuple(
    (_WORDS[each], each) for each in WORST_FIRST if each not in ("active", "unknown")
)
# widths of a window that is narrow, of one that is not, and of a character of a label
_NARROW, _WIDE, _CHARACTER = 340, 900, 7.5
# tones of steps that follow each other
_TONES = 3
# growth of a time, in percent and seconds, that is pointed out
_SLOWER, _SLOWER_SECONDS = 50, 0.5


class View:
    """Makes the values of the template of a page, as texts that it escapes.

    Args:
        content: The nodes of the page.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._page = content.page
        self._texts = content.texts
        self._graph = content.graph

    def shown(self) -> dict[str, Any]:
        """Return the values of the template."""
        page, run, line = self._page, self._page.run, self._texts.line
        job = f"Job {run.job_id}" if run.job_id else "A job"
        return {
            "title": line(run.job) or job,
            "run_id": run.id,
            "status": line(run.status, 40),
            "outcome": outcome_of(run.status),
            "message": self._texts.block(run.message, _MESSAGE),
            "url": self._texts.url(run.url),
            "facts": self._facts(),
            "counts": self._counts(),
            "load": self._load(),
            "failures": self._failures(),
            "broken_steps": self._broken_steps(),
            "warnings": self._warnings(),
            "stale": self._stale(),
            "problems": [line(each, 400) for each in page.problems[:_MAX_PROBLEMS]],
            "more": self._more(),
            "phases": self._phases(),
            "slowest": self._slowest(),
            "has_past": bool(page.past),
            "critical": self._critical(),
            "rows": [self._row(key) for key in self._listed[:_MAX_ROWS]],
            "steps": self._steps(),
            "words": (*_LEGEND, (self._content.absent, "unknown")),
            "made_at": time_text(page.made_at),
            "is_live": page.refresh is not None,
        }

    def _more(self) -> dict[str, int]:
        """Return how many items of each list are left out."""
        counts = {
            "failures": (self._content.count("bad"), _MAX_FAILURES),
            "warnings": (self._content.count("warn"), _MAX_WARNINGS),
            "stale": (len(self._not_fresh), _MAX_WARNINGS),
            "problems": (len(self._page.problems), _MAX_PROBLEMS),
            "rows": (len(self._listed), _MAX_ROWS),
            "steps": (len(self._page.steps), _MAX_STEPS),
        }
        return {name: max(0, count - limit) for name, (count, limit) in counts.items()}

    def _facts(self) -> list[tuple[str, str, str]]:
        """Return the name, text and link of each fact; the link may be empty."""
        run, line = self._page.run, self._texts.line
        end = run.finished_at if run.finished_at is not None else self._page.made_at
        duration = None if run.created_at is None else end - run.created_at
        request = f"pull request {run.pull_request}" if run.pull_request else ""
        git = (line(run.git_branch), line(run.git_sha, 40)[:12], request)
        facts = [
            ("Queued", time_text(run.created_at), ""),
            ("Started", time_text(run.started_at), ""),
            ("Finished", time_text(run.finished_at), ""),
            ("Duration", duration_text(duration), ""),
            ("Cause", line(run.cause, 255), ""),
            ("Engine", " · ".join(filter(None, (line(run.engine, 60), line(run.adapter, 40)))), ""),
            ("Git", " · ".join(filter(None, git)), ""),
            (
                "Retry of",
                f"Run {run.retries}" if run.retries else "",
                self._texts.url(_retried_url(run)),
            ),
        ]
        return [each for each in facts if each[1]]

    def _load(self) -> dict[str, Any] | None:
        load = self._page.load
        if load is None:
            return None
        tables = [(self._texts.line(each.name), each.rows) for each in load.tables[:_MAX_TABLES]]
        return {
            "pipeline": self._texts.line(load.pipeline),
            "id": self._texts.line(load.load_id, 60),
            "tables": tables,
            "more": max(0, len(load.tables) - _MAX_TABLES),
        }

    def _counts(self) -> list[tuple[str, Outcome, int]]:
        counts = [(_WORDS[each], each, self._content.count(each)) for each in WORST_FIRST]
        return [each for each in counts if each[2]]

    def _latest(self, outcome: Outcome) -> list[Execution]:
        return [
            self._page.executions[i]
            for i in sorted(self._content.last.values())
            if outcome_of(self._page.executions[i].status) == outcome
        ]

    def _failures(self) -> list[dict[str, Any]]:
        skipped = {
            key
            for key, i in self._content.last.items()
            if outcome_of(self._page.executions[i].status) == "skipped"
        }
        return [self._failure(each, skipped) for each in self._latest("bad")[:_MAX_FAILURES]]

    def _failure(self, execution: Execution, skipped: set[str]) -> dict[str, Any]:
        key = execution.unique_id
        # models before their tests
        is_test = self._graph.is_test
        order = {each: (is_test(each), self._content.number[each]) for each in skipped}
        blocked = sorted(self._graph.blocked_by(key) & skipped, key=order.__getitem__)
        shown = [each for each in blocked if not is_test(each)][:_MAX_NAMES]
        tests = sum(map(is_test, blocked))
        loaded, others = self._feeding(key)
        return {
            **self._short(execution),
            "code": self._texts.block(self._graph.nodes[key].code, _CODE),
            "skipped": [(self._content.number[each], self._content.name(each)) for each in shown],
            "skipped_more": _and_more(len(blocked) - len(shown) - tests, tests),
            "skipped_count": len(blocked),
            "loaded": loaded,
            "others": others,
        }

    def _feeding(self, key: str) -> tuple[list[str], list[str]]:
        """Return the tables that feed a node: those that the load filled, and all others."""
        load = self._page.load
        loaded: dict[str, None] = {}
        others: dict[str, None] = {}
        for source in self._graph.sources(key):
            tables = [each for each in load.tables if source in each.sources] if load else []
            loaded |= dict.fromkeys(self._texts.line(each.name) for each in tables)
            if not tables:
                node = self._graph.nodes[source]
                relation = (node.relation or node.name).replace('"', "").replace("`", "")
                others[self._texts.line(relation)] = None
        return [*loaded][:_MAX_NAMES], [*others][:_MAX_NAMES]

    def _short(self, execution: Execution) -> dict[str, Any]:
        node = self._graph.nodes[execution.unique_id]
        return {
            "number": self._content.number[execution.unique_id],
            "name": self._content.name(execution.unique_id),
            "type": self._texts.line(node.resource_type, 40).replace("_", " "),
            "status": self._texts.line(execution.status, 40),
            "outcome": outcome_of(execution.status),
            "path": self._texts.line(node.path, 300),
            "message": self._texts.block(self._content.message(execution), _MESSAGE),
            "seconds": duration_text(execution.seconds),
        }

    def _broken_steps(self) -> list[dict[str, Any]]:
        """Return the failed steps that no node explains, with their logs."""
        failed = [each for each in self._page.steps if outcome_of(each.status) == "bad"]
        stale = any(outcome_of(each.status) == "bad" for each in self._page.freshness)
        shown = []
        for step in failed:
            nodes = [
                each
                for each in self._page.executions
                if each.step == step.index and outcome_of(each.status) == "bad"
            ]
            is_explained = any(has_content(each.message) for each in nodes)
            if is_explained or (stale and _FRESHNESS.search(step.command or "")):
                continue
            shown.append(
                {
                    "name": self._texts.line(step.command or step.name, 300),
                    "index": step.index,
                    "has_nodes": bool(nodes),
                    "log": self._texts.tail(step.log, 3_000),
                }
            )
        return shown[-_MAX_BROKEN:]

    def _warnings(self) -> list[dict[str, Any]]:
        return [self._short(each) for each in self._latest("warn")[:_MAX_WARNINGS]]

    @cached_property
    def _not_fresh(self) -> list[Freshness]:
        return [each for each in self._page.freshness if outcome_of(each.status) in ("bad", "warn")]

    def _stale(self) -> list[dict[str, Any]]:
        return [
            {
                "name": self._content.name(each.unique_id),
                "status": self._texts.line(each.status, 40),
                "outcome": outcome_of(each.status),
                "text": self._content.freshness_text(each.unique_id),
                "error": self._texts.block(each.error, 400),
            }
            for each in self._not_fresh[:_MAX_WARNINGS]
        ]

    def _phases(self) -> list[dict[str, Any]]:
        found = phases(self._page)
        total = sum(phase.seconds for phase in found) or 1.0
        outcomes = {step.index: outcome_of(step.status) for step in self._page.steps}
        shown, x = [], 0.0
        for number, phase in enumerate(found[: _MAX_STEPS + 3]):
            name, share = self._texts.line(phase.name, 120), phase.seconds / total
            shown.append(
                {
                    "kind": phase.kind,
                    "outcome": outcomes.get(phase.step or 0, "idle"),
                    "tone": f"n{number % _TONES}",
                    "name": name,
                    "label": _label(name, share) if phase.kind == "step" else "none",
                    "step": phase.step,
                    "seconds": duration_text(phase.seconds),
                    "share": round(100 * share),
                    "x": round(100 * x, 2),
                    "width": round(100 * max(share, 0.001), 2),
                }
            )
            x += share
        return shown

    def _slowest(self) -> list[dict[str, Any]]:
        rows = slowest(self._page.executions, self._page.past)
        longest = max(
            (max(each.execution.seconds, each.past.seconds if each.past else 0) for each in rows),
            default=1.0,
        )
        return [self._slow(each, longest) for each in rows]

    def _slow(self, slow: Slow, longest: float) -> dict[str, Any]:
        seconds, past = slow.execution.seconds, slow.past
        before = past.seconds if past else 0.0
        is_slower = seconds - before > max(_SLOWER_SECONDS, before * _SLOWER / 100)
        # the time of a running node is not comparable yet, and that of a log is in whole seconds
        has_ended = outcome_of(slow.execution.status) != "active"
        return {
            **self._short(slow.execution),
            "median": duration_text(past.seconds) if past else "",
            "runs": past.runs if past else 0,
            "change": _change(seconds, past.seconds) if past and has_ended else "",
            "is_slower": past is not None and is_slower and has_ended,
            "width": round(100 * seconds / longest, 1),
            "mark": round(99 * before / longest, 1) if past else None,
        }

    def _critical(self) -> dict[str, Any] | None:
        executions = self._page.executions
        path = self._content.critical_path
        if len(path) < 2:
            return None
        first, last = executions[path[0]], executions[path[-1]]
        span = (last.started_at or 0) + last.seconds - (first.started_at or 0)
        busy = sum(executions[i].seconds for i in path)
        shown = path if len(path) <= _MAX_NAMES else path[: _MAX_NAMES - 1] + path[-1:]
        return {
            "names": [
                (self._content.name(executions[i].unique_id), duration_text(executions[i].seconds))
                for i in shown
            ],
            "count": len(path),
            "span": duration_text(span),
            "waiting": duration_text(max(0.0, span - busy)),
        }

    @cached_property
    def _listed(self) -> list[str]:
        """Return the nodes of the run, the worst first."""
        content = self._content
        listed = [key for key in content.ids if key in content.last or key in content.freshness]
        return sorted(listed, key=lambda key: WORST_FIRST.index(content.outcome(key)))

    def _row(self, key: str) -> dict[str, Any]:
        node, execution = self._graph.nodes[key], self._content.execution(key)
        status = execution.status if execution else self._content.freshness[key].status
        return {
            "name": self._content.name(key),
            "type": self._texts.line(node.resource_type, 40).replace("_", " "),
            "status": self._texts.line(status, 40),
            "outcome": self._content.outcome(key),
            "seconds": duration_text(execution.seconds if execution else None),
            "step": execution.step if execution else "",
            "folder": self._texts.line(node.folder, 100),
        }

    def _steps(self) -> list[dict[str, Any]]:
        steps = self._page.steps[:_MAX_STEPS]
        limit = min(_LOG, _LOGS // max(1, len(steps)))
        return [self._step(step, limit) for step in steps]

    def _step(self, step: Step, limit: int) -> dict[str, Any]:
        end = step.finished_at if step.finished_at is not None else self._page.made_at
        seconds = None if step.started_at is None else end - step.started_at
        return {
            "index": step.index,
            "name": self._texts.line(step.command or step.name, 300),
            "status": self._texts.line(step.status, 40),
            "outcome": outcome_of(step.status),
            "seconds": duration_text(seconds),
            "log": self._texts.tail(step.log, limit),
            "log_url": self._texts.url(step.log_url),
            "files": [
                (self._texts.line(n), self._texts.url(u)) for n, u in step.files[:_MAX_FILES]
            ],
            "is_open": outcome_of(step.status) in ("bad", "active"),
        }


def _retried_url(run: RunHead) -> str | None:
    """Return the page of the run that a run retries, which differs from its own by the id."""
    before, separator, after = (run.url or "").rpartition(f"/{run.id}")
    return f"{before}/{run.retries}{after}" if separator and after in ("", "/") else None


def _change(now: float, before: float) -> str:
    percent = growth(now, before)
    if percent is None:
        return ""
    return "as usual" if abs(percent) < _USUAL else f"{percent:+,} %"


def _and_more(nodes: int, tests: int) -> str:
    """Return how many nodes and tests are not named, in words; empty if all are."""
    counts = ((nodes, "more node"), (tests, "test"))
    return " and ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts if n)


def _label(name: str, share: float) -> str:
    """Return the class of the label in a bar: `none` if it is too long."""
    needed = len(name) * _CHARACTER + 16
    if needed > share * _WIDE:
        return "none"
    return "wide-only" if needed > share * _NARROW else "always"
