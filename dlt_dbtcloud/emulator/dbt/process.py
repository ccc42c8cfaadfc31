"""One invocation of dbt: a process group of its own, without a shell."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dlt_dbtcloud.emulator.dbt.profiles import database_files
from dlt_dbtcloud.emulator.models import DbtProject
from dlt_dbtcloud.emulator.state import State

MISSING_DBT = (
    "dbt Core was not found. Install the `local` extra of dlt-dbtcloud, or name its "
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


# between asking dbt to end and killing it, in seconds
GRACE = 3.0
STOPPED = -1
PARTIAL_PARSE = "partial_parse.msgpack"
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_VERSION_CHECK": "false",
    "DBT_USE_COLORS": "false",
    "DBT_USE_COLORS_FILE": "false",
    "DBT_LOG_FORMAT": "default",
    "DBT_QUIET": "false",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
}


def installed_version() -> str | None:
    """Tell the version of dbt Core beside this Python; dbt itself would ask PyPI as well."""
    try:
        return importlib.metadata.version("dbt-core")
    except importlib.metadata.PackageNotFoundError:
        return None


def base_environment(
    project: DbtProject, inherited: Mapping[str, str], secret: str
) -> dict[str, str]:
    """Build what all of dbt's steps share: the inherited environment without the client's part."""
    kept = {
        key: value
        for key, value in inherited.items()
        # dbt's engine variables would win over those that keep a run in its folder
        if not key.startswith(("DBT_CLOUD__", "DBT_ENGINE_")) and secret not in value
    }
    return {**kept, **QUIET, **project.environ}


class Invoker:
    """Starts dbt for one run, one command after the other.

    Args:
        project: The dbt project.
        state: What the emulator holds, and whose lock this works with.
        secret: What the environment of dbt must not hold.
    """

    def __init__(self, project: DbtProject, state: State, secret: str) -> None:
        self.environ = base_environment(project, os.environ, secret)
        self.profiles = project.profiles_dir
        self.stopping = False
        self._project = project
        self._state = state
        self._process: DbtProcess | None = None

    def invoke(self, arguments: Sequence[str], folder: Path, log: Callable[[str], None]) -> int:
        """Run dbt.

        Args:
            arguments: What follows `dbt` on the command line.
            folder: Where this command's `target` and `logs` go.
            log: Called with each line that dbt prints.

        Returns:
            The exit code; -1 if the run was stopped before dbt started.

        Raises:
            DbtMissingError: There is no dbt.
            OSError: dbt cannot be started.
        """
        program = find_dbt(self._project.executable)
        with self._alone():
            process = self._start(program, arguments, self._environment(folder))
            if process is None:
                return STOPPED
            for line in process.lines():
                log(line)
            code = process.wait()
        self._note_parse(folder)
        return code

    def stop(self) -> None:
        """End dbt and its children, and start nothing more."""
        with self._state.changed:
            self.stopping = True
            if self._process is not None:
                self._process.interrupt(GRACE)
            self._state.changed.notify_all()

    def _start(
        self, program: str, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> DbtProcess | None:
        with self._state.changed:
            if self.stopping:
                return None
            self._process = DbtProcess(program, arguments, self._project.folder, environ)
            return self._process

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs off the project's folder and database files meanwhile."""
        needed = database_files(self.profiles, self._project.folder, self.environ)
        needed.add(self._project.folder.resolve())
        with self._state.changed:
            self._state.changed.wait_for(lambda: self.stopping or not needed & self._state.busy)
            mine = set() if self.stopping else needed
            self._state.busy |= mine
        try:
            yield
        finally:
            with self._state.changed:
                self._process = None
                self._state.busy -= mine
                self._state.changed.notify_all()

    def _environment(self, folder: Path) -> dict[str, str]:
        own = {
            "DBT_PROJECT_DIR": str(self._project.folder),
            "DBT_PROFILES_DIR": str(self.profiles),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        # an earlier parse of the project saves seconds; dbt checks whether it still holds
        with self._state.changed:
            parsed = self._state.parsed.get(self._project.folder)
        if parsed is not None and parsed.is_file():
            own["DBT_PARTIAL_PARSE_FILE_PATH"] = str(parsed)
        return {**self.environ, **own}

    def _note_parse(self, folder: Path) -> None:
        parsed = folder / "target" / PARTIAL_PARSE
        if parsed.is_file():
            with self._state.changed:
                self._state.parsed[self._project.folder] = parsed
