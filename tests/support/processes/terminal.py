"""A terminal of some columns, whose screen a test can read."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["Terminal", "terminal"]

_CLEAR = "\r\x1b[K"


class Terminal:
    """A terminal.

    Args:
        stream: What a program writes to.
        screen: The other side of it.
    """

    def __init__(self, stream: TextIO, screen: int) -> None:
        self.stream = stream
        self._screen = screen
        self._text = ""

    @property
    def frames(self) -> list[list[str]]:
        """The visible text at each replacement of the last line."""
        return [self._lines(part) for part in self._starts()]

    def _starts(self) -> Iterator[str]:
        os.set_blocking(self._screen, False)
        try:
            while data := os.read(self._screen, 1 << 16):
                self._text += data.decode()
        except BlockingIOError:
            pass
        for match in re.finditer(r"\r(?!\n)", self._text):
            yield self._text[: match.start()]

    def _lines(self, text: str) -> list[str]:
        lines = text.replace("\r\n", "\n").split("\n")
        shown = (re.split(r"\r(?:\x1b\[K)?", line)[-1] for line in lines)
        return [line.replace("\x1b[K", "") for line in shown]


@contextmanager
def terminal(columns: int) -> Iterator[Terminal]:
    """Open a terminal.

    Args:
        columns: Its width.
    """
    screen, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(side, "w", encoding="utf-8") as stream:
        try:
            yield Terminal(stream, screen)
        finally:
            os.close(screen)
