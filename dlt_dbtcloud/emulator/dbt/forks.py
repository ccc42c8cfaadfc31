"""dbt processes forked from a template, which the emulators of a process share."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from dlt_dbtcloud.emulator.dbt import template

# Python, dbt and its libraries read variables with these prefixes when they are imported
STARTUP = tuple(
    "PYTHON _PYTHON LANG LC_ TZ HOME LD_ GLIBC_ MALLOC_ OPENSSL_ COVERAGE_ SETUPTOOLS_ DUCKDB_ "
    "OTEL_ NETWORKX_ _NETWORKX_ MSGPACK_ PENDULUM_ PROTOCOL_BUFFERS_ "
    "TEMPORARILY_DISABLE_PROTOBUF_ SSLKEYLOGFILE DBT_MACRO_DEBUGGING DBT_RECORDER_ "
    "DBT_ENGINE_RECORDER_ DBT_PACKAGE_HUB_URL".split()
)
# the first lines of a script that pip or uv wrote; a long path is in the second one
INTERPRETER = re.compile(r"""#!/bin/sh\n'''exec' ["']?(/[^"'\n]+?)["']? "\$0" "\$@"\n|#!(/\S+)\n""")
HEAD = 4096
CHUNK = 4096
# a template that ends while it is used is replaced once
ATTEMPTS = 2
# seconds between checks whether the template has ended; a fork of this process can keep its socket
CHECK = 1.0


class TemplateProcess:
    """A process that imports dbt and then forks.

    Args:
        interpreter: The Python of the `dbt` script.
        program: The `dbt` script.
        environ: The environment of the first command.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, interpreter: str, program: str, environ: Mapping[str, str]) -> None:
        self.is_ready = False
        self._startup = _startup(environ)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # many requests wait until dbt is imported; what does not fit is not worth waiting for
        self._control.setblocking(False)
        descriptor = theirs.fileno()
        arguments = [program, str(os.getpid()), str(descriptor), str(template.CHECK)]
        try:
            with theirs, tempfile.TemporaryFile() as output:
                self._process = subprocess.Popen(  # noqa: S603 - this package's own script
                    [interpreter, template.__file__, *arguments],
                    cwd="/",
                    env={**_inherited(environ), **self._startup},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
        except OSError:
            self._control.close()
            raise

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Return whether dbt was imported in such an environment."""
        return _startup(environ) == self._startup

    def send(self, descriptors: Sequence[int]) -> None:
        """Request a fork.

        Raises:
            OSError: The template has ended or has too many requests.
        """
        socket.send_fds(self._control, [b"+"], descriptors)

    def end(self) -> None:
        """End the process; its forks are not ended."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Leave the process to the parent of this one."""
        self._control.close()


class Fork:
    """A dbt command in a process that the template forks.

    Args:
        origin: The template.
        command: The `dbt` script and its arguments.
        folder: The working directory.
        environ: The complete environment.

    Raises:
        OSError: The folder does not exist, or the template does not take the request.
        ValueError: A process cannot have such arguments or such an environment.
    """

    def __init__(
        self,
        origin: TemplateProcess,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
    ) -> None:
        self.group = 0
        self._origin = origin
        self._request = _encode(command, environ)
        self._received = b""
        self._is_cancelled = False
        self._lock = threading.Lock()
        with ExitStack() as kept, ExitStack() as sent:
            directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
            sent.callback(os.close, directory)
            reading, writing = os.pipe()
            self.stdout: IO[bytes] = kept.enter_context(os.fdopen(reading, "rb", buffering=0))
            sent.callback(os.close, writing)
            self._channel, theirs = socket.socketpair()
            kept.enter_context(self._channel)
            sent.enter_context(theirs)
            origin.send([theirs.fileno(), writing, directory])
            kept.pop_all()
        self._channel.settimeout(CHECK)

    def begin(self) -> bool:
        """Wait for the fork, and return whether it is ready to run dbt."""
        line = self._line()
        with self._lock:
            if line and not self._is_cancelled:
                self.group = int(line)
                self._origin.is_ready = True
                return True
        self._channel.close()
        self.stdout.close()
        return False

    def go(self) -> None:
        """Let the fork run dbt."""
        left = memoryview(self._request)
        while left:
            has_ended = self._origin.has_ended
            try:
                left = left[self._channel.send(left) :]
            except TimeoutError:
                if has_ended:
                    return
            except OSError:
                # a fork that was interrupted does not read any more
                return

    def wait(self) -> int | None:
        """Return dbt's exit code, or None if the template has ended before dbt."""
        with self._channel:
            line = self._line()
        return int(line) if line else None

    def signal(self, number: signal.Signals) -> None:
        """Signal the process group, or cancel a fork that has not begun."""
        with self._lock:
            self._is_cancelled = True
            # the fork or its group may be gone, or be a zombie that cannot be signalled
            with suppress(OSError):
                if self.group:
                    os.killpg(self.group, number)
                else:
                    self._channel.shutdown(socket.SHUT_RDWR)

    def _line(self) -> bytes:
        """Return the next line from the fork or the template; empty if there is none."""
        while b"\n" not in self._received:
            has_ended = self._origin.has_ended
            try:
                chunk = self._channel.recv(CHUNK)
            except TimeoutError:
                if has_ended:
                    return b""
                continue
            except OSError:
                return b""
            if not chunk:
                return b""
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line


