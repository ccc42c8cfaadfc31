"""Times of status checks: close together when past runs of the job ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

__all__ = ["PROMPT", "Check", "Expected", "Window", "next_check", "regular_pause", "usual_ends"]

# seconds between two checks while a run usually ends; with a request it is less than two
PROMPT = 1.5
# the shortest pause between two checks, unless less is asked for, in seconds
_SHORTEST = 1.0
# seconds since the start in which regular checks are as close
_YOUNG = 5.0
# seconds by which a run may differ from past ones and still take as long, and the same as a share
# of the differences between them
_MARGIN = 1.0
_WIDER = 0.1
# a window contains at least this share of the past runs
_USUAL = 0.2
# the checks within all windows: at least a few, or this share of the regular ones
_FEW = 8
_SHARE = 0.1


@dataclass(frozen=True)
class Window:
    """A time in which a run usually ends, in seconds after its start."""

    begins: float
    ends: float


class Expected(NamedTuple):
    """The seconds since a run started, if it has, and its usual ends."""

    running: float | None
    windows: Sequence[Window]


class Check(NamedTuple):
    """The pause before the next check, and the age at the next regular check."""

    pause: float
    due: float


def regular_pause(age: float, wait_seconds: float) -> float:
    """Return the longest pause: a second plus a tenth of the age.

    Args:
        age: Seconds since the trigger.
        wait_seconds: The longest pause; 0 for one second.
    """
    return min(wait_seconds or _SHORTEST, _SHORTEST + age / 10)


def next_check(
    age: float, due: float | None, wait_seconds: float, runs: Sequence[Expected]
) -> Check:
    """Return when to check next: at the next regular check, or within a window.

    Only checks within windows replace regular ones, so that the end of any other run is noticed
    as soon as without windows.

    Args:
        age: Seconds since the trigger of the youngest run.
        due: The age at the next regular check, by the check before; None at first.
        wait_seconds: The longest pause; 0 for one second.
        runs: What is expected of the runs that are watched.
    """
    if due is None or not any(run.windows for run in runs):
        due = age + regular_pause(age, wait_seconds)
    # the checks within windows do not move the regular ones
    while due <= age:
        due += regular_pause(due, wait_seconds)
    ahead = min((_ahead(run) for run in runs), default=math.inf)
    # the first check in a window comes when a run may have ended in it
    return Check(PROMPT if ahead <= 0 else min(due - age, ahead + PROMPT), due)


@lru_cache(maxsize=128)
def usual_ends(durations: tuple[float, ...], wait_seconds: float) -> tuple[Window, ...]:
    """Return when a run usually ends, in order: the densest past durations.

    The windows take few additional checks. If the durations have nothing in common, or regular
    checks are as close, there are no windows.

    Args:
        durations: The seconds from the start to the end of past runs.
        wait_seconds: The longest pause between two checks; 0 for one second.
    """
    if (wait_seconds or _SHORTEST) <= PROMPT:
        return ()
    left = sorted(durations)
    least = max(1.0, _USUAL * len(left))
    regular = left[-1] / (wait_seconds or _SHORTEST) if left else 0.0
    seconds = PROMPT * max(_FEW, _SHARE * regular)
    found: list[Window] = []
    while group := _densest(left, min(seconds - 2 * _MARGIN, seconds / (1 + 2 * _WIDER))):
        if len(group) < least:
            break
        margin = max(_MARGIN, _WIDER * (group[-1] - group[0]))
        window = Window(group[0] - margin, group[-1] + margin)
        seconds -= window.ends - window.begins
        found += [window] if window.begins > _YOUNG else []
        left = [each for each in left if not window.begins <= each <= window.ends]
    return tuple(sorted(found, key=lambda window: window.begins))


def _ahead(run: Expected) -> float:
    """Return the seconds until a run's next window; at most 0 within it."""
    if run.running is None:
        return math.inf
    left = [each.begins for each in run.windows if run.running < each.ends]
    return left[0] - run.running if left else math.inf


def _densest(durations: Sequence[float], span: float) -> Sequence[float]:
    """Return the most durations within a span, and of as many the closest."""
    groups = [
        [each for each in durations if first <= each <= first + span]
        for first in durations
        if span >= 0
    ]
    return max(groups, key=lambda group: (len(group), group[0] - group[-1]), default=())
