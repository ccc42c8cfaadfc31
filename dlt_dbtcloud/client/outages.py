"""Waiting out what passes by itself: how long, and how often to ask meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeVar

from dlt.common import logger

from dlt_dbtcloud.exceptions import DBTCloudException

__all__ = ["Clock", "Pace", "outage_pause", "through_outages"]


class Clock(Protocol):
    """What the time is told by, and passed with; the module `time` is one."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Let seconds pass."""

    def time(self) -> float:
        """Return seconds since 1970, as far as this machine knows them."""


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


_LONGEST_PAUSE = 60.0
_LONGEST_OUTAGE = 120.0

_T = TypeVar("_T")


def through_outages(
    ask: Callable[[], _T],
    *,
    timeout: float = _LONGEST_OUTAGE,
    cool_down: float = 0.0,
    clock: Clock = time,
) -> _T:
    """Return the answer to something that may be asked again and again, once there is one.

    Args:
        ask: Asks once.
        timeout: Seconds after which an outage is taken for an error.
        cool_down: More seconds, where the API itself says how long it wants to be left alone.
        clock: What the time is told by.

    Raises:
        DBTCloudException: An error that does not pass by itself, or not within `timeout`.
    """
    began, failures = clock.monotonic(), 0
    while True:
        try:
            return ask()
        except DBTCloudException as error:
            failures += 1
            asked = _asked_for(error)
            left = timeout + (cool_down if asked else 0.0) - (clock.monotonic() - began)
            if not error.is_outage or left <= 0 or asked > left:
                raise
            if failures == 1:
                logger.warning(f"{error} It is tried again, for up to {left:.0f} seconds.")
            # the last try comes when the time is over
            clock.sleep(min(outage_pause(error, failures), left))


def outage_pause(error: DBTCloudException, failures: int) -> float:
    """Return the seconds to the next try: more each time, not in step with others, as asked."""
    jitter = random.uniform(0.5, 1.0)  # noqa: S311, it keeps no secret
    growing = min(_LONGEST_PAUSE, 2.0**failures) * jitter
    return max(growing, _asked_for(error))


def _asked_for(error: DBTCloudException) -> float:
    """Return for how many seconds the API wants to be left alone."""
    return getattr(error, "retry_after", None) or 0.0
