"""Guards against values of foreign JSON that are of another type than they should be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
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
    "as_seconds",
    "as_text",
    "as_texts",
]


@dataclass(frozen=True)
class Relation:
    """A table, and where it lives in the destination.

    Args:
        name: Its name.
        dataset: Its dataset, which is dbt's schema; None where the destination has none.
        database: Its database, catalog or project; None where it is not known.
        is_case_sensitive: Whether names that differ in case are different names there.
    """

    name: str
    dataset: str | None = None
    database: str | None = None
    is_case_sensitive: bool = False


_TOO_BIG = 2**63


def as_mapping(value: object) -> dict[str, Any]:
    """Return a JSON object, or nothing if it is not one."""
    return value if isinstance(value, dict) else {}


def as_boolean(value: object) -> bool | None:
    """Return true or false, or None if it is neither."""
    return value if isinstance(value, bool) else None


def as_dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list, or nothing if it is not one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_integer(value: object) -> int | None:
    """Return a number without its fraction, or None if 64 bits do not hold it."""
    told = as_number(value)
    return None if told is None or abs(told) >= _TOO_BIG else int(told)


def as_number(value: object) -> float | None:
    """Return a finite number, or None if it is not one; a boolean is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def as_text(value: object) -> str | None:
    """Return a text, or None if it is not one."""
    return value if isinstance(value, str) else None


def as_texts(value: object) -> list[str]:
    """Return the texts in a list, or the one that stands for a list of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


_ZULU = re.compile(r"[zZ]$")
# Python 3.10 reads fractions of three or six digits only
_FRACTION = re.compile(r"\.(\d{1,6})\d*")
_DURATION = re.compile(r"(?:(\d+)(?: days?,)? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def as_datetime(said: object) -> datetime | None:
    """Return a time in UTC, or None if it is not one."""
    if not isinstance(said, str):
        return None
    iso = _FRACTION.sub(lambda match: "." + match[1].ljust(6, "0"), _ZULU.sub("+00:00", said))
    try:
        time = datetime.fromisoformat(iso)
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None


def as_seconds(duration: object) -> float | None:
    """Return how many seconds `HH:MM:SS` are, days before it included, or None if it is not one."""
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if match is None:
        return None
    days, hours, minutes, rest = match.groups(default="0")
    return (int(days) * 24 + int(hours)) * 3600.0 + int(minutes) * 60 + float(rest)
