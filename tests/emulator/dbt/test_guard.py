"""The guard ends dbt after the emulator's process, whenever that has ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dlt_dbtcloud.emulator.dbt import guard
from tests.support.clock import PATIENCE

# a process id that is not that of this test
ENDED = 0
# between the interrupt and the kill, and between two checks
SECONDS = ("0.1", "1")


def test_a_guard_that_begins_after_the_end_of_its_parent_knows_what_to_end(tmp_path: Path) -> None:
    folder = tmp_path / "left"
    folder.mkdir()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as dbt:
        arguments = [str(folder), str(ENDED), *SECONDS]
        command = [sys.executable, "-I", "-S", guard.__file__, *arguments]
        # the pipe stays open, as in a fork of the parent
        with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as guarding:
            assert guarding.stdin is not None
            guarding.stdin.write(f"+{dbt.pid}\n".encode())
            try:
                assert guarding.wait(PATIENCE) == 0
                assert dbt.poll() == -signal.SIGINT
            finally:
                dbt.kill()
    assert not folder.exists()
