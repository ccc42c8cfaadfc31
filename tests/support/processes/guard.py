"""Process that kills the children that a test process leaves behind.

It imports nothing that takes long, as each process that runs tests starts one.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "TEST_PROCESS_MARK"
PROC = Path("/proc")
_LIMIT = 300.0


def kill_marked(mark: str) -> None:
    """Kill all processes that have a mark, and wait until none is left."""
    deadline = time.monotonic() + _LIMIT
    while pids := _marked(mark):
        assert time.monotonic() < deadline, f"Processes {pids} cannot be killed."
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _marked(mark: str) -> list[int]:
    sought = f"\0{MARK}={mark}".encode()
    found = []
    for file in PROC.glob("[0-9]*/environ"):
        # the process may be gone, or another user's
        with suppress(OSError):
            if sought in b"\0" + file.read_bytes():
                found.append(int(file.parent.name))
    return found


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # returns when the process that has the other end of the pipe has ended
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])
