"""Python programs in processes of their own, which begin with dlt imported.

They are forked from one process, and otherwise equal those that `processes.running` starts.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

from tests.support.clock import PATIENCE
from tests.support.processes.children import ROOT, default_signals, new_mark
from tests.support.processes.fork_server import START
from tests.support.processes.guard import MARK, kill_marked

_LOCK = Lock()


class Fork:
    """A running Python program.

    Args:
        output: The file that it writes its standard output to.
        errors: The file that it writes its standard error to.
        status: Connection that first has its process id, then its exit code.
    """

    def __init__(self, output: IO[bytes], errors: IO[bytes], status: socket.socket) -> None:
        self._output = output
        self._errors = errors
        self._status = status
        self.pid = self._number(PATIENCE)
        self.returncode: int | None = None

    @property
    def output(self) -> str:
        """The standard output of the program so far."""
        return _content(self._output)

    @property
    def errors(self) -> str:
        """The standard error of the program so far."""
        return _content(self._errors)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end and return the exit code; that of a signal is negative."""
        if self.returncode is None:
            self.returncode = self._number(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def _number(self, timeout: float) -> int:
        self._status.settimeout(timeout)
        line = b""
        while not line.endswith(b"\n"):
            part = self._status.recv(1)
            assert part, "The process that forks has ended."
            line += part
        return int(line)


def stop() -> None:
    """End the process that forks, if there is one; it is started when it is needed."""
    if _server.cache_info().currsize:
        process, control = _server()
        control.close()
        process.wait(PATIENCE)
        _server.cache_clear()


@contextmanager
def forked(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Fork]:
    """Start a Python program, and kill it and its children at the end.

    Args:
        code: The program, as for `python -c`.
        arguments: Its arguments.
        env: The environment, by default that of the test.
    """
    mark = new_mark()
    request = {
        "code": code,
        "arguments": arguments,
        "folder": str(Path.cwd()),
        "environment": {**(os.environ if env is None else env), MARK: mark},
    }
    here, there = socket.socketpair()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, here:
        with there, _LOCK:
            files = [output.fileno(), errors.fileno(), there.fileno()]
            message = f"{json.dumps(request)}\n".encode()
            _, control = _server()
            sent = socket.send_fds(control, [message], files)
            control.sendall(message[sent:])
        process = Fork(output, errors, here)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kill_marked(mark)


def run_forked(code: str, *arguments: str) -> str:
    """Run a Python program that succeeds, and return its output."""
    with forked(code, *arguments) as process:
        assert process.wait() == 0, process.output + process.errors
        return process.output


def _content(file: IO[bytes]) -> str:
    # without moving the position, which the program shares
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


@cache
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    here, there = socket.socketpair()
    with there, default_signals():
        command = [sys.executable, "-c", START, str(there.fileno())]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, here
