"""dbt subprocesses."""

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

from dlt_dbtcloud.emulator.dbt.profiles import database_files, write_profile
from dlt_dbtcloud.emulator.models import DbtProject, Plan
from dlt_dbtcloud.emulator.state import State

# seconds between asking dbt to end and killing it
GRACE = 3.0
STOPPED = -1
PARTIAL_PARSE = "partial_parse.msgpack"
# dbt's environment: plain logs, and no requests to other services
SETTINGS = {
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
MISSING_DBT = (
    "dbt Core was not found. Install the `local` extra of dlt-dbtcloud, "
    "`pip install '.[local]'` in a checkout, or pass the dbt program as `dbt_executable`."
)


class DbtMissingError(RuntimeError):
    """dbt is not installed."""


def find_project(
    project_dir: str | Path | None,
    profiles_dir: str | Path | None,
    environ: Mapping[str, str] | None,
    executable: str | None,
) -> DbtProject | None:
    """Return the dbt project in a folder, or None if no folder is given.

    Raises:
        FileNotFoundError: `dbt_project.yml` or `profiles.yml` does not exist.
        DbtMissingError: dbt is not installed.
    """
    if not project_dir:
        return None
    folder = Path(project_dir).resolve()
    if not (folder / "dbt_project.yml").is_file():
        problem = "does not contain dbt_project.yml" if folder.is_dir() else "is not a folder"
        raise FileNotFoundError(
            f"`{folder}` {problem}. Pass the folder of a dbt project as `project_dir`."
        )
    profiles = folder if profiles_dir is None else Path(profiles_dir).resolve()
    if not (profiles / "profiles.yml").is_file():
        raise FileNotFoundError(
            f"`{profiles}` does not contain profiles.yml. Add it, or pass its folder as "
            "`profiles_dir`."
        )
    _find_dbt(executable)
    return DbtProject(folder, profiles, dict(environ or {}), executable)


def installed_version() -> str | None:
    """Return the version of dbt Core beside this Python, or None.

    `dbt --version` would ask PyPI for the latest one as well.
    """
    try:
        return importlib.metadata.version("dbt-core")
    except importlib.metadata.PackageNotFoundError:
        return None


class Invoker:
    """Runs the dbt commands of one run, one after the other.

    Args:
        project: The dbt project.
        state: The emulator's state.
        secret: The API token, kept out of dbt's environment.
    """

    def __init__(self, project: DbtProject, state: State, secret: str) -> None:
        self.stopping = False
        self._environ = _base_environment(project, os.environ, secret)
        self._profiles = project.profiles_dir
        self._project = project
        self._state = state
        self._process: _DbtProcess | None = None

    def use_profile(self, folder: Path, plan: Plan) -> Path:
        """Use the project's profile with a run's overrides, and return its folder.

        Args:
            folder: The folder of a profile with overrides.
            plan: The plan with the overrides.

        Raises:
            ProfileError: `profiles.yml` is invalid, or its default target is unknown.
        """
        self._profiles = write_profile(self._project.profiles_dir, folder, plan, self._environ)
        if plan.target_name:
            # an inherited DBT_TARGET would override the profile's target
            self._environ["DBT_TARGET"] = plan.target_name
        return self._profiles

    def invoke(self, arguments: Sequence[str], folder: Path, log: Callable[[str], None]) -> int:
        """Run a dbt command.

        Args:
            arguments: The command line without `dbt`.
            folder: The parent of the command's `target` and `logs`.
            log: Called with each line of dbt's output.

        Returns:
            The exit code; -1 if the run was stopped before dbt started.

        Raises:
            DbtMissingError: dbt is not installed.
            OSError: dbt cannot be started.
        """
        program = _find_dbt(self._project.executable)
        with self._exclusive_access():
            process = self._start(program, arguments, self._environment(folder))
            if process is None:
                return STOPPED
            for line in process.lines():
                log(line)
            code = process.wait()
        self._remember_parse(folder)
        return code

    def stop(self) -> None:
        """End dbt and its child processes, and start no further command."""
        with self._state.changed:
            self.stopping = True
            if self._process is not None:
                self._process.interrupt(GRACE)
            self._state.changed.notify_all()

    def _start(
        self, program: str, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> _DbtProcess | None:
        with self._state.changed:
            if self.stopping:
                return None
            self._process = _DbtProcess(program, arguments, self._project.folder, environ)
            return self._process

    @contextmanager
    def _exclusive_access(self) -> Iterator[None]:
        """Keep other runs from the project's folder and database files."""
        needed = database_files(self._profiles, self._project.folder, self._environ)
        needed.add(self._project.folder.resolve())
        with self._state.changed:
            self._state.changed.wait_for(lambda: self.stopping or not needed & self._state.in_use)
            taken = set() if self.stopping else needed
            self._state.in_use |= taken
        try:
            yield
        finally:
            with self._state.changed:
                self._process = None
                self._state.in_use -= taken
                self._state.changed.notify_all()

    def _environment(self, folder: Path) -> dict[str, str]:
        environ = {
            **self._environ,
            "DBT_PROJECT_DIR": str(self._project.folder),
            "DBT_PROFILES_DIR": str(self._profiles),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        # an earlier parse saves seconds; dbt checks whether it is still valid
        with self._state.changed:
            parsed = self._state.partial_parses.get(self._project.folder)
        if parsed is not None and parsed.is_file():
            environ["DBT_PARTIAL_PARSE_FILE_PATH"] = str(parsed)
        return environ

    def _remember_parse(self, folder: Path) -> None:
        parsed = folder / "target" / PARTIAL_PARSE
        if parsed.is_file():
            with self._state.changed:
                self._state.partial_parses[self._project.folder] = parsed


def _find_dbt(executable: str | None = None) -> str:
    """Find the dbt program by name or path, beside Python or on the `PATH`.

    Raises:
        DbtMissingError: dbt is not installed.
    """
    name = executable or "dbt"
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found:
        # dbt starts in the folder of the project
        return str(Path(found).absolute())
    raise DbtMissingError(f"`{executable}`: {MISSING_DBT}" if executable else MISSING_DBT)


class _DbtProcess:
    """A dbt process and its children, in a process group of their own.

    Args:
        program: The dbt program.
        arguments: The command line without `dbt`.
        folder: The working directory.
        environ: The complete environment.
    """

    def __init__(
        self, program: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._done = threading.Event()
        self._interrupted = False
        self._process = subprocess.Popen(  # noqa: S603 - a list without a shell; the program is dbt
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
        """Yield the lines of the output until the process ends."""
        stdout = self._process.stdout
        if stdout is not None:
            with stdout:
                for line in stdout:
                    yield line.rstrip("\r\n")

    def wait(self) -> int:
        """Wait until the process ends and return its exit code."""
        code = self._process.wait()
        if self._interrupted:
            # dbt has ended, but its children may have ignored the signal
            self._kill()
        self._done.set()
        return code

    def interrupt(self, grace: float) -> None:
        """Interrupt the process group, and kill it after `grace` seconds."""
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


def _base_environment(
    project: DbtProject, inherited: Mapping[str, str], secret: str
) -> dict[str, str]:
    """Build the environment of all of a run's commands, without the client's settings."""
    kept = {
        key: value
        for key, value in inherited.items()
        # DBT_ENGINE_* would override the variables that keep a run in its folder
        if not key.startswith(("DBT_CLOUD__", "DBT_ENGINE_")) and secret not in value
    }
    return {**kept, **SETTINGS, **project.environ}
