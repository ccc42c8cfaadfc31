"""In-memory state of the emulator."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from dlt_dbtcloud.emulator.defaults import (
    ACCOUNT,
    ENVIRONMENT,
    PROJECT,
    USER,
    VARIABLE,
    with_defaults,
)
from dlt_dbtcloud.emulator.errors import not_found
from dlt_dbtcloud.emulator.models import JSON, DbtProject, Definition, Job, Run

# an id is a tick of the clock and the lane of its emulator; it stays below 2**53, the largest
# integer that JavaScript and some JSON readers keep, until the year 2057
TICKS_PER_SECOND = 100
LANES = 2**15

D = TypeVar("D", bound=Definition)


class Ids:
    """Rising ids that begin from the clock.

    A database that outlives an emulator never contains two runs with one id: a later emulator
    starts at a later tick, and one at the same time has another lane.

    Args:
        clock: Returns the seconds since 1970.
        lane: A number below `LANES`; a random one by default.
    """

    def __init__(self, clock: Callable[[], float] = time.time, lane: int | None = None) -> None:
        self._clock = clock
        self._lane = secrets.randbelow(LANES) if lane is None else lane
        self._tick = 0

    def next(self) -> int:
        """Return an unused id, greater than all earlier ones."""
        # many ids within a tick, or a clock that is set back, must not repeat one
        self._tick = max(self._tick + 1, int(self._clock() * TICKS_PER_SECOND))
        return self._tick * LANES + self._lane


class State:
    """Accounts with their projects, environments, jobs and runs.

    Acquire the condition `changed` to read or write, and notify it after a change.

    Args:
        ids: The source of ids; by default one that begins from the clock.
    """

    def __init__(self, ids: Ids | None = None) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.accounts: dict[int, Definition] = {}
        self.visible: set[int] = set()
        self.projects: dict[int, Definition] = {}
        self.environments: dict[int, Definition] = {}
        self.jobs: dict[int, Job] = {}
        self.variables: dict[int, Definition] = {}
        self.dbt_projects: dict[int, DbtProject] = {}
        # project folders and database files that a dbt process is using
        self.in_use: set[Path] = set()
        # dbt's latest partial parse by project folder
        self.partial_parses: dict[Path, Path] = {}
        self._runs: dict[int, Run] = {}
        self._runs_of_job: dict[int, list[Run]] = {}
        self._unfinished: dict[int, list[Run]] = {}
        self._ids = ids or Ids()
        # the owner of the token
        self.user = Definition(self.new_id(), 0, dict(USER))

    def new_id(self) -> int:
        """Return an unused id."""
        with self.changed:
            return self._ids.next()

    def add_account(self, account_id: int | None, name: str, *, visible: bool) -> int:
        """Add an account with a project and an environment."""
        new = self.new_id() if account_id is None else account_id
        fields = with_defaults(ACCOUNT, {"name": name})
        with self.changed:
            self.accounts[new] = Definition(new, new, fields)
            if visible:
                self.visible.add(new)
            self.add_project(new, {"name": "Embedded project"}, None)
        return new

    def add_project(
        self, account_id: int, fields: JSON, dbt_project: DbtProject | None
    ) -> Definition:
        """Add a project with an environment."""
        merged = with_defaults(PROJECT, fields)
        project = Definition(self.new_id(), account_id, merged)
        with self.changed:
            self.projects[project.id] = project
            if dbt_project is not None:
                self.dbt_projects[project.id] = dbt_project
            self.add_environment(account_id, {"project_id": project.id})
        return project

    def add_environment(self, account_id: int, fields: JSON) -> Definition:
        """Add an environment."""
        merged = with_defaults(ENVIRONMENT, fields)
        environment = Definition(self.new_id(), account_id, merged)
        with self.changed:
            self.environments[environment.id] = environment
        return environment

    def add_variable(self, account_id: int, fields: JSON) -> Definition:
        """Add an environment variable."""
        variable = Definition(self.new_id(), account_id, with_defaults(VARIABLE, fields))
        with self.changed:
            self.variables[variable.id] = variable
        return variable

    def add_run(self, run: Run) -> None:
        """Add a run."""
        with self.changed:
            self._runs[run.id] = run
            self._runs_of_job.setdefault(run.job.id, []).append(run)
            self._unfinished.setdefault(run.job.id, []).append(run)
            self.changed.notify_all()

    def account(self, account_id: int) -> Definition:
        """Return an account that the token may see, else raise a 404."""
        if account_id not in self.visible:
            raise not_found()
        return self.accounts[account_id]

    def find(self, table: Mapping[int, D], account_id: int, key: int) -> D:
        """Return an object of an account that the token may see, else raise a 404."""
        self.account(account_id)
        return self.get(table, account_id, key)

    def get(self, table: Mapping[int, D], account_id: int, key: int) -> D:
        """Return an object of any account, else raise a 404."""
        found = table.get(key)
        if found is None or found.account_id != account_id:
            raise not_found()
        return found

    def first_environment(
        self, account_id: int, project_id: int | None, environment_id: int | None
    ) -> Definition:
        """Return the first environment that matches, else raise a 404; None matches any id."""
        for environment in self.environments.values():
            if (
                environment.account_id == account_id
                and environment_id in (None, environment.id)
                and project_id in (None, environment.fields["project_id"])
                and not environment.is_deleted
            ):
                return environment
        raise not_found()

    def run(self, account_id: int, run_id: int) -> Run:
        """Return a run of an account that the token may see, else raise a 404."""
        self.account(account_id)
        run = self._runs.get(run_id)
        if run is None or run.job.account_id != account_id:
            raise not_found()
        return run

    def any_run(self, run_id: int | None) -> Run | None:
        """Return a run of any account, or None."""
        return None if run_id is None else self._runs.get(run_id)

    def runs(self, account_id: int | None = None) -> list[Run]:
        """Return the runs of one account or of all, oldest first."""
        runs = self._runs.values()
        return [run for run in runs if account_id in (None, run.job.account_id)]

    def history(self, job: Job) -> list[Run]:
        """Return the runs of a job, oldest first."""
        return self._runs_of_job.get(job.id, [])

    def unfinished(self, job: Job) -> list[Run]:
        """Return the queued and running runs of a job, oldest first."""
        with self.changed:
            # a finished run stays so
            left = [run for run in self._unfinished.get(job.id, ()) if not run.is_finished]
            self._unfinished[job.id] = left
            return list(left)

    def clear(self) -> None:
        """Remove everything; ids are not reused."""
        with self.changed:
            for table in (self.accounts, self.projects, self.environments, self.variables):
                table.clear()
            self.jobs.clear()
            self.dbt_projects.clear()
            self.visible.clear()
            self.partial_parses.clear()
            self._runs.clear()
            self._runs_of_job.clear()
            self._unfinished.clear()
            self.changed.notify_all()
