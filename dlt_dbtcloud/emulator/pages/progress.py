"""The nodes that a running dbt has begun and finished, from its log.

dbt writes the results of a step at its end, but a line for each node as it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dlt_dbtcloud.report import Execution, Node

__all__ = ["logged_executions"]


# 22:17:12  1 of 82 OK created sql view model analytics.stg_airlines ....... [OK in 0.28s]
_CORE = re.compile(r"^(\d\d):(\d\d):(\d\d)(?:\.\d+)?\s+\d+ of \d+ (.+?) \.{2,} \[(.+)\]\s*$")
#    Failed [  1.52s] model marts.broken (table)
_FUSION = re.compile(
    r"^\s*(Succeeded|Passed|Failed|Warned|Skipped|Reused) \[\s*([^\]]*)\]\s+(\w+)\s+(\S+)"
)
_TIME = re.compile(r"^(\d\d):(\d\d):(\d\d)", re.MULTILINE)
_TOOK = re.compile(r"\bin (\d+(?:\.\d+)?)s$")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_COLORS = re.compile(r"\x1b\[[\d;]*m")
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
    "Warned": "warn",
    "Skipped": "skipped",
    "Reused": "reused",
}
_WORDS = ("unit_test", "test", "seed", "snapshot", "model", "function")


def logged_executions(
    log: str, step: int, began: float, now: float, nodes: Iterable[Node]
) -> list[Execution]:
    """Return the executions in the log of a running step.

    Args:
        log: The log.
        step: The index of the step.
        began: When the step began, in seconds since 1970.
        now: The current time, until which running nodes have taken.
        nodes: The nodes of the project, by whose names the log calls them.
    """
    names = _Names(nodes)
    text = _COLORS.sub("", log)
    first = _TIME.search(text)
    zero = _clock(*first.groups()) if first else 0
    found: dict[str, Execution] = {}
    for line in text.splitlines():
        core, fusion = _CORE.match(line), _FUSION.match(line)
        # checks of the freshness of sources do not execute nodes
        if core and " freshness of " not in line:
            *clock, words, state = core.groups()
            at = began + (_clock(*clock) - zero) % _DAY
            took = _TOOK.search(state)
            seconds = float(took[1]) if took else 0.0
            status = _STATUSES.get(state.split()[0], "success")
            key = names.id_of(words)
            before = found.get(key)
            if status == "running":
                found[key] = Execution(key, step, status, None, at, max(0.0, now - at))
            else:
                start = before.started_at if before else at - seconds
                found[key] = Execution(key, step, status, None, start, seconds)
        elif fusion:
            state, length, kind, name = fusion.groups()
            took = _SECONDS.search(length)
            key = names.id_of(f"{kind} {name}")
            seconds = float(took[1]) if took else 0.0
            found[key] = Execution(key, step, _STATUSES[state], None, None, seconds)
    return [*found.values()]


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
        """Return the id of the node that a line is about, or one made of its name."""
        *kinds, name = words.split()
        short = name if "::" in name else name.rpartition(".")[2]
        kind = next((word for word in _WORDS if word in kinds), None)
        known = (self._ids.get((each, short)) for each in ([kind] if kind else _WORDS))
        found = next(filter(None, known), None) or self._seen.get(short)
        # the line of an end may lack the kind
        return self._seen.setdefault(short, found or f"{kind or 'node'}.log.{short}")


def _clock(hours: str, minutes: str, seconds: str) -> int:
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)
