"""Tests of the clocks of tests."""

from __future__ import annotations

from tests.support.clock import FakeClock


def test_a_fake_clock_reaches_every_deadline() -> None:
    clock = FakeClock()
    clock.sleep(8.2)
    began = clock.monotonic()
    # the rest that is left in the end is too small to add to the time
    for _ in range(100):
        clock.sleep(min(7.3, max(0.0, 120 - (clock.monotonic() - began))))
    assert clock.monotonic() - began >= 120


def test_a_fake_clock_takes_no_real_time_and_acts_as_planned() -> None:
    clock = FakeClock()
    seen: list[float] = []
    for seconds in (20.0, 10.0):
        clock.at(seconds, lambda: seen.append(clock.now))
    clock.sleep(15)
    clock.sleep(15)
    assert seen == [15, 30]
    assert clock.sleeps == [15, 15]
