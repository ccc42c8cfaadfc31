"""Tests of the clocks of tests."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock, SharedClock


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


def test_threads_share_a_clock_in_the_order_of_their_sleeps() -> None:
    clock = SharedClock()
    seen: list[tuple[str, float]] = []

    def work(name: str, *pauses: float) -> None:
        for pause in pauses:
            clock.sleep(pause)
            seen.append((name, clock.now))

    clock.at(5.0, lambda: seen.append(("planned", clock.now)))
    clock.run([(3.0, lambda: work("b", 1, 1)), (0.0, lambda: work("a", 2, 7200))])
    assert seen == [("a", 2), ("b", 4), ("planned", 5), ("b", 5), ("a", 7202)]


def test_a_thread_that_fails_does_not_stop_the_others() -> None:
    clock = SharedClock()
    seen: list[float] = []
    with pytest.raises(ZeroDivisionError):
        clock.run([(0.0, lambda: clock.sleep(1 // 0)), (9.0, lambda: seen.append(clock.now))])
    assert seen == [9.0]
