"""Guards against values of foreign JSON that are of another type than they should be."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["as_mapping", "boolean", "dicts", "integer", "number", "text", "texts"]

_TOO_BIG = 2**63


def as_mapping(value: object) -> dict[str, Any]:
    """Return a JSON object, or nothing if it is not one."""
    return value if isinstance(value, dict) else {}


def boolean(value: object) -> bool | None:
    """Return true or false, or None if it is neither."""
    return value if isinstance(value, bool) else None


def dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list, or nothing if it is not one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def integer(value: object) -> int | None:
    """Return a number without its fraction, or None if 64 bits do not hold it."""
    told = number(value)
    return None if told is None or abs(told) >= _TOO_BIG else int(told)


def number(value: object) -> float | None:
    """Return a finite number, or None if it is not one; a boolean is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def text(value: object) -> str | None:
    """Return a text, or None if it is not one."""
    return value if isinstance(value, str) else None


def texts(value: object) -> list[str]:
    """Return the texts in a list, or the one that stands for a list of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]
