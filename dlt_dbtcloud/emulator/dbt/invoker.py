"""dbt commands of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dlt_dbtcloud.emulator.dbt.folder import Folder
from dlt_dbtcloud.emulator.dbt.forks import SHARED
from dlt_dbtcloud.emulator.dbt.process import Child, DbtProcess, Subprocess
from dlt_dbtcloud.emulator.dbt.profiles import database_files, write_profile
from dlt_dbtcloud.emulator.dbt.project import find_dbt
from dlt_dbtcloud.emulator.models import DbtProject, Plan
from dlt_dbtcloud.emulator.state import State

STOPPED = -1
PARTIAL_PARSE = "partial_parse.msgpack"


class Invoker:
    """Runs the dbt commands of one run, one after the other.

    Args:
        project: The dbt project.
        state: The emulator's state.
        environ: The environment variables of all commands.
        runs: The folder of all runs, whose guard ends dbt with the emulator's process.
    """

    def __init__(
        self, project: DbtProject, state: State, environ: Mapping[str, str], runs: Folder
    ) -> None:
        self.stopping = False
        self._environ = dict(environ)
        self._profiles = project.profiles_dir
        self._project = project
        self._state = state
        self._runs = runs
        self._process: DbtProcess | None = None

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
            log: Called with each line of dbt's output, by another thread.

        Returns:
            The exit code; -1 if the run was stopped before dbt started.

        Raises:
            DbtMissingError: dbt is not installed.
            OSError: dbt cannot be started.
        """
        command = [find_dbt(self._project.executable), *arguments]
        with self._exclusive_access():
            process = self._start(command, self._environment(folder))
            if process is None:
                return STOPPED
            self._runs.started(process.group)
            try:
                code = process.run(log)
            finally:
                self._runs.ended(process.group)
        self._remember_parse(folder)
        return code

    def stop(self) -> None:
        """End dbt and its child processes, and start no further command."""
        with self._state.changed:
            self.stopping = True
            if self._process is not None:
                self._process.interrupt()
            self._state.changed.notify_all()

    def _start(self, command: Sequence[str], environ: Mapping[str, str]) -> DbtProcess | None:
        """Start a process that is ready to run dbt; return None if the run was stopped."""
        for start in (self._fork, Subprocess):
            with self._state.changed:
                if self.stopping:
                    return None
                child = start(command, self._project.folder, environ)
                if child is None:
                    continue
                process = self._process = DbtProcess(child)
            # the first fork is ready when dbt is imported
            if process.begin():
                return process
        return None

    def _fork(
        self, command: Sequence[str], folder: Path, environ: Mapping[str, str]
    ) -> Child | None:
        """Fork a process with dbt, unless the project has a dbt program of its own."""
        if self._project.executable is not None:
            return None
        return SHARED.fork(command, folder, environ)

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
            "PWD": str(self._project.folder),
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
