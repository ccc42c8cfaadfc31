"""Times and durations are written as the service writes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from dlt_dbtcloud.emulator.api.payloads import clock, stamp, words


def test_stamps_have_a_space_and_microseconds() -> None:
    moment = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)
    assert stamp(moment) == "2026-01-31 06:00:00.000000+00:00"
    assert stamp(None) is None


@pytest.mark.parametrize(
    ("seconds", "written", "said"),
    [
        (0.9, "00:00:00", "0 minutes"),
        (1, "00:00:01", "1 second"),
        (65, "00:01:05", "1 minute, 5 seconds"),
        (7261, "02:01:01", "2 hours, 1 minute, 1 second"),
        (100 * 3600, "100:00:00", "100 hours"),
    ],
)
def test_durations(seconds: float, written: str, said: str) -> None:
    span = timedelta(seconds=seconds)
    assert (clock(span), words(span)) == (written, said)
