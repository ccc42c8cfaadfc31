"""Progress of a dbt command, from its log.

Logs: https://docs.getdbt.com/reference/events-logging
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlt_dbtcloud.redaction import plain_text

__all__ = ["NodeProgress", "node_progress"]


# bounded, as a log may have any lines
_CORE = re.compile(
    r"^([^\n]{0,120}?)\b(\d{1,9}) of (\d{1,9}) ([A-Z][A-Z-]{1,20})\b([^\n]{0,400})", re.MULTILINE
)
# a time, and in the debug log a level and a thread; the batches of a model have words before them
_PREFIXES = ("  ", "]: ")
_CORE_FAILED = frozenset({"ERROR", "FAIL"})
_DOTS = re.compile(r"\s*\.{2,}.*")
_HOOK = " hook: "
_FUSION = re.compile(
    r"^ {0,20}(?:\d\d:\d\d:\d\d\S{0,20} {1,20})?"
    r"(Succeeded|Passed|Warned|Failed|Errored|Skipped|Reused|Stale)"
    r" \[[^\]\n]{0,40}\] {1,20}(\w{1,40} {1,20}\S{1,300})",
    re.MULTILINE,
)
_FUSION_FAILED = frozenset({"Failed", "Errored"})


@dataclass(frozen=True)
class NodeProgress:
    """The nodes of a dbt command that have finished.

    Args:
        done: The number of nodes that have finished.
        total: The number of nodes; None if the log does not contain it, as that of dbt Fusion.
        failures: The lines of the nodes that failed, such as `FAIL 3 unique_orders_id`.
    """

    done: int
    total: int | None = None
    failures: tuple[str, ...] = ()


def node_progress(log: str) -> NodeProgress | None:
    """Return the finished nodes in the log or debug log of a command.

    Args:
        log: The log, perhaps without its beginning.

    Returns:
        None if the log contains no nodes.
    """
    text = plain_text(log)
    return _core_progress(text) or _fusion_progress(text)


def _core_progress(text: str) -> NodeProgress | None:
    running: set[int] = set()
    failures: dict[str, None] = {}
    last = total = 0
    for match in _CORE.finditer(text):
        prefix, event, rest = match[1], match[4], match[5]
        if _HOOK in rest or (prefix and not prefix.endswith(_PREFIXES)):
            continue
        number, total = int(match[2]), int(match[3])
        last = max(last, number)
        if event == "START":
            running.add(number)
            continue
        running.discard(number)
        if event in _CORE_FAILED:
            failures[f"{event}{_DOTS.sub('', rest)}"] = None
    return NodeProgress(last - len(running), total, tuple(failures)) if total else None


def _fusion_progress(text: str) -> NodeProgress | None:
    found = [(match[1], " ".join(match[2].split())) for match in _FUSION.finditer(text)]
    failures = dict.fromkeys(f"{event} {node}" for event, node in found if event in _FUSION_FAILED)
    return NodeProgress(len(found), None, tuple(failures)) if found else None
