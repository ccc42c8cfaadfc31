"""Times are read in every form in which the API and dbt write them, and nothing else is one."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from dlt_dbtcloud.moments import seconds, timestamp

SIX = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-01-31 06:00:00.000000+00:00", SIX),
        ("2026-01-31T06:00:00Z", SIX),
        ("2026-01-31T06:00:00.1Z", SIX.replace(microsecond=100_000)),
        ("2026-01-31T06:00:00.123456789Z", SIX.replace(microsecond=123_456)),
        ("2026-01-31T08:00:00+02:00", SIX),
        ("2026-01-31T06:00:00", SIX),
        ("2026-01-31", SIX.replace(hour=0)),
        ("soon", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_a_time(said: object, expected: datetime | None) -> None:
    assert timestamp(said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("00:00:00", 0.0),
        ("01:02:03", 3723.0),
        ("100:00:00.5", 360_000.5),
        ("1 day, 00:00:01", 86_401.0),
        ("2 00:00:00", 172_800.0),
        ("5 minutes", None),
        (None, None),
    ],
)
def test_a_duration(said: object, expected: float | None) -> None:
    assert seconds(said) == expected
