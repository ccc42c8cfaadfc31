"""Folder of dbt's files, deleted when the emulator stops or its process ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from dlt_dbtcloud.emulator.dbt import guard
from dlt_dbtcloud.emulator.dbt.process import GRACE

if sys.platform != "win32":
    import fcntl

PREFIX = "dbt-cloud-"
# locked as long as the emulator or its guard is running
OWNER = "owner"
# seconds that a guard may need to kill dbt and to delete the folder
PATIENCE = 10.0


class Folder:
    """A new temporary folder with a process that guards it.

    Raises:
        OSError: The folder cannot be created, for example because the disk is full.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._owner: IO[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        if sys.platform == "win32":
            return
        try:
            self._owner = _lock(self.path)
            # an embedded Python has no program that could run the guard
            if sys.executable:
                self._guard = _start_guard(self.path, self._owner)
        except OSError:
            self.remove()
            raise

    def started(self, group: int) -> None:
        """Let the guard end a process group if this process ends."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Let the guard forget a process group."""
        self._tell(f"-{group}\n")

    def clear(self) -> None:
        """Delete the files of all runs, but keep the folder and its guard."""
        for run in self.path.glob("[0-9]*"):
            shutil.rmtree(run, ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder, and end the guard."""
        # the last writes of a killed process must not make this fail
        shutil.rmtree(self.path, ignore_errors=True)
        if self._guard is not None:
            try:
                self._guard.communicate(timeout=GRACE + PATIENCE)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        if self._owner is not None:
            self._owner.close()

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            # the guard may have been killed, or a run may outlive the folder
            with suppress(OSError, ValueError):
                self._guard.stdin.write(line.encode())


def remove_abandoned() -> None:
    """Delete the folders of emulators whose process and guard were killed."""
    if sys.platform == "win32":
        return
    try:
        parent = tempfile.gettempdir()
    except OSError:
        # scripted jobs need no folder for temporary files
        return
    for folder in Path(parent).glob(f"{PREFIX}*"):
        # it may be deleted in this moment, or locked by its owner
        with suppress(OSError):
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                with (folder / OWNER).open("r+b") as owner:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> IO[bytes]:
    new = folder / f"{OWNER}.new"
    owner = new.open("wb")
    # not every file system has locks; without one, no other emulator deletes the folder
    with suppress(OSError):
        fcntl.flock(owner, fcntl.LOCK_EX)
        # renamed when it is locked, so that no other emulator finds it unlocked
        new.rename(folder / OWNER)
    return owner


def _start_guard(folder: Path, owner: IO[bytes]) -> subprocess.Popen[bytes]:
    arguments = [str(folder), str(os.getpid()), str(GRACE), str(guard.CHECK)]
    return subprocess.Popen(  # noqa: S603 - this package's own script
        [sys.executable, "-I", "-S", guard.__file__, *arguments],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        # the guard keeps the folder locked until it has ended dbt
        pass_fds=[owner.fileno()],
        start_new_session=True,
    )
