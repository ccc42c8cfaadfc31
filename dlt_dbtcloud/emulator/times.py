"""Times and durations, formatted as the service does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


def format_time(moment: datetime | None) -> str | None:
    """Format a time of a run with a space and microseconds, as the service does."""
    return moment.isoformat(sep=" ", timespec="microseconds") if moment else None


def format_duration(span: timedelta) -> str:
    """Format a duration as `HH:MM:SS`."""
    seconds = int(span.total_seconds())
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def humanize_duration(span: timedelta) -> str:
    """Format a duration in words, such as `1 day, 2 hours`."""
    seconds = int(span.total_seconds())
    counts = {
        "day": seconds // 86400,
        "hour": seconds // 3600 % 24,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
    }
    parts = [
        f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items() if count
    ]
    return ", ".join(parts) or "0 minutes"
