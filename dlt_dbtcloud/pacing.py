"""How fast requests may follow one another, whatever number of threads sends them."""

from __future__ import annotations

import time
from threading import Lock

from dlt_dbtcloud.clock import Clock

__all__ = ["Pace"]

# the API takes 5,000 requests a minute from an account, and others ask it, too
_A_MINUTE = 4000


class Pace:
    """Lets each one who asks go on when it is his turn.

    Args:
        a_minute: How many may go on in a minute.
        clock: What the time is told by.
    """

    def __init__(self, a_minute: float = _A_MINUTE, clock: Clock = time) -> None:
        self._interval = 60.0 / a_minute
        self._clock = clock
        self._next = clock.monotonic()
        self._lock = Lock()

    def keep(self) -> None:
        """Sleep until it is the caller's turn."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._clock.sleep(turn - now)
