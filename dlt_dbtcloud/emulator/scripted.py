"""How a scripted run looks: its steps, their logs and what they leave."""

from __future__ import annotations

from collections.abc import Callable

from dlt_dbtcloud.emulator.artifacts import scripted_artifacts
from dlt_dbtcloud.emulator.models import STATUS_OF, Outcome, PlannedStep, Run, Step, now
from dlt_dbtcloud.emulator.planning import SETUP_STEPS
from dlt_dbtcloud.typing import RunStatus

NewId = Callable[[], int]


def begin(run: Run, new_id: NewId) -> None:
    """Take the steps that prepare a run, and begin the first command."""
    for planned in SETUP_STEPS:
        _finish(run, _begin(run, planned, new_id), RunStatus.SUCCESS)
    if run.skipped():
        _begin(run, run.skipped()[0], new_id)


def end(run: Run, outcome: Outcome, new_id: NewId, at_command: int = 1) -> None:
    """Take the rest of the steps; an error or a cancellation stops at a command of the job."""
    step = run.steps[-1]
    if step.finished_at is None:
        _finish(run, step, _status(run, outcome, at_command))
    while run.steps[-1].status == RunStatus.SUCCESS and run.skipped():
        step = _begin(run, run.skipped()[0], new_id)
        _finish(run, step, _status(run, outcome, at_command))


def _status(run: Run, outcome: Outcome, at_command: int) -> RunStatus:
    """Tell how the step that is under way ends."""
    own = [step for step in run.steps[len(SETUP_STEPS) :] if not step.planned.may_fail]
    is_before = run.steps[-1].planned.may_fail or len(own) < at_command
    return RunStatus.SUCCESS if is_before else STATUS_OF[outcome]


def _begin(run: Run, planned: PlannedStep, new_id: NewId) -> Step:
    step = Step(new_id(), len(run.steps) + 1, planned)
    step.log.append(f"{step.created_at:%H:%M:%S}  {planned.name}")
    run.steps.append(step)
    return step


def _finish(run: Run, step: Step, status: RunStatus) -> None:
    step.status, step.finished_at = status, now()
    step.log.append(f"{step.finished_at:%H:%M:%S}  {_VERDICTS[status]}")
    step.debug_logs = step.logs
    own = scripted_artifacts(step.planned, run.dbt_version)
    # the script's files are those of the commands, not of what prepares them
    script = run.job.script
    step.artifacts = own if script.artifacts is None or not own else script.artifacts


_VERDICTS = {
    RunStatus.SUCCESS: "Completed successfully",
    RunStatus.ERROR: "Encountered an error, as scripted",
    RunStatus.CANCELLED: "Cancelled",
}
