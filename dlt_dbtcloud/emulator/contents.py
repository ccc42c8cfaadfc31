"""What a test or a script puts into the emulator: accounts, projects and jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.jobs import Jobs
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.emulator.projects import dbt_project, script
from dlt_dbtcloud.emulator.runs import Runs
from dlt_dbtcloud.emulator.scheduler import Scheduler
from dlt_dbtcloud.emulator.state import State

DEFAULT_ACCOUNT_ID = 70403


class Contents:
    """An account with a project and an environment, and what is added to it."""

    def __init__(self, account_id: int | None, secret: str) -> None:
        self.account_id = DEFAULT_ACCOUNT_ID if account_id is None else account_id
        if self.account_id < 1:
            raise ValueError(f"`account_id` is a number from 1, not {account_id}.")
        self._state = State()
        self._begin()
        self._scheduler = Scheduler(self._state, secret)
        self._runs = Runs(self._state, self._scheduler)
        self._jobs = Jobs(self._state, self._scheduler, self._runs)

    def _begin(self) -> None:
        """Start from an account that holds just a project and an environment."""
        with self._state.changed:
            self._state.clear()
            self._state.add_account(self.account_id, "Embedded dbt Cloud", visible=True)

    def create_account(self, name: str = "Another account", *, visible: bool = False) -> int:
        """Add an account, by default one that the token may not see.

        Returns:
            Its id.
        """
        return self._state.add_account(None, name, visible=visible)

    def create_project(
        self,
        name: str,
        *,
        project_dir: str | Path | None = None,
        profiles_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        dbt_executable: str | None = None,
        account_id: int | None = None,
    ) -> int:
        """Add a project with an environment; with a folder, its jobs run real dbt.

        Returns:
            Its id.

        Raises:
            FileNotFoundError: The folder holds no dbt project.
            DbtMissingError: There is no dbt to run.
        """
        folder = project_dir and dbt_project(project_dir, profiles_dir, environ, dbt_executable)
        account = self.account_id if account_id is None else account_id
        return self._state.add_project(account, {"name": name}, folder or None).id

    def create_job(
        self,
        name: str,
        *,
        execute_steps: str | Sequence[str] = ("dbt build",),
        project_dir: str | Path | None = None,
        profiles_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        dbt_executable: str | None = None,
        outcome: Outcome | Sequence[Outcome] | None = None,
        duration: float | None = 0.0,
        artifacts: Mapping[str, Any] | None = None,
        target_name: str | None = None,
        threads: int | None = None,
        timeout_seconds: int = 0,
        generate_docs: bool = False,
        run_generate_sources: bool = False,
        deactivated: bool = False,
        account_id: int | None = None,
        project_id: int | None = None,
        environment_id: int | None = None,
    ) -> int:
        """Add a job.

        Args:
            name: Its name.
            execute_steps: Its dbt commands, or the one.
            project_dir: The folder of its dbt project; with one, it runs real dbt, in that folder.
            profiles_dir: The folder of `profiles.yml`, by default the project's.
            environ: Environment variables for dbt.
            dbt_executable: dbt's program, by default the one beside Python or on the `PATH`.
            outcome: How the runs of a scripted job end: all of them, or one after the other and
                the last one again and again.
            duration: How long they take, in seconds; None: until `finish_run`.
            artifacts: What they leave, by path: bytes, or what becomes JSON. By default, what dbt
                leaves of a project without nodes.
            target_name: The target that it runs on, by default the profile's.
            threads: How many threads dbt uses, by default the profile's.
            timeout_seconds: How long a run may take; 0: without limit.
            generate_docs: Whether docs are generated at the end.
            run_generate_sources: Whether the freshness of sources is checked first.
            deactivated: Whether triggers are refused.
            account_id: Its account, by default the token's.
            project_id: Its project, by default the account's first.
            environment_id: Its environment, by default the project's first.

        Returns:
            Its id.

        Raises:
            FileNotFoundError: The folder holds no dbt project.
            DbtMissingError: There is no dbt to run.
            ValueError: An option is wrong, or does not go with another.
        """
        if project_dir is not None and outcome is not None:
            raise ValueError(
                "A job runs dbt (`project_dir`) or ends as told (`outcome`), not both."
            )
        folder = project_dir and dbt_project(project_dir, profiles_dir, environ, dbt_executable)
        played = script(outcome, duration, artifacts)
        account = self.account_id if account_id is None else account_id
        fields = {
            "name": name,
            "execute_steps": [execute_steps]
            if isinstance(execute_steps, str)
            else [*execute_steps],
            "settings": {"threads": threads, "target_name": target_name or "default"},
            "execution": {"timeout_seconds": timeout_seconds},
            "generate_docs": generate_docs,
            "run_generate_sources": run_generate_sources,
            "deactivated": deactivated,
        }
        with self._state.changed:
            try:
                places = self._state.places(account, project_id, environment_id)
                job = self._jobs.add(account, {**fields, **places})
            except ApiError as error:
                raise ValueError(f"Job `{name}`: {error.reason}") from error
            job.script = played
            job.project = None if outcome is not None else folder or job.project
            return job.id

    def finish_run(
        self,
        run_id: int,
        outcome: Outcome | None = None,
        *,
        at_command: int = 1,
        message: str | None = None,
    ) -> None:
        """End a scripted run that is under way.

        Args:
            run_id: The run.
            outcome: How it ends, by default as its job was told.
            at_command: Which of its commands an error or a cancellation stops, counted from 1.
            message: Its `status_message`.

        Raises:
            ValueError: There is no such run, it runs real dbt, waits in the queue or has ended.
        """
        script(outcome, None, None)
        with self._state.changed:
            run = self._state.any_run(run_id)
            if run is None or run.job.project is not None:
                raise ValueError(f"There is no scripted run {run_id}.")
            ending = (run, outcome or run.outcome, message, at_command)
            if not self._scheduler.end_scripted(*ending):
                state = "has ended" if run.is_finished else "waits for an earlier run of its job"
                raise ValueError(f"Run {run_id} is not under way: it {state}.")
