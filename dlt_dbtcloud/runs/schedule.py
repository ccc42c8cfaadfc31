"""Times of status checks: close together where past runs of the job ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PROMPT", "Window", "next_pause", "regular_pause", "usual_ends"]

# seconds between two checks while a run usually ends; with a request it is less than two
PROMPT = 1.5
# the shortest pause between two checks, unless less is asked for, in seconds
_SHORTEST = 1.0
# seconds by which a run may differ from a past one and still take as long
_MARGIN = 1.0
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


def regular_pause(age: float, wait_seconds: float) -> float:
    """Return the longest pause before the next check: a second plus a tenth of the age.

    Args:
        age: Seconds since the trigger.
        wait_seconds: The longest pause; 0 for one second.
    """
    return min(wait_seconds or _SHORTEST, _SHORTEST + age / 10)


def next_pause(
    age: float, wait_seconds: float, running: float | None, windows: Sequence[Window]
) -> float:
    """Return the pause before the next check, at most the regular one.

    The last check before a window comes at most a regular pause before its first check, so that
    the end of any other run is noticed as soon as without windows.

    Args:
        age: Seconds since the trigger.
        wait_seconds: The longest pause; 0 for one second.
        running: Seconds since the start; None if the run has not started.
        windows: When the run usually ends, in order.
    """
    regular = regular_pause(age, wait_seconds)
    if running is None:
        return regular
    window = next((each for each in windows if running < each.ends), None)
    # the first check in a window comes when a run may have ended in it
    placed = max(window.begins - running, 0.0) + PROMPT if window else regular
    return min(placed, regular)


def usual_ends(durations: Sequence[float], wait_seconds: float) -> tuple[Window, ...]:
    """Return when a run usually ends, in order: where the durations of past runs are closest.

    The windows take few additional checks. If the durations have nothing in common, there are no
    windows.

    Args:
        durations: The seconds from the start to the end of past runs.
        wait_seconds: The longest pause between two checks; 0 for one second.
    """
    left = sorted(durations)
    least = max(1.0, _USUAL * len(left))
    regular = left[-1] / (wait_seconds or _SHORTEST) if left else 0.0
    seconds = PROMPT * max(_FEW, _SHARE * regular)
    found: list[Window] = []
    while group := _densest(left, seconds - 2 * _MARGIN):
        if len(group) < least:
            break
        window = Window(group[0] - _MARGIN, group[-1] + _MARGIN)
        seconds -= window.ends - window.begins
        found.append(window)
        left = [each for each in left if not window.begins <= each <= window.ends]
    return tuple(sorted(found, key=lambda window: window.begins))


def _densest(durations: Sequence[float], span: float) -> Sequence[float]:
    """Return the most durations within a span, and of as many the closest; none if negative."""
    groups = [
        [each for each in durations if first <= each <= first + span]
        for first in durations
        if span >= 0
    ]
    return max(groups, key=lambda group: (len(group), group[0] - group[-1]), default=())
