"""dbt process with its children."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol, cast

from dlt_dbtcloud.emulator.logs import Lines

# seconds between asking dbt to end and killing it
GRACE = 3.0
# seconds for the rest of the output after dbt has ended; a child may keep it open
DRAIN = 3.0
CHUNK = 64 * 1024
# waits for a line before dbt starts, so that it never starts without the guard's knowledge
GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "dbt")
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
LOST = "dbt was stopped, because the process that it was forked from was killed."


class Child(Protocol):
    """A process for one dbt command, in a process group of its own.

    Attributes:
        group: The id of the group, known as soon as the process is ready.
        stdout: Its output, errors included.
    """

    group: int
    stdout: IO[bytes]

    def begin(self) -> bool:
        """Wait for the process, and return whether it is ready to run dbt."""

    def go(self) -> None:
        """Let the process run dbt."""

    def wait(self) -> int | None:
        """Return dbt's exit code, or None if it is unknown."""

    def signal(self, number: signal.Signals) -> None:
        """Signal the group."""


class Subprocess:
    """A dbt program in a subprocess.

    Args:
        command: The program and its arguments.
        folder: The working directory.
        environ: The complete environment.

    Raises:
        OSError: The process cannot be started.
        ValueError: A process cannot have such arguments or such an environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        gate = () if sys.platform == "win32" else GATE
        self._process = subprocess.Popen(  # noqa: S603 - the shell gets the arguments unparsed
            [*gate, *command],
            cwd=str(folder),
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self.group = self._process.pid
        self.stdout = cast("IO[bytes]", self._process.stdout)

    def begin(self) -> bool:
        """Return True: the shell waits for `go`."""
        return True

    def go(self) -> None:
        """Let the shell start dbt."""
        if self._process.stdin is not None:
            # an interrupted process does not read any more
            with suppress(OSError):
                self._process.stdin.write(b"\n")
            self._process.stdin.close()

    def wait(self) -> int:
        """Return dbt's exit code."""
        return self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group."""
        if sys.platform == "win32":
            if number == signal.SIGINT:
                self._process.send_signal(signal.CTRL_C_EVENT)
            else:
                self._process.kill()
        else:
            # the group may be gone, or be a zombie that cannot be signalled
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)


class DbtProcess:
    """A dbt process with its children, which starts with `run`.

    Args:
        child: The process.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._done = threading.Event()
        self._interrupted = False

    @property
    def group(self) -> int:
        """The id of the process group, known after `begin`."""
        return self._child.group

    def begin(self) -> bool:
        """Return whether the process is ready to run dbt."""
        return self._child.begin()

    def run(self, log: Callable[[str], None]) -> int:
        """Start dbt, wait until it ends, and return its exit code.

        Args:
            log: Called with each line of the output, by another thread.

        Raises:
            OSError: The exit code was lost with the process that dbt was forked from.
        """
        reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        reader.start()
        self._child.go()
        code = self._child.wait()
        if code is None:
            # the output ends with dbt
            self.interrupt()
            reader.join(GRACE)
        reader.join(DRAIN)
        if self._interrupted or reader.is_alive():
            # dbt has ended, but its children may have ignored the signal
            self._kill()
            reader.join(DRAIN)
        self._done.set()
        if code is None:
            raise OSError(LOST)
        return code

    def interrupt(self) -> None:
        """Interrupt the process group, and kill it after `GRACE` seconds."""
        self._interrupted = True
        self._child.signal(signal.SIGINT)
        threading.Thread(target=self._kill_later, daemon=True).start()

    def _read(self, log: Callable[[str], None]) -> None:
        """Read the output until it ends, or until a child prints after `run`."""
        lines = Lines()
        with self._child.stdout as stdout:
            for text in _decoded(stdout):
                if self._done.is_set():
                    return
                for line in lines.feed(text):
                    log(line.rstrip("\r"))
        for line in lines.end():
            log(line.rstrip("\r"))

    def _kill_later(self) -> None:
        if not self._done.wait(GRACE):
            self._kill()

    def _kill(self) -> None:
        self._child.signal(KILL)


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := stream.read(CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
