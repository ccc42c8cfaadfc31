"""The things a dbt Cloud account holds, and the configuration that a run starts with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from dlt_dbtcloud.typing import RunStatus

JSON = dict[str, Any]
Outcome = Literal["success", "error", "cancelled"]
# files by their path below `target/`: in memory, or in a folder
Artifacts = Mapping[str, bytes] | Path

ACTIVE, DELETED = 1, 2
FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.CANCELLED})
STATUS_OF: Mapping[str, RunStatus] = {
    "success": RunStatus.SUCCESS,
    "error": RunStatus.ERROR,
    "cancelled": RunStatus.CANCELLED,
}


def now() -> datetime:
    """Tell the time in UTC."""
    return datetime.now(timezone.utc)


@dataclass
class Definition:
    """An account, a project or an environment: its id and what the API lets a client set."""

    id: int
    account_id: int
    fields: JSON
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def is_deleted(self) -> bool:
        """Say whether it was deleted; the API keeps what is deleted and marks it."""
        return bool(self.fields["state"] == DELETED)


@dataclass
class Script:
    """How the runs of a scripted job end: one outcome after the other, the last one again."""

    outcomes: tuple[Outcome, ...] = ("success",)
    duration: float | None = 0.0
    artifacts: Mapping[str, bytes] | None = None
    played: int = 0

    def next_outcome(self) -> Outcome:
        """Take the outcome of the run that starts now."""
        outcome = self.outcomes[min(self.played, len(self.outcomes) - 1)]
        self.played += 1
        return outcome


@dataclass(frozen=True)
class DbtProject:
    """A dbt project on disk, and how dbt is started in it."""

    folder: Path
    profiles_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    executable: str | None = None


@dataclass
class Job(Definition):
    """A job: with a dbt project its runs are real, otherwise they follow the script."""

    project: DbtProject | None = None
    script: Script = field(default_factory=Script)


@dataclass(frozen=True)
class PlannedStep:
    """A step that a run will take; `state` is the folder whose results `dbt retry` reads."""

    name: str
    arguments: tuple[str, ...] = ()
    command: str | None = None
    may_fail: bool = False
    state: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What one run executes, once the trigger's overrides are applied to its job."""

    steps: tuple[PlannedStep, ...]
    timeout_seconds: int = 0
    threads: int | None = None
    target_name: str | None = None
    schema: str | None = None


@dataclass
class Step:
    """A step that a run has begun."""

    id: int
    index: int
    planned: PlannedStep
    status: int = RunStatus.RUNNING
    log: list[str] = field(default_factory=list)
    debug_logs: str = ""
    artifacts: Artifacts = field(default_factory=dict)
    created_at: datetime = field(default_factory=now)
    finished_at: datetime | None = None

    @property
    def logs(self) -> str:
        """Join the lines of the log."""
        return "\n".join(self.log)


@dataclass
class Run:
    """A run of a job, from its trigger to its end."""

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
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Say whether the run has come to its end."""
        return self.status in FINISHED

    def failed_step(self) -> Step | None:
        """Find the step that ended the run, if one did."""
        return next((step for step in self.steps if _broke(step)), None)

    def skipped(self) -> tuple[PlannedStep, ...]:
        """List the planned steps that the run did not come to."""
        return self.plan.steps[len(self.steps) :]


def _broke(step: Step) -> bool:
    return step.status == RunStatus.ERROR and not step.planned.may_fail
