"""Child processes that end with their test, and with the process that runs the tests.

Each child inherits a mark in its environment, and so does all that it starts. The mark finds
daemons and forks of forks, too, where the system has `/proc`; elsewhere a child's process group is
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.clock import PATIENCE
from tests.support.processes import guard
from tests.support.processes.guard import MARK, PROC, kill_marked

ROOT = Path(__file__).parents[3]
_INHERITED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


@contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start a child whose signals have their defaults, and kill it and its children at the end.

    Args:
        command: The program and its arguments.
        env: The environment, by default that of the test.
        options: Further options of `subprocess.Popen`.
    """
    mark = new_mark()
    with default_signals():
        process = subprocess.Popen(
            command,
            env={**(os.environ if env is None else env), MARK: mark},
            text=True,
            start_new_session=True,
            **options,
        )
    with process:
        try:
            yield process
        finally:
            _kill_group(process)
            kill_marked(mark)


def run(
    command: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002, as in `subprocess.run`
    timeout: float = PATIENCE,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a child to its end and return its output.

    Args:
        command: The program and its arguments.
        input: The text of its standard input.
        timeout: Seconds after which it is stuck.
        options: Further options of `running`.
    """
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with running(command, **pipes, **options) as process:
        output, errors = process.communicate(input, timeout)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def run_python(code: str, *arguments: str, **options: Any) -> str:
    """Run a Python program that succeeds, and return its output."""
    done = run([sys.executable, "-c", code, *arguments], **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_guard() -> subprocess.Popen[bytes]:
    """Mark this process's children, and start a process that kills them when this one ends."""
    mark = new_mark()
    started = subprocess.Popen(
        [sys.executable, "-m", guard.__name__, mark],
        cwd=ROOT,
        # the guard of a killed process must outlive it
        env={name: value for name, value in os.environ.items() if name != MARK},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.environ[MARK] = mark
    return started


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    if PROC.is_dir():
        try:
            return (PROC / str(pid) / "environ").read_bytes() != b""
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def new_mark() -> str:
    """Return a mark that begins with this process's own."""
    return f"{os.environ.get(MARK, '')}{uuid4().hex}/"


@contextmanager
def default_signals() -> Iterator[None]:
    """Keep a child from inheriting that signals are ignored, as with `nohup` or in a background."""
    ignored = [number for number in _INHERITED if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        # a handler ends with the `exec`, unlike what is ignored
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _kill_group(process: subprocess.Popen[str]) -> None:
    # the id of a process that was waited for may be another's
    if process.returncode is None or not PROC.is_dir():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
