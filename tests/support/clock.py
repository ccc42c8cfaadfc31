"""Clocks that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class FakeClock:
    """Passes time by being asked to sleep, and does what is planned for it on the way."""

    def __init__(self) -> None:
        self.now = 0.0
        self._epoch = time.time()
        self.sleeps: list[float] = []
        self._plans: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan something for a time."""
        self._plans.append((seconds, action))
        self._plans.sort(key=lambda plan: plan[0])

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self._epoch + self.now

    def sleep(self, seconds: float, /) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        while self._plans and self._plans[0][0] <= self.now:
            self._plans.pop(0)[1]()


class FastClock:
    """Lets time pass faster than it does, for what happens at the same time elsewhere.

    Args:
        times: How much faster.
        ahead: How many seconds it is ahead of the clock on the wall, which goes as it does.
    """

    def __init__(self, times: float = 200.0, ahead: float = 0.0) -> None:
        self._times = times
        self._ahead = ahead

    def monotonic(self) -> float:
        return time.monotonic() * self._times

    def time(self) -> float:
        return time.time() + self._ahead

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds / self._times)


def until(condition: Callable[[], object], within: float = 60.0) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "It has not come true."
        threading.Event().wait(0.02)
