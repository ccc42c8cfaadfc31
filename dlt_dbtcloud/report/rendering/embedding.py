"""Data, styles and scripts, embedded in a page so that nothing of them is markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

__all__ = ["data_json", "details_text", "digest"]


# characters of all details before compression, at first
_BUDGET = 6_000_000
# escaped in the element: an end tag, comments, entities, and the ends of lines of JavaScript
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def data_json(value: Any) -> str:
    """Return a JSON text for a script element, without any character of markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def details_text(details: Callable[[int], list[Any]], limit: int) -> str:
    """Return details of at most some bytes, compressed by gzip and encoded in base 64.

    Args:
        details: Returns the details, given the characters that they may have.
        limit: The number of bytes; details without any optional text may exceed it.
    """
    budget = _BUDGET
    while True:
        content = json.dumps(details(budget), ensure_ascii=False, separators=(",", ":"))
        compressed = gzip.compress(content.encode(), compresslevel=6, mtime=0)
        encoded = base64.b64encode(compressed).decode()
        if len(encoded) <= limit or not budget:
            return encoded
        budget = int(min(budget, len(content)) * 0.8 * limit / len(encoded))
        budget = budget if budget > limit // 20 else 0


def digest(content: str) -> str:
    """Return the source of a Content-Security-Policy that allows an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
