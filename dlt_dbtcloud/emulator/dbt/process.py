"""dbt subprocess with its children."""

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
from typing import IO

from dlt_dbtcloud.emulator.logs import Lines

# seconds between asking dbt to end and killing it
GRACE = 3.0
# seconds for the rest of the output after dbt has ended; a child may keep it open for ever
DRAIN = 3.0
CHUNK = 64 * 1024
# waits for a line before dbt starts, so that it never starts without the guard's knowledge
GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "dbt")


class DbtProcess:
    """A dbt process in a process group of its own, which starts with `run`.

    Args:
        command: The dbt program and its arguments.
        folder: The working directory.
        environ: The complete environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._done = threading.Event()
        self._interrupted = False
        gate = () if sys.platform == "win32" else GATE
        self._process = subprocess.Popen(  # noqa: S603 - the shell gets the arguments unparsed
            [*gate, *command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self.group = self._process.pid

    def run(self, log: Callable[[str], None]) -> int:
        """Start dbt, wait until it ends, and return its exit code.

        Args:
            log: Called with each line of the output, by another thread.
        """
        reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        reader.start()
        if self._process.stdin is not None:
            # an interrupted process does not read any more
            with suppress(OSError):
                self._process.stdin.write(b"\n")
            self._process.stdin.close()
        code = self._process.wait()
        reader.join(DRAIN)
        if self._interrupted or reader.is_alive():
            # dbt has ended, but its children may have ignored the signal
            self._kill()
            reader.join(DRAIN)
        self._done.set()
        return code

    def interrupt(self) -> None:
        """Interrupt the process group, and kill it after `GRACE` seconds."""
        self._interrupted = True
        self._signal(signal.SIGINT)
        threading.Thread(target=self._kill_later, daemon=True).start()

    def _read(self, log: Callable[[str], None]) -> None:
        """Read the output until it ends, or until a child prints after `run`."""
        stdout = self._process.stdout
        if stdout is None:
            return
        lines = Lines()
        with stdout:
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
        if sys.platform == "win32":
            self._process.kill()
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_C_EVENT)
        else:
            # the group may be gone, or be a zombie that cannot be signalled
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := stream.read(CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
