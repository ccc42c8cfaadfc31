"""Typed values from JSON of unknown types, and the relation of a table."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = [
    "Relation",
    "as_boolean",
    "as_datetime",
    "as_dicts",
    "as_integer",
    "as_mapping",
    "as_number",
    "as_plain",
    "as_seconds",
    "as_text",
    "as_texts",
]


_TOO_BIG = 2**63
# levels of JSON; dbt writes fewer, and warehouses refuse more
_MAX_DEPTH = 100
_ZULU = re.compile(r"[zZ]$")
# Python 3.10 parses fractions of three or six digits only
_FRACTION = re.compile(r"\.(\d{1,6})\d*")
_DURATION = re.compile(r"(?:(\d+)(?: days?,)? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def as_mapping(value: object) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_dicts(value: object) -> list[dict[str, Any]]:
    """Return the JSON objects in a list; no objects for any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_boolean(value: object) -> bool | None:
    """Return a boolean, or None for any other value."""
    return value if isinstance(value, bool) else None


def as_number(value: object) -> float | None:
    """Return a finite number, or None for any other value, booleans included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def as_integer(value: object) -> int | None:
    """Truncate to an int; None unless it is a number of 64 bits."""
    number = as_number(value)
    return None if number is None or abs(number) >= _TOO_BIG else int(number)


def as_text(value: object) -> str | None:
    """Return a string, or None for any other value."""
    return value if isinstance(value, str) else None


def as_texts(value: object) -> list[str]:
    """Return the non-empty strings in a list; a string counts as a list of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def as_plain(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return a JSON value that any parser reads: large integers as floats, no deep levels."""
    if isinstance(value, (dict, list)) and not depth:
        return None
    if isinstance(value, dict):
        return {name: as_plain(part, depth - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [as_plain(part, depth - 1) for part in value]
    if type(value) is not int or -_TOO_BIG <= value < 2 * _TOO_BIG:
        return value
    with suppress(OverflowError):
        return float(value)
    return None


def as_datetime(value: object) -> datetime | None:
    """Parse an ISO 8601 time, by default of UTC, to UTC; None if invalid."""
    if not isinstance(value, str):
        return None
    iso = _FRACTION.sub(lambda match: "." + match[1].ljust(6, "0"), _ZULU.sub("+00:00", value))
    try:
        time = datetime.fromisoformat(iso)
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None


def as_seconds(value: object) -> float | None:
    """Convert a duration `HH:MM:SS`, with days before it or not, to seconds; else None."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = match.groups(default="0")
    return (int(days) * 24 + int(hours)) * 3600.0 + int(minutes) * 60 + float(seconds)


@dataclass(frozen=True)
class Relation:
    """A table and its location in the destination.

    Args:
        name: The name of the table.
        dataset: The dataset, dbt's schema; None if the destination has no datasets.
        database: The database, catalog or project; None if unknown.
        is_case_sensitive: Whether names that differ in case name different tables.
        table: The name of the table without the dataset, which some destinations put before it.
        attached_as: The name that DuckDB gives to the table's file; dbt may give it another one.
        is_file: Whether it consists of files, which sources of any schema can read.
    """

    name: str
    dataset: str | None = None
    database: str | None = None
    is_case_sensitive: bool = False
    table: str | None = field(default=None, compare=False)
    attached_as: str | None = field(default=None, compare=False)
    is_file: bool = field(default=False, compare=False)
