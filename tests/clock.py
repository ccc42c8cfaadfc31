"""A clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable


class FakeClock:
    """Passes time by being asked to sleep, and does what is planned for it on the way."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self._plans: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan something for a time."""
        self._plans.append((seconds, action))
        self._plans.sort(key=lambda plan: plan[0])

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        while self._plans and self._plans[0][0] <= self.now:
            self._plans.pop(0)[1]()
