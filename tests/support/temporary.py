"""Folder of all temporary files of the tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["keep_in_memory"]

_MEMORY = Path("/dev/shm")
# bytes, several times what a session has at once
_ENOUGH = 2 << 30


def keep_in_memory() -> None:
    """Keep the temporary files of this process and its children in memory, if there is room.

    A variable `TMPDIR` that is set is respected. Programs must be executable in the folder.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return
    system = os.statvfs(_MEMORY)
    is_executable = not system.f_flag & os.ST_NOEXEC
    if is_executable and system.f_bavail * system.f_frsize >= _ENOUGH:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