class Forks:
    """The template of this process, from its first dbt command to the end of its last user."""

    def __init__(self) -> None:
        # templates of a parent process
        self._inherited: list[TemplateProcess] = []
        self._reset()

    def acquire(self, user: object) -> None:
        """Keep the template for a user."""
        with self._lock:
            self._users.add(user)

    def release(self, user: object) -> None:
        """End the template unless it has another user."""
        with self._lock:
            self._users.discard(user)
            if not self._users:
                self._is_unfit = False
                self._end()

    def fork(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Fork | None:
        """Fork a process for a dbt command, or return None if that is not possible or not safe.

        Raises:
            OSError: The folder does not exist.
            ValueError: A process cannot have such arguments or such an environment.
        """
        interpreter = interpreter_of(command[0])
        if interpreter is None:
            return None
        with self._lock:
            for _ in range(ATTEMPTS):
                origin = self._started(interpreter, command[0], environ)
                if origin is None or not origin.fits(environ):
                    break
                try:
                    return Fork(origin, command, folder, environ)
                except BlockingIOError:
                    # the template has too many requests
                    break
                except ConnectionError:
                    # the template was killed, and is about to end
                    self._discard(origin)
        return None

    def forget(self) -> None:
        """Leave the template to the parent of this process, after a fork."""
        origin = self._template
        self._reset()
        if origin is not None:
            origin.forget()
            # Python warns if the object of a running process is not kept
            self._inherited.append(origin)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self._template: TemplateProcess | None = None
        self._is_unfit = False

    def _started(
        self, interpreter: str, program: str, environ: Mapping[str, str]
    ) -> TemplateProcess | None:
        if self._template is not None and self._template.has_ended:
            self._discard(self._template)
        if self._template is None and self._users and not self._is_unfit:
            with suppress(OSError):
                self._template = TemplateProcess(interpreter, program, environ)
        return self._template

    def _discard(self, template: TemplateProcess) -> None:
        """Forget a template that was killed, or that cannot import dbt or fork."""
        self._is_unfit = not template.is_ready
        self._end()

    def _end(self) -> None:
        if self._template is not None:
            self._template.end()
            self._template = None


def interpreter_of(program: str) -> str | None:
    """Return the Python of a script beside this Python, or None for another program.

    Forks are used on Linux only. On macOS, libraries of the system may crash in a fork.
    """
    if sys.platform != "linux" or not sys.executable:
        return None
    beside = Path(sys.executable).parent
    try:
        if not beside.samefile(Path(program).parent):
            return None
        with Path(program).open("rb") as script:
            found = INTERPRETER.match(os.fsdecode(script.read(HEAD)))
        interpreter = Path(found[1] or found[2]) if found else None
        is_beside = interpreter is not None and beside.samefile(interpreter.parent)
    except OSError:
        return None
    return str(interpreter) if is_beside else None


def _startup(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(STARTUP)}


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a command has from this process, without dbt's."""
    return {
        name: value
        for name, value in environ.items()
        if os.environ.get(name) == value and not name.startswith("DBT_")
    }


def _encode(command: Sequence[str], environ: Mapping[str, str]) -> bytes:
    """Encode a request, with the errors of `subprocess.Popen`."""
    arguments = [os.fsencode(argument) for argument in command]
    variables = [(os.fsencode(name), os.fsencode(value)) for name, value in environ.items()]
    if any(b"\0" in text for text in [*arguments, *(text for pair in variables for text in pair)]):
        raise ValueError("embedded null byte")
    if any(b"=" in name for name, _ in variables):
        raise ValueError("illegal environment variable name")
    # JSON of bytes, as the text of both processes may have different encodings
    request = [
        [argument.decode("latin-1") for argument in arguments],
        [[name.decode("latin-1"), value.decode("latin-1")] for name, value in variables],
    ]
    return json.dumps(request).encode() + b"\n"


SHARED = Forks()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=SHARED.forget)
