"""The nodes that a running dbt has begun and finished, from its log.

dbt writes the results of a step at its end, but a line for each node as it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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
    ids = _ids(nodes)
    text = _COLORS.sub("", log)
    first = _TIME.search(text)
    zero = _clock(*first.groups()) if first else 0
    found: dict[str, Execution] = {}
    for line in text.splitlines():
        core = _CORE.match(line)
        if core:
            hours, minutes, seconds, words, state = core.groups()
            at = began + (_clock(hours, minutes, seconds) - zero) % _DAY
            took = _TOOK.search(state)
            status = _STATUSES.get(state.split()[0], "success")
            key = _id(words, ids)
            before = found.get(key)
            length = float(took[1]) if took else max(0.0, now - at) if status == "running" else 0.0
            start = before.started_at if before else at - length
            found[key] = Execution(key, step, status, None, start, length)
            continue
        fusion = _FUSION.match(line)
        if fusion:
            state, length_text, kind, name = fusion.groups()
            took = _SECONDS.search(length_text)
            key = _id(f"{kind} {name}", ids)
            length = float(took[1]) if took else 0.0
            found[key] = Execution(key, step, _STATUSES[state], None, None, length)
    return [*found.values()]


def _ids(nodes: Iterable[Node]) -> Mapping[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for node in nodes:
        names = {node.name, (node.relation or "").replace('"', "").replace("`", "").split(".")[-1]}
        if node.resource_type == "unit_test":
            # the log calls it by its model as well
            names |= {"::".join(node.unique_id.split(".")[2:4])}
        for name in names - {""}:
            found.setdefault((node.resource_type, name), node.unique_id)
    return found


def _id(words: str, ids: Mapping[tuple[str, str], str]) -> str:
    """Return the id of the node that a line is about, or one made of its name."""
    *kinds, name = words.split()
    short = name if "::" in name else name.rpartition(".")[2]
    kind = next((word for word in _WORDS if word in kinds), None)
    candidates = [kind] if kind else _WORDS
    known = (ids[each, short] for each in candidates if (each, short) in ids)
    return next(known, f"{kind or 'node'}.log.{short}")


def _clock(hours: str, minutes: str, seconds: str) -> int:
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)
