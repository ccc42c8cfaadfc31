"""No more requests go out in a minute than may, and none waits without need."""

from __future__ import annotations

from dlt_dbtcloud.pacing import Pace
from tests.clock import FakeClock


def test_many_at_once_go_one_after_the_other() -> None:
    clock = FakeClock()
    pace = Pace(60, clock)
    for _ in range(5):
        pace.keep()
    assert clock.sleeps == [1.0] * 4


def test_who_comes_late_does_not_wait() -> None:
    clock = FakeClock()
    pace = Pace(60, clock)
    pace.keep()
    clock.now += 10
    pace.keep()
    assert clock.sleeps == []
