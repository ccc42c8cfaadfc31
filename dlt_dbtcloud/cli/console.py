"""Output of the commands: results on standard output, messages on standard error."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from dlt_dbtcloud.cli.statuses import worded
from dlt_dbtcloud.redaction import plain_text

__all__ = ["Console", "render", "shown_logs", "wrapped"]

_T = TypeVar("_T")

# columns of an output that is not a terminal, so that nothing is cut
_UNLIMITED = 1000
_WORD = re.compile(r"\S+")
_CLEAR = "\r\x1b[K"
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red"}


class Console:
    """The standard streams of a command.

    Colours are used only on a terminal and without `NO_COLOR`.

    Args:
        is_json: Whether standard output is reserved for JSON.
        cut: Cuts tokens out of a text.
    """

    def __init__(self, *, is_json: bool = False, cut: Callable[[str], str] = str) -> None:
        self.is_json = is_json
        self._cut = cut
        self._out = _rich(sys.stdout)
        self._err = _rich(sys.stderr)

    @property
    def width(self) -> int:
        """The columns of standard output."""
        return self._out.width

    @property
    def has_blocks(self) -> bool:
        """Whether standard output can show block characters."""
        return can_show_blocks(self._out.encoding)

    def without_tokens(self, value: _T) -> _T:
        """Return a JSON value without tokens in its texts; a view may shorten them later."""
        return cast(_T, _mapped(value, self._cut))

    def show(self, *renderables: RenderableType) -> None:
        """Print results to standard output."""
        for each in renderables:
            _print(self._out, each)

    def write(self, text: str) -> None:
        """Print a text to standard output as it is."""
        self._out.out(text, highlight=False)

    def json(self, value: Any) -> None:
        """Print a JSON value to standard output."""
        self._out.out(json.dumps(value, indent=2, default=str), highlight=False)

    def note(self, text: str, style: str = "") -> None:
        """Print a message to standard error, in place of a line of progress."""
        if sys.stderr.isatty() and not self._err.is_dumb_terminal:
            self._err.file.write(_CLEAR)
        self._report(Text(plain_text(self._cut(text)), style))

    def error(self, text: str) -> None:
        """Print an error to standard error."""
        self._report(Text("error: ", "bold red") + Text(plain_text(self._cut(text)), ""))

    def _report(self, text: Text) -> None:
        try:
            _print(self._err, text)
        except BrokenPipeError:
            raise
        except OSError:
            # a wait continues if a full disk takes no messages
            return

    def flush(self) -> None:
        """Write the buffered output; a closed pipe is an error here, not at the exit."""
        sys.stdout.flush()


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with changed texts."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(each, change) for name, each in value.items()}
    return [_mapped(each, change) for each in value] if isinstance(value, list) else value


def render(renderable: RenderableType, width: int) -> list[str]:
    """Return the lines of a result at a width, without colours."""
    file = io.StringIO()
    console = RichConsole(file=file, width=width, highlight=False, markup=False, emoji=False)
    _print(console, renderable)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def wrapped(text: Text, width: int) -> Iterator[Text]:
    """Yield the lines of a text, wrapped between words.

    A word that is longer than a line stays where it is, so that a terminal finds a URL in it.

    Args:
        text: The text.
        width: The columns.
    """
    for line in text.split("\n", allow_blank=True):
        words = [*_WORD.finditer(line.plain)]
        indent = words[0].start() if words else 0
        room, begin = max(1, width - indent), 0
        for before, word in pairwise(words):
            is_long = word.end() - word.start() > room
            if word.end() - begin > (width if begin == 0 else room) and not is_long:
                yield _indented(line[begin : before.end()], indent if begin else 0)
                begin = word.start()
        yield _indented(line[begin:], indent if begin else 0)


def _indented(line: Text, columns: int) -> Text:
    return Text(" " * columns) + line


def can_show_blocks(encoding: str) -> bool:
    """Return whether an encoding has the characters of bars."""
    try:
        "━".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def shown_logs(console: Console) -> Iterator[None]:
    """Show the log of dlt as messages, unless the config sets a format."""
    import dlt

    # sets up the logger, which does nothing before
    dlt.current.run_context()
    logger = logging.getLogger("dlt")
    if dlt.config.get("runtime.log_format") is not None:
        yield
        return
    handlers, logger.handlers = logger.handlers, [_Messages(console)]
    try:
        yield
    finally:
        logger.handlers = handlers


def _print(console: RichConsole, renderable: RenderableType) -> None:
    """Print a result; only on a terminal, texts are wrapped and tables are padded."""
    if not isinstance(renderable, str | Text):
        if console.is_terminal:
            console.print(renderable)
            return
        with console.capture() as captured:
            console.print(renderable)
        padded = captured.get().removesuffix("\n").split("\n")
        console.out("\n".join(line.rstrip() for line in padded), highlight=False)
        return
    text = Text(renderable) if isinstance(renderable, str) else renderable
    lines = [text] if console.width >= _UNLIMITED else wrapped(text, console.width)
    for line in lines:
        console.print(line, soft_wrap=True)


class _Messages(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record without time and place."""
        label = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        text = worded(f"{label}{record.getMessage()}")
        self._console.note(text, _STYLES.get(record.levelno, ""))


class _Stream(RichConsole):
    def on_broken_pipe(self) -> None:
        """Raise the error again, which rich turns into an exit status of its own."""
        raise BrokenPipeError(errno.EPIPE, "The reader of the output has ended.")


def _rich(file: TextIO) -> RichConsole:
    is_narrow = file.isatty() or bool(os.environ.get("COLUMNS"))
    with suppress(AttributeError, ValueError, io.UnsupportedOperation):
        # an old terminal may lack a character of a name
        file.reconfigure(errors="replace")  # type: ignore[attr-defined]  # tests have others
    return _Stream(
        file=file,
        width=None if is_narrow else _UNLIMITED,
        # rich alone would keep bold and dim texts
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )
