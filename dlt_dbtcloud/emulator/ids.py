"""Ids of the emulator's objects, which no other emulator uses."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

# an id is a tick of the clock and the lane of its emulator; it stays below 2**53, the largest
# integer that JavaScript and some JSON readers keep, until the year 2057
TICKS_PER_SECOND = 100
LANES = 2**15


class Ids:
    """Rising ids that begin from the clock.

    A database that outlives an emulator never contains two runs with one id: a later emulator
    starts at a later tick, and one at the same time has another lane.

    Args:
        clock: Returns the seconds since 1970.
        lane: A number below `LANES`; a random one by default.
    """

    def __init__(self, clock: Callable[[], float] = time.time, lane: int | None = None) -> None:
        self._clock = clock
        self._lane = secrets.randbelow(LANES) if lane is None else lane
        self._tick = 0

    def next(self) -> int:
        """Return an unused id, greater than all earlier ones."""
        # many ids within a tick, or a clock that is set back, must not repeat one
        self._tick = max(self._tick + 1, int(self._clock() * TICKS_PER_SECOND))
        return self._tick * LANES + self._lane
