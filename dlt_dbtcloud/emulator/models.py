"""Accounts, jobs, runs and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from dlt_dbtcloud.emulator.logs import Log
from dlt_dbtcloud.emulator.times import humanize_duration, now
from dlt_dbtcloud.typing import RunStatus

JSON = dict[str, Any]
Outcome = Literal["success", "error", "cancelled"]
# files by path below `target/`, in memory or in a folder
Artifacts = Mapping[str, bytes] | Path

ACTIVE, DELETED = 1, 2
CANCELLED_MESSAGE = "Cancelled by user."
FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.CANCELLED})
STATUS_OF: Mapping[str, RunStatus] = {
    "success": RunStatus.SUCCESS,
    "error": RunStatus.ERROR,
    "cancelled": RunStatus.CANCELLED,
}


class Timer(Protocol):
    """A timer of an action. `threading.Timer` is one."""

    daemon: bool

    def start(self) -> None:
        """Begin to wait."""

    def cancel(self) -> None:
        """Drop the action unless it has begun."""


NewTimer = Callable[[float, Callable[[], object]], Timer]


@dataclass
class Definition:
    """An account, project, job or the like, with the fields that clients can set."""

    id: int
    account_id: int
    fields: JSON
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def is_deleted(self) -> bool:
        """Whether it is deleted; the API marks deleted objects and keeps them."""
        return bool(self.fields["state"] == DELETED)


@dataclass
class Script:
    """The outcomes of a scripted job, one per run; the last one repeats."""

    outcomes: tuple[Outcome, ...] = ("success",)
    duration: float | None = 0.0
    artifacts: Mapping[str, bytes] | None = None
    started: int = 0

    def next_outcome(self) -> Outcome:
        """Return the outcome of the next run."""
        outcome = self.outcomes[min(self.started, len(self.outcomes) - 1)]
        self.started += 1
        return outcome


@dataclass(frozen=True)
class DbtProject:
    """A dbt project on disk, with the options that dbt starts with."""

    folder: Path
    profiles_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    executable: str | None = None


@dataclass
class Job(Definition):
    """A job that runs real dbt if it has a project, and is scripted otherwise."""

    project: DbtProject | None = None
    script: Script = field(default_factory=Script)


@dataclass(frozen=True)
class PlannedStep:
    """A step before it starts; `state` is the folder of results for `dbt retry`."""

    name: str
    arguments: tuple[str, ...] = ()
    command: str | None = None
    may_fail: bool = False
    state: Path | None = None


@dataclass(frozen=True)
class Plan:
    """The steps and settings of a run: its job with the trigger's overrides."""

    steps: tuple[PlannedStep, ...]
    timeout_seconds: int = 0
    threads: int | None = None
    target_name: str | None = None
    schema: str | None = None

    @property
    def timeout_message(self) -> str:
        """The `status_message` of a run that exceeds its timeout."""
        span = humanize_duration(timedelta(seconds=self.timeout_seconds))
        return (
            f"This run timed out after running for {span}, which exceeded the configured timeout "
            f"of {self.timeout_seconds} seconds."
        )


@dataclass
class Step:
    """A step that has started."""

    id: int
    index: int
    planned: PlannedStep
    status: int = RunStatus.RUNNING
    log: Log = field(default_factory=Log)
    debug_logs: str = ""
    artifacts: Artifacts = field(default_factory=dict)
    # dbt's target, while it runs
    folder: Path | None = None
    created_at: datetime = field(default_factory=now)
    finished_at: datetime | None = None


@dataclass
class Run:
    """A run of a job."""

    id: int
    job: Job
    plan: Plan
    trigger: JSON
    dbt_version: str | None = None
    retrying: Run | None = None
    status: int = RunStatus.QUEUED
    status_message: str | None = None
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome = "success"
    cancel_requested: bool = False
    timed_out: bool = False
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run is finished."""
        return self.status in FINISHED

    def failed_step(self) -> Step | None:
        """Return the step whose failure ended the run, or None."""
        for step in self.steps:
            if step.status == RunStatus.ERROR and not step.planned.may_fail:
                return step
        return None

    def skipped(self) -> tuple[PlannedStep, ...]:
        """Return the planned steps that have not started."""
        return self.plan.steps[len(self.steps) :]
