"""Times and durations, as the API and dbt's artifacts write them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

__all__ = ["seconds", "timestamp"]

_ZULU = re.compile(r"[zZ]$")
# Python 3.10 reads fractions of three or six digits only
_FRACTION = re.compile(r"\.(\d{1,6})\d*")
_DURATION = re.compile(r"(?:(\d+)(?: days?,)? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def timestamp(said: object) -> datetime | None:
    """Return a time in UTC, or None if it is not one."""
    if not isinstance(said, str):
        return None
    iso = _FRACTION.sub(lambda match: "." + match[1].ljust(6, "0"), _ZULU.sub("+00:00", said))
    try:
        time = datetime.fromisoformat(iso)
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None


def seconds(duration: object) -> float | None:
    """Return how many seconds `HH:MM:SS` are, days before it included, or None if it is not one."""
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if match is None:
        return None
    days, hours, minutes, rest = match.groups(default="0")
    return (int(days) * 24 + int(hours)) * 3600.0 + int(minutes) * 60 + float(rest)
