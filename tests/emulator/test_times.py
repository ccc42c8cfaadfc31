"""Times and durations are formatted as the service formats them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from dlt_dbtcloud.emulator.times import format_duration, format_time, humanize_duration


def test_times_have_a_space_and_microseconds() -> None:
    moment = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)
    assert format_time(moment) == "2026-01-31 06:00:00.000000+00:00"
    assert format_time(None) is None


def test_durations() -> None:
    for seconds, formatted, humanized in [
        (0.9, "00:00:00", "0 minutes"),
        (1, "00:00:01", "1 second"),
        (65, "00:01:05", "1 minute, 5 seconds"),
        (7261, "02:01:01", "2 hours, 1 minute, 1 second"),
        (100 * 3600, "100:00:00", "4 days, 4 hours"),
    ]:
        span = timedelta(seconds=seconds)
        assert (format_duration(span), humanize_duration(span)) == (formatted, humanized)
