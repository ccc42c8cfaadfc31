"""Tests of the child processes of tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.clock import until
from tests.support.processes.children import is_alive, run, run_python, running
from tests.support.processes.forks import Fork, forked

# a child, its fork, and a fork in a session of its own, which notes their ids and hang
HANGING = """
import os, pathlib, signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() and not os.fork():
    os.setsid()
pathlib.Path(f"pids/{os.getpid()}").touch()
time.sleep(3600)
"""
TESTS = """
import sys, time
import pytest
from tests.support.processes.children import running, start_guard

start_guard()

@pytest.fixture(scope="module")
def child():
    with running([sys.executable, "hanging.py"], stdout=-1) as process:
        while len(list(__import__("pathlib").Path("pids").iterdir())) < 3:
            time.sleep(0.01)
        yield process

def test_that_fails(child):
    assert not "failed"

def test_that_passes(child):
    pass

def test_that_waits(child):
    child.wait()

@pytest.mark.timeout(0.1)
def test_that_hangs(child):
    child.wait()

@pytest.fixture
def stuck(child):
    yield
    child.wait()

@pytest.mark.timeout(0.1)
def test_whose_teardown_hangs(stuck):
    pass

@pytest.mark.timeout(0.1)
def test_that_fails_and_whose_teardown_hangs(stuck):
    # a traceback could take longer than the test has
    pytest.fail("failed", pytrace=False)
"""


@pytest.fixture
def pids(isolated: Path) -> Iterator[Path]:
    """Return a folder in which the hanging processes note their ids."""
    if not Path("/proc").is_dir():
        pytest.skip("Forks in other sessions are found by `/proc`.")
    (isolated / "hanging.py").write_text(HANGING)
    (isolated / "test_inner.py").write_text(TESTS)
    folder = isolated / "pids"
    folder.mkdir()
    yield folder
    for file in folder.iterdir():
        with suppress(ProcessLookupError):
            os.kill(int(file.name), signal.SIGKILL)


def alive(pids: Path) -> list[str]:
    """Return the ids of the noted processes that still run."""
    return [file.name for file in pids.iterdir() if is_alive(int(file.name))]


@contextmanager
def session(*tests: str) -> Iterator[Fork]:
    """Run tests of the inner file in a process of their own."""
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # an interrupt would print a long traceback
    plugins = ("no:cacheprovider", "no:terminal", "tests.support.processes.timer")
    words = [word for name in plugins for word in ("-p", name)]
    words += [f"test_inner.py::{test}" for test in tests]
    with forked(code, *words, env=environ) as process:
        yield process


def test_a_child_ends_with_its_forks_when_its_test_fails(pids: Path) -> None:
    def fail() -> None:
        with running([sys.executable, "hanging.py"], stdout=subprocess.PIPE):
            until(lambda: len(alive(pids)) == 3)
            raise ValueError("the test failed")

    with pytest.raises(ValueError, match="the test failed"):
        fail()
    assert alive(pids) == []


def test_a_child_that_is_stuck_is_killed(pids: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run([sys.executable, "hanging.py"], timeout=0.5)
    assert alive(pids) == []


def test_forks_end_with_a_child_that_has_ended(pids: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, 'hanging.py'])"
    with running([sys.executable, "-c", code]) as process:
        process.wait()
        until(lambda: len(alive(pids)) == 3)
    assert alive(pids) == []


# the child starts in the first test, before the time of the second begins
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("test_that_fails", "test_that_hangs"),
        ("test_that_passes", "test_whose_teardown_hangs"),
        ("test_that_passes", "test_that_fails_and_whose_teardown_hangs"),
    ],
)
@pytest.mark.usefixtures("forking")
def test_a_session_whose_test_is_stuck_ends_with_its_children(
    pids: Path, first: str, second: str
) -> None:
    with session(first, second) as process:
        assert process.wait() == -signal.SIGALRM
        # a frame of each stack, also if a slow machine has not yet come to the wait
        assert "in pytest_runtestloop" in process.errors
        until(lambda: alive(pids) == [])
    assert len(list(pids.iterdir())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("forking")
def test_children_end_with_the_process_that_runs_the_tests(
    pids: Path, number: signal.Signals
) -> None:
    with session("test_that_waits") as process:
        until(lambda: len(alive(pids)) == 3)
        process.send_signal(number)
        process.wait()
        until(lambda: alive(pids) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_does_not_inherit_that_a_signal_is_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        code = f"import signal; print(signal.getsignal({int(number)}) is signal.SIG_IGN)"
        assert run_python(code) == "False\n"
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
