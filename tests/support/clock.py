"""Clocks that pass time only when they are asked to sleep, and waiting in real time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # the processes that need no more than `until` do not import dlt
    from dlt_dbtcloud import DBTCloudClientV2
    from dlt_dbtcloud.client.outages import Clock

# seconds of real time after which something is stuck, however slow the machine
PATIENCE = 300.0
# the same for tests that run real dbt
DBT_PATIENCE = 1200.0


class FakeClock:
    """A clock whose time passes by sleeping alone, so that a slow machine costs none.

    Args:
        real: Real seconds to sleep for each second, for what other threads do meanwhile.
        ahead: Seconds by which it is ahead of the real time.
    """

    def __init__(self, real: float = 0.0, ahead: float = 0.0) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self._real = real
        self._epoch = time.time() + ahead
        self._plans: list[tuple[float, Callable[[], object]]] = []
        self._lock = threading.Lock()

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan an action for a time."""
        with self._lock:
            self._plans.append((seconds, action))
            self._plans.sort(key=lambda plan: plan[0])

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self._epoch + self.now

    def sleep(self, seconds: float, /) -> None:
        self.sleeps.append(seconds)
        # threads that sleep at the same time share it; a rest too small to add must still pass
        wakes = max(self.now + seconds, math.nextafter(self.now, math.inf))
        time.sleep(seconds * self._real)
        self.now = max(self.now, wakes)
        while action := self._due():
            action()

    def _due(self) -> Callable[[], object] | None:
        with self._lock:
            is_due = bool(self._plans) and self._plans[0][0] <= self.now
            return self._plans.pop(0)[1] if is_due else None


class FakeTimer:
    """A timer on a fake clock, like `threading.Timer`."""

    daemon = True

    def __init__(self, clock: FakeClock, seconds: float, action: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._action = action
        self._is_cancelled = False

    def start(self) -> None:
        self._clock.at(self._clock.now + self._seconds, self._act)

    def cancel(self) -> None:
        self._is_cancelled = True

    def _act(self) -> None:
        if not self._is_cancelled:
            self._action()


class FastClock(FakeClock):
    """A fake clock that sleeps a little in real time.

    Args:
        times: How much faster than the real time it sleeps.
        ahead: Seconds by which it is ahead of the real time.
    """

    def __init__(self, times: float = 200.0, ahead: float = 0.0) -> None:
        super().__init__(1 / times, ahead)


def until(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until another thread or process fulfils a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"The condition is not met after {within:g} s."
        threading.Event().wait(0.02)


def clocked(client: DBTCloudClientV2, clock: Clock) -> DBTCloudClientV2:
    """Return a client on the same connection with another clock."""
    other = copy(client)
    other.clock = clock
    other._transport = copy(client._transport)
    other._transport._clock = clock
    return other
