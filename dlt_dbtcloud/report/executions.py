"""Executions of nodes: those in the log of a dbt command, and the times of earlier ones.

dbt writes the results of a command at its end, but a line for each node as it runs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from dlt_dbtcloud.redaction import plain_text
from dlt_dbtcloud.report.page import Execution, Node, PastTime

__all__ = ["logged_executions", "past_times"]


# 22:17:12  1 of 82 OK created sql view model analytics.stg_airlines ....... [OK in 0.28s]
# the debug log has a fraction of the second, a level and a thread before the number
_CORE = re.compile(
    r"(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})? {1,9}(?:\[\w{1,9} {0,9}\] \[([^]]{1,60})\]: )?"
    r"\d{1,9} of \d{1,9} (\S.{0,500}?) \.{2,200} \[(\S.{0,100})\]"
)
#    Failed [  1.52s] model marts.broken (table)
_FUSION = re.compile(
    r" {0,20}(Succeeded|Passed|Failed|Errored|Warned|Skipped|Reused)"
    r" \[([^]]{0,40})\] {1,20}(\w{1,40}) {1,20}(\S{1,300})"
)
# lines of dbt Core that are not about nodes
_OTHERS = (" freshness of ", " hook: ")
_TIME = re.compile(r"^(\d\d):(\d\d):(\d\d)", re.MULTILINE)
_TOOK = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(us|ms|s|m|h)\b")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DAY = 86_400
_STATUSES = {
    "RUN": "running",
    "PASS": "pass",
    "WARN": "warn",
    "FAIL": "fail",
    "ERROR": "error",
    "SKIP": "skipped",
    "NO-OP": "no-op",
    "CANCEL": "skipped",
    "Succeeded": "success",
    "Passed": "pass",
    "Failed": "error",
    "Errored": "error",
    "Warned": "warn",
    "Skipped": "skipped",
    "Reused": "reused",
}
_WORDS = ("unit_test", "test", "seed", "snapshot", "model", "function")
# statuses of nodes whose times can be compared
_TIMED = frozenset({"success", "pass", "warn", "fail"})
# of a node that had begun when its step ended
_UNFINISHED = "not finished"


def logged_executions(
    log: str,
    step: int,
    began: float,
    now: float,
    nodes: Iterable[Node],
    *,
    is_running: bool = True,
) -> list[Execution]:
    """Return the executions in the log of a step.

    Args:
        log: The log or debug log.
        step: The index of the step.
        began: When the step began, in seconds since 1970.
        now: The current time or the end of the step, until which unfinished nodes have taken.
        nodes: The nodes of the project, by whose names the log calls them.
        is_running: Whether the step is still running.
    """
    names = _Names(nodes)
    text = plain_text(log)
    first = _TIME.search(text)
    zero = _clock(first) if first else 0
    found: dict[str, Execution] = {}
    for line in text.split("\n"):
        if (core := _CORE.fullmatch(line)) and not any(words in line for words in _OTHERS):
            key = names.id_of(core[5])
            status = _STATUSES.get(core[6].split()[0], "success")
            at = began + (_clock(core) - zero) % _DAY
            if status == "running":
                status = status if is_running else _UNFINISHED
                found[key] = Execution(key, step, status, None, at, max(0.0, now - at), core[4])
                continue
            seconds = _seconds(core[6].rpartition(" in ")[2])
            before = found.get(key)
            start = before.started_at if before else at - seconds
            found[key] = Execution(key, step, status, None, start, seconds, core[4])
        elif fusion := _FUSION.match(line):
            key = names.id_of(f"{fusion[3]} {fusion[4]}")
            status = _STATUSES[fusion[1]]
            found[key] = Execution(key, step, status, None, None, _seconds(fusion[2]))
    return [*found.values()]


def past_times(runs: Iterable[Iterable[Execution]]) -> dict[str, PastTime]:
    """Return the median times of nodes, by the longest execution in each run.

    Args:
        runs: The executions of each run.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for executions in runs:
        of_run: dict[str, float] = {}
        for each in executions:
            if each.status in _TIMED and each.seconds:
                of_run[each.unique_id] = max(each.seconds, of_run.get(each.unique_id, 0.0))
        for key, seconds in of_run.items():
            times[key].append(seconds)
    return {key: PastTime(median(values), len(values)) for key, values in times.items()}


class _Names:
    """The ids of nodes by the words of a log, which names no ids."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._seen: dict[str, str] = {}
        for node in nodes:
            relation = (node.relation or "").replace('"', "").replace("`", "")
            names = {node.name, relation.rpartition(".")[2]}
            if node.resource_type == "unit_test":
                # the log calls it by its model as well
                names |= {"::".join(node.unique_id.split(".")[2:4])}
            for name in names - {""}:
                self._ids.setdefault((node.resource_type, name), node.unique_id)

    def id_of(self, words: str) -> str:
        """Return the id of the node of a line, or one made of its name."""
        *kinds, name = words.split()
        short = name if "::" in name else name.rpartition(".")[2]
        kind = next((word for word in _WORDS if word in kinds), None)
        known = (self._ids.get((each, short)) for each in ([kind] if kind else _WORDS))
        found = next(filter(None, known), None) or self._seen.get(short)
        # the line of an end may lack the kind
        return self._seen.setdefault(short, found or f"{kind or 'node'}.log.{short}")


def _seconds(text: str) -> float:
    """Return the seconds of a duration such as `1.52s`; 0 if there is none."""
    return sum(float(number) * _UNITS[unit] for number, unit in _TOOK.findall(text))


def _clock(time: re.Match[str]) -> int:
    return 3600 * int(time[1]) + 60 * int(time[2]) + int(time[3])
