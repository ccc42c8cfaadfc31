"""Tests of programs in forks: they are processes as any other."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.clock import until
from tests.support.processes.children import is_alive, run_python
from tests.support.processes.forks import forked, run_forked

pytestmark = pytest.mark.usefixtures("forking")

WHERE = "import os, sys; print(os.getcwd(), sys.argv, sys.path[0], os.environ.get('FRUIT'))"


def test_a_fork_has_the_folder_the_arguments_and_the_environment_of_a_new_python(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    monkeypatch.setenv("FRUIT", "apple")
    assert run_forked(WHERE, "a b", "é") == run_python(WHERE, "a b", "é")


def test_a_fork_reads_the_settings_of_its_folder(isolated: Path) -> None:
    (isolated / ".dlt").mkdir()
    (isolated / ".dlt" / "config.toml").write_text('fruit = "pear"')
    assert run_forked("import dlt; print(dlt.config['fruit'])") == "pear\n"


@pytest.mark.parametrize(
    ("code", "returncode", "errors"),
    [
        ("import atexit; atexit.register(print, 'end'); raise SystemExit(7)", 7, ""),
        ("raise SystemExit('no fruit')", 1, "no fruit"),
        ("raise ValueError('rotten')", 1, "ValueError: rotten"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_fork_ends_as_a_new_python(code: str, returncode: int, errors: str) -> None:
    with forked(code) as process:
        assert process.wait() == returncode
        assert process.errors.strip().endswith(errors)
        assert bool(process.errors) is bool(errors)
        assert process.output == ("end\n" if returncode == 7 else "")


def test_a_fork_and_its_children_end_with_the_test(isolated: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(3600)']\n"
        "print(subprocess.Popen(sleep, start_new_session=True).pid, flush=True)\n"
        "time.sleep(3600)"
    )
    with forked(code) as process:
        until(lambda: process.output.endswith("\n"))
        child = int(process.output)
        assert is_alive(child)
    assert process.wait() == -signal.SIGKILL
    assert not is_alive(child)
