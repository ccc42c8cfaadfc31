"""Runs of real dbt Core."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from dlt_dbtcloud.emulator.dbt.artifacts import list_files
from dlt_dbtcloud.emulator.dbt.folder import Folder
from dlt_dbtcloud.emulator.dbt.invoker import Invoker
from dlt_dbtcloud.emulator.dbt.plan import CLONE, CONNECT, DEPS, subcommand
from dlt_dbtcloud.emulator.dbt.project import DbtMissingError
from dlt_dbtcloud.emulator.logs import read_log
from dlt_dbtcloud.emulator.models import (
    CANCELLED_MESSAGE,
    DbtProject,
    NewTimer,
    PlannedStep,
    Run,
    Step,
)
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.emulator.times import now
from dlt_dbtcloud.typing import RunStatus

# the first line of dbt Core's log, and that of dbt Fusion's
VERSION = re.compile(r"Running with dbt=(\S+)|^dbt-fusion (\d\S*)", re.MULTILINE)
DISK_FULL = os.strerror(errno.ENOSPC)
PACKAGES = ("packages.yml", "dependencies.yml")

StatusAndMessage = tuple[RunStatus, str | None]


class DbtRun:
    """A run of real dbt Core, with one process per step.

    The first step that fails ends the run, unless it may fail.

    Args:
        run: The run.
        project: The dbt project of its job.
        state: The emulator's state.
        environ: The environment of dbt.
        runs: The folder of all runs.
        new_timer: Makes the timer of the timeout.
    """

    def __init__(
        self,
        run: Run,
        project: DbtProject,
        state: State,
        environ: Mapping[str, str],
        runs: Folder,
        new_timer: NewTimer,
    ) -> None:
        self._run = run
        self._project = project
        self._state = state
        self._new_timer = new_timer
        self._folder = runs.path / str(run.id)
        self._dbt = Invoker(project, state, environ, runs)
        self._trouble: str | None = None

    def execute(self) -> StatusAndMessage:
        """Execute the steps and return the run's status and status message."""
        timeout = self._run.plan.timeout_seconds
        timer = self._new_timer(timeout, self._time_out)
        timer.daemon = True
        if timeout:
            timer.start()
        try:
            return self._execute_steps()
        finally:
            timer.cancel()

    def stop(self) -> None:
        """End dbt and its child processes; `execute` returns soon after."""
        self._dbt.stop()

    def _time_out(self) -> None:
        self._run.timed_out = True
        self._dbt.stop()

    def _execute_steps(self) -> StatusAndMessage:
        for planned in self._run.plan.steps:
            step = self._begin(planned)
            succeeded = self._execute(step)
            if self._dbt.stopping:
                self._finish(step, RunStatus.CANCELLED)
                timed_out = self._run.timed_out
                message = self._run.plan.timeout_message if timed_out else CANCELLED_MESSAGE
                return RunStatus.CANCELLED, message
            self._finish(step, RunStatus.SUCCESS if succeeded else RunStatus.ERROR)
            if not succeeded and not planned.may_fail:
                return RunStatus.ERROR, self._trouble
        return RunStatus.SUCCESS, None

    def _begin(self, planned: PlannedStep) -> Step:
        with self._state.changed:
            step = Step(self._state.new_id(), len(self._run.steps) + 1, planned)
            self._run.steps.append(step)
            self._run.updated_at = now()
            self._state.changed.notify_all()
        return step

    def _finish(self, step: Step, status: RunStatus) -> None:
        text = read_log(self._folder_of(step) / "logs" / "dbt.log")
        with self._state.changed:
            step.status, step.finished_at = status, now()
            step.debug_logs = text or step.log.text
            self._state.changed.notify_all()

    def _log(self, step: Step, text: str) -> None:
        with self._state.changed:
            step.log.add(text)
            version = VERSION.search(text)
            if version:
                self._run.dbt_version = version[1] or version[2]

    def _execute(self, step: Step) -> bool:
        try:
            if step.planned is CLONE:
                return self._clone(step)
            if step.planned is CONNECT:
                return self._connect(step)
            if step.planned is DEPS and not self._has_packages():
                self._log(step, "The project has no packages: there is nothing to install.")
                return True
            return self._invoke(step)
        # a null or a lone surrogate in an argument is a ValueError, as is a ProfileError
        except (OSError, ValueError, DbtMissingError) as error:
            self._trouble = str(error)
            self._log(step, self._trouble)
            return False

    def _clone(self, step: Step) -> bool:
        folder = self._project.folder
        exists = (folder / "dbt_project.yml").is_file()
        missing = f"The dbt project is missing: `{folder}` does not contain dbt_project.yml."
        self._log(step, f"Using the dbt project in `{folder}`." if exists else missing)
        return exists

    def _connect(self, step: Step) -> bool:
        profiles = self._dbt.use_profile(self._folder / "profiles", self._run.plan)
        self._log(step, f"Using profiles.yml in `{profiles}`.")
        with self._state.changed:
            self._run.status = RunStatus.RUNNING
        return True

    def _has_packages(self) -> bool:
        return any((self._project.folder / name).is_file() for name in PACKAGES)

    def _invoke(self, step: Step) -> bool:
        folder = self._folder_of(step)
        target = folder / "target"
        target.mkdir(parents=True)
        step.folder = target
        started = time.monotonic()
        code = self._dbt.invoke(self._arguments(step), folder, lambda line: self._log(step, line))
        seconds = time.monotonic() - started
        self._log(step, f"dbt exited with code {code} after {seconds:.1f} seconds.")
        if code and DISK_FULL in step.log.text:
            self._trouble = f"dbt failed because a disk is full: {DISK_FULL}."
        if list_files(target):
            step.artifacts = target
        return code == 0

    def _folder_of(self, step: Step) -> Path:
        return self._folder / str(step.index)

    def _arguments(self, step: Step) -> tuple[str, ...]:
        """Add `--state` to `dbt retry`, with the results of an earlier run or step."""
        arguments = step.planned.arguments
        if subcommand(arguments) != "retry" or "--state" in arguments:
            return arguments
        artifacts = [earlier.artifacts for earlier in self._run.steps]
        folders = [folder for folder in artifacts if isinstance(folder, Path)]
        state = step.planned.state or (folders[-1] if folders else None)
        return (*arguments, "--state", str(state)) if state else arguments
