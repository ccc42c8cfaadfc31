"""Time and memory of a child process, by the operating system's account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

# ru_maxrss is in bytes on macOS, in kilobytes elsewhere
_UNITS_A_MB = 1 << (20 if sys.platform == "darwin" else 10)


class Account(NamedTuple):
    """The output of a child process, and its use of time and memory.

    Args:
        printed: Its standard output.
        cpu: Seconds of CPU, its imports included.
        peak: Megabytes of memory at most, the interpreter included.
    """

    printed: str
    cpu: float
    peak: float


def run(command: list[str], environ: Mapping[str, str]) -> Account:
    """Run a command to its end.

    The peak of a process begins with that of the process that starts it. So a small one does.
    """
    starter = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(starter, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    printed, _, used = done.stdout.rstrip("\n").rpartition("\n")
    return Account(printed, *map(float, used.split()))


if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[1:])
    _, status, usage = os.wait4(process.pid, 0)
    print(f"\n{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss / _UNITS_A_MB}")
    sys.exit(os.waitstatus_to_exitcode(status))
