"""Waiting out what passes by itself: how long, and how often to ask meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from dlt.common import logger

from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.exceptions import DBTCloudException

__all__ = ["outage_pause", "through_outages"]

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
