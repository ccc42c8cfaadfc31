"""Retry policy for transient API errors, rate limit and clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, TypeVar

from dlt.common import logger

from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRateLimitError

__all__ = [
    "COOL_DOWN",
    "DEFAULT_TIMEOUT",
    "SEVERAL_COOL_DOWNS",
    "Clock",
    "Patience",
    "RateLimiter",
    "Throttle",
    "outage_pause",
    "retry_after",
]

# seconds for which a patient client retries one request
DEFAULT_TIMEOUT = 120.0
# seconds for which the API refuses all requests after too many in a minute, and for a last attempt
COOL_DOWN = 330.0
# the same for a call that starts a run, as other cool-downs may follow
SEVERAL_COOL_DOWNS = 3600.0
_LONGEST_PAUSE = 60.0
# a shorter refusal is of a burst of requests
_SHORTEST_COOL_DOWN = 30.0
# seconds between requests that can wait, after the first cool-down and after many
_THROTTLED = 30.0
_LONGEST_THROTTLED = 240.0
# clients that are to retry at the same time are spread over this share of the time
_SPREAD = 0.1
# seconds that each request has, however little time is left
_SHORTEST_REQUEST = 10.0
# a shorter wait does not advance every clock
_SHORTEST_WAIT = 1e-3
# the API accepts 5,000 requests a minute from an account, and other clients send some of them
_REQUESTS_A_MINUTE = 4000

_T = TypeVar("_T")


class Clock(Protocol):
    """A clock, injectable for tests. The module `time` is one."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Sleep."""

    def time(self) -> float:
        """Return seconds since 1970."""


class RateLimiter:
    """Rate limiter shared by threads.

    Args:
        a_minute: Requests per minute.
        clock: A clock, injectable for tests.
    """

    def __init__(self, a_minute: float = _REQUESTS_A_MINUTE, clock: Clock = time) -> None:
        self._interval = 60.0 / a_minute
        self._clock = clock
        self._next = clock.monotonic()
        self._lock = Lock()

    def wait(self) -> None:
        """Sleep until the next request may be sent."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._clock.sleep(turn - now)


class Throttle:
    """The shortest pause between requests that can wait, doubled by each cool-down.

    The clients of an account do not know of each other. If each of them slows down after a
    cool-down, their requests together soon respect the limit.
    """

    def __init__(self) -> None:
        self._cool_downs = 0
        self._refused_since: float | None = None

    def record(self, now: float, *, is_limited: bool) -> None:
        """Record whether the API refused a request because of the rate.

        Args:
            now: The time of the response, in seconds of a monotonic clock.
            is_limited: Whether it refused the request.
        """
        if is_limited:
            self._refused_since = now if self._refused_since is None else self._refused_since
        elif self._refused_since is not None:
            self._cool_downs += now - self._refused_since >= _SHORTEST_COOL_DOWN
            self._refused_since = None

    @property
    def pause(self) -> float:
        """The shortest pause in seconds; 0 before the end of a first cool-down."""
        doublings = min(self._cool_downs, 10) - 1
        return min(_LONGEST_THROTTLED, _THROTTLED * 2**doublings) if self._cool_downs else 0.0


@dataclass(frozen=True)
class Patience:
    """How a client waits out outages.

    Args:
        timeout: Seconds for which one request is retried; 0 sends it once.
        cool_down: Additional seconds while the API limits the rate of requests.
        limiter: The rate of requests, retries included.
        within: Longest time for one request, in seconds; by default what is left of `timeout`.
    """

    timeout: float = DEFAULT_TIMEOUT
    cool_down: float = 0.0
    limiter: RateLimiter | None = None
    within: float | None = None

    def request(
        self, send: Callable[[float | None], _T], clock: Clock = time, *, is_idempotent: bool = True
    ) -> _T:
        """Send a request until it is answered.

        Args:
            send: Sends the request once, within some seconds; None are as many as usual.
            clock: A clock, injectable for tests.
            is_idempotent: Whether to send it again after an error that left its effect unknown.

        Raises:
            DBTCloudException: The error is permanent, or the outage outlasted the timeout.
        """
        began, failures, cooled = clock.monotonic(), 0, 0.0
        while True:
            try:
                if self.limiter:
                    self.limiter.wait()
                return send(self._limit(clock.monotonic() - began, is_idempotent))
            except DBTCloudException as error:
                failures += 1
                is_limited = isinstance(error, DBTCloudRateLimitError)
                # a cool-down does not use up the time for other outages
                cool_down = self.cool_down if is_limited else min(self.cool_down, cooled)
                left = self.timeout + cool_down - (clock.monotonic() - began)
                is_repeatable = error.is_outage and (is_idempotent or not error.may_have_arrived)
                if not is_repeatable or left < _SHORTEST_WAIT or retry_after(error) > left:
                    raise
                if failures == 1:
                    logger.warning(f"{error} Retrying for up to {left:.0f} seconds.")
                # the last attempt is made when the time is up
                pause = min(outage_pause(error, failures), left)
                clock.sleep(pause)
                cooled += pause if is_limited else 0.0

    def _limit(self, elapsed: float, is_idempotent: bool) -> float | None:
        """Return the seconds for a request, or None if it is not limited.

        A POST that creates a run is not hurried: a lost response is searched for.
        """
        if self.within is not None:
            return max(_SHORTEST_REQUEST, self.within)
        is_limited = is_idempotent and self.timeout > 0
        return max(_SHORTEST_REQUEST, self.timeout - elapsed) if is_limited else None


def outage_pause(error: DBTCloudException, failures: int) -> float:
    """Return the seconds to the next attempt: exponential with jitter, at least `Retry-After`.

    Clients with the same `Retry-After` are spread, so that they do not exceed the rate together.
    """
    jitter = random.uniform(0.5, 1.0)  # noqa: S311, not used for secrets
    growing = min(_LONGEST_PAUSE, 2.0 ** min(failures, 10)) * jitter
    spread = random.uniform(1.0, 1.0 + _SPREAD)  # noqa: S311, not used for secrets
    return max(growing, retry_after(error) * spread)


def retry_after(error: DBTCloudException) -> float:
    """Return the seconds that the API asks to wait."""
    return getattr(error, "retry_after", None) or 0.0
