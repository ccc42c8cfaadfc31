"""Displays of progress: lines, a line that is updated, and dlt's collectors."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from dlt.common.runtime.collector import (
    AliveCollector,
    EnlightenCollector,
    LogCollector,
    TqdmCollector,
)

from dlt_dbtcloud.configuration import Collector

__all__ = [
    "CollectorDisplay",
    "Counter",
    "Display",
    "Frame",
    "LineDisplay",
    "TerminalDisplay",
    "fitted",
]

# seconds after which a display without changes shows that the wait continues
_QUIET = 60.0
# seconds between updates of the elapsed time
_LIVE = 1.0
_COLUMNS = 80
# of a collector, whose bars have little room
_TITLE = "dbt Cloud"
_LIVE_COLLECTORS = (AliveCollector, EnlightenCollector, TqdmCollector)
_CLEAR = "\r\x1b[K"
_WIDE = frozenset("WF")


@dataclass(frozen=True)
class Counter:
    """A counter of finished steps, nodes or runs.

    Args:
        name: The name.
        done: How many have finished.
        total: How many there are; None if unknown.
        label: A label that distinguishes counters of one name.
    """

    name: str
    done: int
    total: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Frame:
    """Progress at one moment.

    Args:
        title: What is watched, such as `dbt Cloud run 7`.
        lines: New lines that remain, such as links and failures.
        parts: The parts of the current description, the most important first.
        key: Changes if the description has changed other than in its times and counts.
        counters: The counters.
        is_over: Whether all runs have finished, and the new lines describe them.
    """

    title: str
    lines: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    key: object = None
    counters: tuple[Counter, ...] = ()
    is_over: bool = False


class Display(Protocol):
    """A display of progress."""

    def show(self, frame: Frame, now: float) -> None:
        """Show the progress at a time, in seconds of a monotonic clock."""

    def due(self, now: float) -> float:
        """Return the seconds after which it needs another frame, however little changes."""

    def close(self) -> None:
        """End the display; it may show another wait afterwards."""


class LineDisplay:
    """Lines for logs: one per change, and at least one per minute.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: float | None = None
        self._key: object = None

    def show(self, frame: Frame, now: float) -> None:
        """Write the new lines, and the description after a change or a minute."""
        lines = [*frame.lines]
        if frame.parts and not frame.is_over and (frame.key != self._key or self.due(now) <= 0):
            lines.append(f"{frame.title}: {', '.join(frame.parts)}")
            self._key = frame.key
        if lines:
            self._shown = now
            write(self._stream, "".join(f"{line}\n" for line in lines))

    def due(self, now: float) -> float:
        """Return the seconds to the next line."""
        return 0.0 if self._shown is None else max(0.0, self._shown + _QUIET - now)

    def close(self) -> None:
        """Begin anew with the next wait."""
        self._shown = self._key = None


class TerminalDisplay:
    """One line of a terminal that is updated every second, below the lines that remain.

    Args:
        stream: The stream, which is a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_drawn = False

    def show(self, frame: Frame, now: float) -> None:
        """Draw the line, cut to the width of the terminal."""
        del now
        remaining = "".join(f"{line}\n" for line in frame.lines)
        # the cursor waits at the beginning, so that a log message replaces the line
        line = "" if frame.is_over else fitted(frame.parts, self._columns() - 1)
        clear = _CLEAR if self._is_drawn or line else ""
        write(self._stream, f"{clear}{remaining}{line}\r" if line else f"{clear}{remaining}")
        self._is_drawn = bool(line)

    def due(self, now: float) -> float:
        """Return a second, for the elapsed time."""
        del now
        return _LIVE

    def close(self) -> None:
        """Clear the line."""
        if self._is_drawn:
            write(self._stream, _CLEAR)
        self._is_drawn = False

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
        except (OSError, ValueError):
            return _COLUMNS


class CollectorDisplay:
    """A collector of dlt, with the lines that remain before and after its bars.

    Args:
        collector: The collector, which is not started.
        stream: The stream of the lines.
    """

    def __init__(self, collector: Collector, stream: TextIO) -> None:
        self._collector = collector
        self._lines = LineDisplay(stream)
        self._stream = stream
        self._is_live = isinstance(collector, _LIVE_COLLECTORS)
        # it writes all counters at the first update of several
        self._is_log = isinstance(collector, LogCollector)
        self._is_open = False
        self._counts: dict[tuple[str, str | None], int] = {}
        self._shown = -math.inf
        self._last: tuple[object, ...] = ()
        self._end: tuple[str, ...] = ()

    def show(self, frame: Frame, now: float) -> None:
        """Update the counters with the description as their message."""
        if not self._is_open:
            self._lines.show(Frame(frame.title, frame.lines), now)
            self._collector(_TITLE).__enter__()
            self._is_open = True
        else:
            # bars and lines of others would overwrite each other
            self._end += frame.lines
        counters = frame.counters[:1] if self._is_log else frame.counters
        last = (frame.key, counters)
        if not counters or (last == self._last and self.due(now) > 0):
            return
        self._last, self._shown = last, now
        self._update(counters[0], ", ".join(frame.parts) or None)
        for counter in counters[1:]:
            self._update(counter, None)

    def due(self, now: float) -> float:
        """Return the seconds to the next update: one for bars, otherwise a minute."""
        return max(0.0, self._shown + (_LIVE if self._is_live else _QUIET) - now)

    def close(self) -> None:
        """Stop the collector, and write the lines that have come in the meantime."""
        if self._is_open:
            self._is_open = False
            self._collector.__exit__(None, None, None)  # type: ignore[arg-type]  # as `with` does
            if self._is_live and self._stream.isatty():
                # some bars leave the cursor behind what they have cleared
                write(self._stream, _CLEAR)
        self._lines.show(Frame("", self._end), 0.0)
        self._counts, self._end, self._last, self._shown = {}, (), (), -math.inf

    def _update(self, counter: Counter, message: str | None) -> None:
        key = (counter.name, counter.label)
        before = self._counts.get(key, 0)
        total = counter.total if key not in self._counts else None
        self._counts[key] = max(before, counter.done)
        self._collector.update(
            counter.name,
            inc=max(0, counter.done - before),
            total=total,  # type: ignore[arg-type]  # its default is None
            message=message,  # type: ignore[arg-type]
            label=counter.label,  # type: ignore[arg-type]
        )


def fitted(parts: Sequence[str], columns: int) -> str:
    """Return the parts that fit into a terminal; the first part is cut."""
    line = parts[0] if parts else ""
    while line and _width(line) > columns:
        line = line[:-1]
    for part in parts[1:]:
        room = columns - _width(line) - 2
        if _width(part) > room:
            # a command may be cut, a number may not
            cut = part[: max(0, room - 3)]
            return f"{line}, {cut}..." if ": " in cut and _width(cut) <= room - 3 else line
        line = f"{line}, {part}"
    return line


def write(stream: TextIO, text: str) -> None:
    """Write a text, with `?` for the characters that the stream cannot encode."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding, "replace"))
    stream.flush()


def _width(text: str) -> int:
    """Return the columns of a text; those of East Asian characters are two."""
    return sum(1 + (unicodedata.east_asian_width(each) in _WIDE) for each in text)
