"""Standard streams of the process, which may be closed, full or without a reader."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["drained", "open_missing"]

_FAILURE = 1


def open_missing() -> None:
    """Replace standard streams that are closed, as by `>&-`, with ones that drop their text."""
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()


def drained(status: int) -> int:
    """Flush the standard streams and return the exit status.

    The interpreter would fail at the exit on a stream that cannot be written. A success is a
    failure if standard output cannot.

    Args:
        status: The exit status of the command.
    """
    is_written = _drain(sys.stdout)
    _drain(sys.stderr)
    return status if is_written else status or _FAILURE


def _drain(stream: TextIO) -> bool:
    """Flush a stream, and let the rest of its text disappear if that fails."""
    try:
        stream.flush()
    except OSError:
        # a stream of a test has no file
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        return False
    return True


def _null() -> TextIO:
    # it is open until the exit
    return Path(os.devnull).open("w", encoding="utf-8")
