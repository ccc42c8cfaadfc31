"""What the time is told by, so that it can be passed in."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """What the time is told by, and passed with; the module `time` is one."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Let seconds pass."""

    def time(self) -> float:
        """Return seconds since 1970, as far as this machine knows them."""
