"""Process that ends dbt and deletes its files after the emulator's process has ended.

It watches a pipe, so it notices every end: a signal, a crash, or `kill -9`. It runs as a script and
imports only modules that load fast.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

# seconds between checks whether the parent has ended; a fork of it can keep the pipe open
CHECK = 1.0
# seconds between checks whether dbt has ended
POLL = 0.05
CHUNK = 4096


def main(folder: str, parent: int, grace: float, check: float) -> None:
    """Wait until the parent has ended, then end dbt and delete the folder.

    Args:
        folder: The folder of all files of dbt.
        parent: The process id of the emulator.
        grace: Seconds between asking dbt to end and killing it.
        check: Seconds between checks whether the parent has ended.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    groups = watched_groups(parent, check)
    end(groups, grace)
    if os.path.lexists(folder):
        # loads as long as all other modules, and an emulator that stops has deleted the folder
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def watched_groups(parent: int, check: float) -> set[int]:
    """Return the process groups that are left when the parent has ended.

    The parent writes `+` and the id of a group when dbt starts, and `-` and the id when it ends.
    """
    received = b""
    while True:
        # what the parent wrote before its end is read, even if this process began later
        has_ended = os.getppid() != parent
        readable, _, _ = select.select([0], [], [], 0.0 if has_ended else check)
        chunk = os.read(0, CHUNK) if readable else b""
        if not chunk and (readable or has_ended):
            break
        received += chunk
    groups: set[int] = set()
    for line in received.decode().splitlines():
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    return groups


def end(groups: set[int], grace: float) -> None:
    """Interrupt process groups, and kill those that are left after `grace` seconds."""
    deadline = time.monotonic() + grace
    left = {group for group in groups if _signal(group, signal.SIGINT)}
    while left and time.monotonic() < deadline:
        time.sleep(POLL)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Signal a process group, and return whether it exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
