"""Warnings in the logs of dbt, and errors in those of dbt Fusion.

Logs: https://docs.getdbt.com/reference/global-configs/logs
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dlt_dbtcloud.dbt.artifacts import Entry
from dlt_dbtcloud.redaction import plain_text, without_backtraces

__all__ = ["FusionLog", "has_project_error", "stale_count", "warning_count"]


_TIME = r"(?:\d\d:\d\d:\d\d(?:\.\d+)?\s+)?"
_ERROR = re.compile(rf"^\s*{_TIME}(\[error\] .*)")
# the next error or warning, or the next heading
_END = re.compile(rf"^\s*{_TIME}(?:\[\w+\]|=====)")
_FAILED = re.compile(rf"^\s*{_TIME}(Failed \[[^\]]*\] +(\w+) +(\S+).*)", re.MULTILINE)
# a test with the rows by which it failed
_DETAILS = re.compile(
    rf"^\s*{_TIME}(Test failed: (\S+)$.*?)(?=^\s*{_TIME}(?:Test failed: |\[\w+\]|=====)|\Z)",
    re.MULTILINE | re.DOTALL,
)
# errors in SQL, YAML, configuration, references, packages and Jinja, by their numbers
_PROJECT_ERROR = re.compile(
    r"\b(?:Compilation|Parsing) Error\b"
    r"|\(dbt(?:0\d{3}|1005|1013|1022|1048|1062|115\d|145\d|15\d\d)\)"
)
# the last line of dbt Core's log, and the counts at the end of dbt Fusion's
_CORE_COUNTS = re.compile(r"\bDone\. PASS=\d+ WARN=(\d+)\b")
_FUSION_COUNTS = re.compile(rf"^\s*{_TIME}Summary: \d+ total\b(.*)$", re.MULTILINE)
_WARNED = re.compile(r"\| (\d+) warn\b")
# of `dbt source freshness`, which has no counts
_CORE_FRESHNESS = re.compile(r"\bFinished running \d+ sources?\b")
_CORE_STALE = re.compile(r"\b\d+ of \d+ (?!START|PASS)[A-Z]+\b.* freshness of ")


class FusionLog:
    """The errors and failed nodes in a log of dbt Fusion; a log of dbt Core has none.

    Args:
        log: The log of a command.

    Attributes:
        errors: The errors with their details, without backtraces.
    """

    def __init__(self, log: str) -> None:
        text = without_backtraces(plain_text(log))
        self.errors = [*_errors(text)]
        self._details = {match[2]: match[1].strip() for match in _DETAILS.finditer(text)}
        self._failed = {match.groups()[1:]: match[1] for match in _FAILED.finditer(text)}

    def about(self, node: Entry) -> list[str]:
        """Return the logged errors of a node, or else the line that reports its failure.

        Args:
            node: The node, with at least its name and resource type.
        """
        kind, name, path = node.resource_type or "", node.name or "", node.original_file_path
        named = rf"\bin {re.escape(kind)} {re.escape(name)} \("
        located = rf"|-->\s*{re.escape(path)}(?::|\s|$)" if path else ""
        errors = [error for error in self.errors if re.search(named + located, error)]
        if not errors and kind == "unit_test" and name in self._details:
            return [self._details[name]]
        names = (name, f"{node.schema}.{node.alias}")
        return errors or [line for each in names if (line := self._failed.get((kind, each)))]


def has_project_error(text: str) -> bool:
    """Return whether a message or log contains an error in the project's code."""
    return _PROJECT_ERROR.search(text) is not None


def warning_count(log: str) -> int | None:
    """Return the number of nodes that warned, by the log of a dbt command.

    Args:
        log: The log.

    Returns:
        None if the log does not contain it.
    """
    text = plain_text(log)
    core = _CORE_COUNTS.findall(text)
    if core:
        return int(core[-1])
    fusion = _FUSION_COUNTS.findall(text)
    if not fusion:
        return None
    warned = _WARNED.search(fusion[-1])
    return int(warned[1]) if warned else 0


def stale_count(log: str) -> int | None:
    """Return the number of stale sources, by the log of `dbt source freshness`.

    Args:
        log: The log.

    Returns:
        None if the log does not contain it, as that of dbt Fusion.
    """
    text = plain_text(log)
    return len(_CORE_STALE.findall(text)) if _CORE_FRESHNESS.search(text) else None


def _errors(text: str) -> Iterator[str]:
    error: list[str] = []
    for line in text.split("\n"):
        begins = _ERROR.match(line)
        if error and (begins or _END.match(line)):
            yield "\n".join(error).strip()
            error = []
        if begins:
            error = [begins[1]]
        elif error:
            error.append(line)
    if error:
        yield "\n".join(error).strip()
