"""Process that imports dbt once and forks a process for each dbt command.

It runs as a script, imports nothing of this package, and has one thread. A fork waits for its
command line and environment, and then equals a new process of the `dbt` script.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

# seconds between checks whether the parent has ended; a fork of it can keep the socket open
CHECK = 1.0
CHUNK = 64 * 1024
DBT = "dbt.cli.main"
# modules that dbt imports later; other versions and installations may lack some
LATER = ("dbt.adapters.duckdb", "dbt.task.build", "dbt.task.docs.generate", "daff")
# descriptors of a request: the channel to the emulator, the output and the working directory
DESCRIPTORS = 3
UNFIT = 3
THREADS = Path("/proc/self/task")


class Request(NamedTuple):
    """A dbt command, as the emulator sends it to a fork."""

    command: list[str]
    environ: dict[bytes, bytes]


class Template:
    """A loop that forks on request and reports the exit codes of the forks.

    Args:
        control: The socket of requests.
        parent: The process id of the emulator.
        check: Seconds between checks whether the parent has ended.
    """

    def __init__(self, control: socket.socket, parent: int, check: float) -> None:
        self._control = control
        self._parent = parent
        self._check = check
        self._channels: dict[int, socket.socket] = {}
        self._interrupt = signal.getsignal(signal.SIGINT)
        if self._interrupt is signal.default_int_handler:
            # a fork that is interrupted before its request prints nothing
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._child = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def run(self, printed: bytes) -> Request:
        """Fork until the emulator ends; return in each fork with its request.

        Args:
            printed: The output of the imports, which each dbt command prints as well.
        """
        while os.getppid() == self._parent:
            readable, _, _ = select.select([self._control, self._wakeup], [], [], self._check)
            if self._wakeup in readable:
                os.read(self._wakeup, CHUNK)
            self._report()
            if self._control in readable:
                received, descriptors, _, _ = socket.recv_fds(self._control, 1, DESCRIPTORS)
                if not received:
                    break
                request = self._fork(descriptors, printed)
                if request is not None:
                    return request
        os._exit(0)

    def _report(self) -> None:
        """Report the exit codes of the forks that have ended."""
        for pid, channel in [*self._channels.items()]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._channels[pid]
                # the emulator may have stopped waiting
                with channel, suppress(OSError):
                    channel.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _fork(self, descriptors: list[int], printed: bytes) -> Request | None:
        """Fork; return None here, and the request in the fork."""
        template = os.getpid()
        try:
            # too many open files leave out descriptors
            channel, output, folder = descriptors
            pid = os.fork()
        except (ValueError, OSError):
            # without an answer, the emulator starts dbt in another way
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        if pid:
            os.close(output)
            os.close(folder)
            self._channels[pid] = socket.socket(fileno=channel)
            return None
        self._isolate(output, folder)
        request = _received(socket.socket(fileno=channel), template, self._check)
        signal.signal(signal.SIGINT, self._interrupt)
        os.environ.clear()
        os.environb.update(request.environ)
        os.write(1, printed)
        return request

    def _isolate(self, output: int, folder: int) -> None:
        """Give a fork its own session, output and folder, and nothing of the template's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, self._child)
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.fchdir(folder)
        for descriptor in (output, folder, self._wakeup, self._waker):
            os.close(descriptor)
        self._control.close()
        for channel in self._channels.values():
            channel.close()


def preload() -> bytes:
    """Import dbt, and return what that printed. Exit if a fork would not be safe."""
    importlib.import_module(DBT)
    for name in LATER:
        with suppress(ImportError):
            importlib.import_module(name)
    if threading.active_count() > 1 or len([*THREADS.iterdir()]) > 1:
        sys.exit(UNFIT)
    # garbage collections of forks need not look at dbt's modules, and so copy no memory
    gc.collect()
    gc.freeze()
    return os.pread(1, CHUNK, 0)


def _received(channel: socket.socket, template: int, check: float) -> Request:
    """Send a fork's process id and return its request.

    Exit if the emulator or the template has ended, or if the emulator does not want the fork.
    """
    received = b""
    with channel, suppress(OSError):
        channel.sendall(b"%d\n" % os.getpid())
        while os.getppid() == template and not received.endswith(b"\n"):
            readable, _, _ = select.select([channel], [], [], check)
            chunk = channel.recv(CHUNK) if readable else b""
            if readable and not chunk:
                break
            received += chunk
    if not received.endswith(b"\n"):
        os._exit(1)
    # bytes, so that the text of both processes may have different encodings
    command, environ = json.loads(received)
    return Request(
        [os.fsdecode(argument.encode("latin-1")) for argument in command],
        {name.encode("latin-1"): value.encode("latin-1") for name, value in environ},
    )


def main(program: str, parent: int, control: int, check: float) -> NoReturn:
    """Run the template, and the `dbt` script in each fork.

    Args:
        program: The `dbt` script.
        parent: The process id of the emulator.
        control: The descriptor of the socket of requests.
        check: Seconds between checks whether the emulator has ended.
    """
    # the script's folder, as if that were run
    sys.path[0] = str(Path(program).parent)
    os.set_inheritable(control, False)
    template = Template(socket.socket(fileno=control), parent, check)
    request = template.run(preload())
    sys.argv = request.command
    runpy.run_path(program, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
