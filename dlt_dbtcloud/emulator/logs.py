"""Logs of steps, without the middle if they are long."""

from __future__ import annotations

from collections import deque
from pathlib import Path

# characters of a log that are kept at its beginning, and as many at its end
KEPT = 500_000
# characters after which a line is broken
LONGEST_LINE = 100_000


class Log:
    """The lines of a step; the middle of a long log is left out.

    Args:
        kept: The number of characters to keep at the beginning, and at the end.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_size = self._tail_size = self._omitted = 0

    def add(self, text: str) -> None:
        """Add lines of text."""
        for line in text.splitlines() or [""]:
            self._add(line)

    @property
    def text(self) -> str:
        """The log, with a line about the part that is left out."""
        note = [_omission(f"{self._omitted} lines")] if self._omitted else []
        return "\n".join([*self._head, *note, *self._tail])

    def _add(self, line: str) -> None:
        size = len(line) + 1
        if not self._tail and self._head_size + size <= self._kept:
            self._head.append(line)
            self._head_size += size
            return
        self._tail.append(line)
        self._tail_size += size
        while self._tail_size > self._kept and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()) + 1
            self._omitted += 1


class Lines:
    """Lines of a stream of text, broken if they are too long."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Return the lines that end in the next piece of the stream."""
        *lines, rest = (self._rest + text).split("\n")
        # a line of this length may end with the next piece
        *begun, self._rest = _break(rest)
        return [piece for line in lines for piece in _break(line)] + begun

    def end(self) -> list[str]:
        """Return the last line, unless it is empty."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []


def read_log(file: Path, kept: int = KEPT) -> str:
    """Read a log file without the middle if it is long; empty if missing."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        size = file.stat().st_size
        if size <= 2 * kept:
            return stream.read().decode("utf-8", "replace")
        head = stream.read(kept)
        stream.seek(size - kept)
        tail = stream.read(kept)
    note = _omission(f"{size - 2 * kept} bytes")
    return "\n".join([head.decode("utf-8", "replace"), note, tail.decode("utf-8", "replace")])


def _break(line: str) -> list[str]:
    starts = range(0, len(line), LONGEST_LINE)
    return [line[start : start + LONGEST_LINE] for start in starts] or [""]


def _omission(amount: str) -> str:
    return f"... the embedded dbt Cloud left out {amount} of this log ..."
