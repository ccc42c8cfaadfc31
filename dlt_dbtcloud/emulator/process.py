"""One invocation of dbt: a process group of its own, without a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

MISSING_DBT = (
    'dbt Core was not found. Install it with `pip install "dlt-dbtcloud[local]"`, or name its '
    "program with `dbt_executable`."
)


class DbtMissingError(RuntimeError):
    """There is no dbt to run."""


def find_dbt(executable: str | None = None) -> str:
    """Find dbt's program: the one that is named, else beside Python, else on the `PATH`.

    Raises:
        DbtMissingError: There is none.
    """
    beside = str(Path(sys.executable).parent)
    search = (executable,) if executable else ("dbt",)
    for name in search:
        found = shutil.which(name, path=beside) or shutil.which(name)
        if found:
            return found
    raise DbtMissingError(f"`{executable}`: {MISSING_DBT}" if executable else MISSING_DBT)


class DbtProcess:
    """A running dbt.

    Args:
        program: dbt's program.
        arguments: What follows `dbt` on the command line.
        folder: The dbt project's folder.
        environ: dbt's whole environment.
    """

    def __init__(
        self, program: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._done = threading.Event()
        self._interrupted = False
        self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, `dbt` is the program
            [program, *arguments],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """Read what dbt prints, line by line, until it ends."""
        stdout = self._process.stdout
        if stdout is not None:
            with stdout:
                for line in stdout:
                    yield line.rstrip("\r\n")

    def wait(self) -> int:
        """Wait for the end of dbt and give its exit code."""
        code = self._process.wait()
        if self._interrupted:
            # dbt has listened, its children may not have
            self._kill()
        self._done.set()
        return code

    def interrupt(self, grace: float) -> None:
        """Ask dbt and its children to end, and kill them after `grace` seconds."""
        self._interrupted = True
        self._signal(signal.SIGINT)
        threading.Thread(target=self._kill_after, args=(grace,), daemon=True).start()

    def _kill_after(self, grace: float) -> None:
        if not self._done.wait(grace):
            self._kill()

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_C_EVENT)
        else:
            # the group may be gone, or be a zombie that cannot be signalled
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
