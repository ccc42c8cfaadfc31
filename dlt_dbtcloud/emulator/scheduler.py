"""The queue: the runs of a job go one after the other, from their trigger to their end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlt_dbtcloud.emulator.dbt.artifacts import encode
from dlt_dbtcloud.emulator.dbt.plan import SETUP_STEPS, subcommand
from dlt_dbtcloud.emulator.dbt.process import installed_version
from dlt_dbtcloud.emulator.dbt.runner import DbtRun
from dlt_dbtcloud.emulator.models import (
    FINISHED,
    STATUS_OF,
    DbtProject,
    Job,
    Outcome,
    Plan,
    PlannedStep,
    Run,
    Step,
    now,
)
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import RunStatus, TriggerData

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


OVERRIDES = tuple(key for key in TriggerData.__annotations__ if key != "cause")
# how long `stop` waits for dbt to be gone, in seconds; a killed process takes a moment
STOP_WITHIN = 10.0


class Scheduler:
    """Starts runs, ends them, and keeps the runs of a job apart.

    Args:
        state: What the emulator holds.
        secret: What the environment of dbt must not hold.
    """

    def __init__(self, state: State, secret: str) -> None:
        self._state = state
        # where real runs leave their files, from the first one on
        self._folder: TemporaryDirectory[str] | None = None
        self._secret = secret
        self._timers: dict[int, threading.Timer] = {}
        self._dbt: dict[int, tuple[DbtRun, threading.Thread]] = {}

    def enqueue(
        self,
        job: Job,
        plan: Plan,
        data: TriggerData,
        *,
        category: str = "api",
        retrying: Run | None = None,
    ) -> Run:
        """Add a run to the queue of its job; `advance` starts it."""
        trigger: dict[str, Any] = {key: data.get(key) for key in OVERRIDES}
        trigger |= {
            "id": self._state.new_id(),
            "cause": data["cause"],
            "cause_category": category,
            "job_definition_id": job.id,
        }
        version = installed_version() if job.project else None
        run = Run(
            id=self._state.new_id(),
            job=job,
            plan=plan,
            trigger=trigger,
            dbt_version=version or data.get("dbt_version_override") or self._version(job),
            retrying=retrying,
        )
        self._state.add_run(run)
        return run

    def advance(self, job: Job) -> None:
        """Start the oldest queued run of a job, unless one is under way."""
        with self._state.changed:
            for run in self._state.history(job):
                if run.status == RunStatus.QUEUED:
                    self._start(run)
                if not run.is_finished:
                    return

    def cancel(self, run: Run) -> None:
        """Cancel a run; one that has ended stays as it is."""
        with self._state.changed:
            if run.is_finished:
                return
            run.cancel_requested = True
            if run.id in self._dbt:
                self._dbt[run.id][0].stop()
            else:
                self.finish(run, RunStatus.CANCELLED)

    def end_scripted(
        self, run: Run, outcome: Outcome, message: str | None = None, at_command: int = 1
    ) -> bool:
        """End a scripted run, and say whether it was under way."""
        with self._state.changed:
            if run.status != RunStatus.RUNNING:
                return False
            end(run, outcome, self._state.new_id, at_command)
            self.finish(run, STATUS_OF[outcome], message)
            return True

    def finish(self, run: Run, status: RunStatus, message: str | None = None) -> None:
        """Note the end of a run and start the next one."""
        with self._state.changed:
            if run.status in FINISHED:
                return
            self._stop_timer(run)
            for step in run.steps:
                if step.finished_at is None:
                    step.status, step.finished_at = status, now()
            run.status, run.status_message = status, message
            run.finished_at = run.updated_at = now()
            self._dbt.pop(run.id, None)
            self._state.changed.notify_all()
            self.advance(run.job)

    def stop(self) -> None:
        """End everything that is under way, dbt's processes included, and remove what they left."""
        with self._state.changed:
            threads = [thread for _, thread in self._dbt.values()]
            # the newest first: nothing must start because something else ended
            for run in reversed(self._state.runs()):
                self.cancel(run)
        for thread in threads:
            thread.join(STOP_WITHIN)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self, run: Run) -> None:
        run.started_at = run.updated_at = now()
        if run.job.project is not None:
            self._start_dbt(run, run.job.project)
        else:
            self._start_script(run)
        self._state.changed.notify_all()

    def _start_dbt(self, run: Run, project: DbtProject) -> None:
        run.status = RunStatus.STARTING
        if self._folder is None:
            # what a killed process writes at last must not keep the emulator from its end
            self._folder = TemporaryDirectory(prefix="dbt-cloud-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name) / str(run.id)
        dbt = DbtRun(run, project, self._state, folder, self._secret)
        work = threading.Thread(target=self._run_dbt, args=(run, dbt), daemon=True)
        self._dbt[run.id] = (dbt, work)
        work.start()

    def _run_dbt(self, run: Run, dbt: DbtRun) -> None:
        status = RunStatus.ERROR
        message: str | None = "The embedded dbt Cloud could not go on with this run."
        try:
            status, message = dbt.execute()
        finally:
            # whatever happened: a run must never hang
            self.finish(run, status, message)

    def _start_script(self, run: Run) -> None:
        script = run.job.script
        run.status = RunStatus.RUNNING
        begin(run, self._state.new_id)
        run.outcome = script.next_outcome()
        timeout = run.plan.timeout_seconds
        if timeout and (script.duration is None or script.duration > timeout):
            message = f"The run was cancelled: it exceeded its timeout of {timeout} seconds."
            self._later(run, timeout, partial(self.end_scripted, run, "cancelled", message))
        elif script.duration:
            self._later(run, script.duration, partial(self.end_scripted, run, run.outcome))
        elif script.duration is not None:
            self.end_scripted(run, run.outcome)

    def _later(self, run: Run, seconds: float, action: partial[bool]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        self._timers[run.id] = timer
        timer.start()

    def _stop_timer(self, run: Run) -> None:
        timer = self._timers.pop(run.id, None)
        if timer is not None:
            timer.cancel()

    def _version(self, job: Job) -> str | None:
        environment = self._state.environments.get(job.fields["environment_id"])
        version: str | None = job.fields["dbt_version"]
        if version is None and environment is not None:
            version = environment.fields["dbt_version"]
        return version


# what writes no run_results.json, besides the freshness of sources
WITHOUT_RESULTS = frozenset({"deps", "debug", "list", "ls", "parse", "source"})


def scripted_artifacts(planned: PlannedStep, dbt_version: str | None) -> dict[str, bytes]:
    """Write what dbt would leave if the project had no nodes."""
    which = subcommand(planned.arguments)
    if which is None or which in ("deps", "debug"):
        return {}
    metadata: dict[str, Any] = {
        "dbt_version": dbt_version,
        "generated_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "invocation_id": str(uuid.uuid4()),
        "env": {},
    }
    names = ["manifest.json"]
    if which not in WITHOUT_RESULTS:
        names.append("run_results.json")
    if which == "docs":
        names.append("catalog.json")
    return encode({name: _empty(name, which, metadata) for name in names})


def _empty(name: str, which: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind, version, body = _EMPTY[name]
    schema = f"https://schemas.getdbt.com/dbt/{kind}/v{version}.json"
    args = {"args": {"which": which}} if kind == "run-results" else {}
    return {"metadata": {"dbt_schema_version": schema, **metadata}, **body, **args}


_EMPTY: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    "manifest.json": (
        "manifest",
        12,
        {"nodes": {}, "sources": {}, "macros": {}, "parent_map": {}, "child_map": {}},
    ),
    "run_results.json": ("run-results", 6, {"results": [], "elapsed_time": 0.0}),
    "catalog.json": ("catalog", 1, {"nodes": {}, "sources": {}, "errors": None}),
}
