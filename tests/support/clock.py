"""Clocks that pass time only when they are asked to sleep, and waiting in real time."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
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


class SharedClock(FakeClock):
    """A fake clock of many threads, of which one runs at a time.

    The time passes when the running thread sleeps or ends: the one that wakes first runs next. So
    the order of all that happens depends on the sleeps alone, and a thousand threads need no time
    to wait. A thread that responds to the running one, such as a server's, may sleep in its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self._queue: list[tuple[float, int, Callable[[], object], bool]] = []
        self._numbers = itertools.count()
        self._has_ended = threading.Event()
        self._errors: list[BaseException] = []

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan an action for a time; it must not sleep."""
        self._plan(seconds, action, hands_over=False)

    def sleep(self, seconds: float, /) -> None:
        wakes = max(self.now + seconds, math.nextafter(self.now, math.inf))
        turn = threading.Lock()
        turn.acquire()
        self._plan(wakes, turn.release, hands_over=True)
        self._hand_over()
        turn.acquire()

    def run(self, starts: Iterable[tuple[float, Callable[[], object]]]) -> None:
        """Run actions in threads that begin at given times; raise the first error in the end."""
        self._has_ended.clear()
        threads = []
        for seconds, action in starts:
            thread = threading.Thread(target=self._act, args=(action,), daemon=True)
            threads.append(thread)
            self._plan(seconds, thread.start, hands_over=True)
        self._hand_over()
        seen = -1.0
        # a slow machine takes longer, but makes progress
        while not self._has_ended.wait(PATIENCE):
            assert self.now > seen, f"The threads are stuck at {self.now:g} s."
            seen = self.now
        for thread in threads:
            thread.join(PATIENCE)
        for error in self._errors:
            raise error

    def _act(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001, it is raised by `run`
            self._errors.append(error)
        self._hand_over()

    def _plan(self, seconds: float, action: Callable[[], object], *, hands_over: bool) -> None:
        with self._lock:
            heapq.heappush(self._queue, (seconds, next(self._numbers), action, hands_over))

    def _hand_over(self) -> None:
        """Let the thread run that wakes first; take the actions that are due before."""
        while True:
            with self._lock:
                if not self._queue:
                    self._has_ended.set()
                    return
                seconds, _, action, hands_over = heapq.heappop(self._queue)
                self.now = max(self.now, seconds)
            action()
            if hands_over:
                return


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
