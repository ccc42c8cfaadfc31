"""Per-job queues of runs."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dlt_dbtcloud.emulator.dbt.artifacts import encode
from dlt_dbtcloud.emulator.dbt.environment import (
    allowed,
    base_environment,
    clean,
    describe,
    run_environment,
    values_for_run,
)
from dlt_dbtcloud.emulator.dbt.folder import Folder
from dlt_dbtcloud.emulator.dbt.plan import SETUP_STEPS, subcommand
from dlt_dbtcloud.emulator.dbt.project import installed_version
from dlt_dbtcloud.emulator.dbt.runner import DbtRun
from dlt_dbtcloud.emulator.models import (
    CANCELLED_MESSAGE,
    STATUS_OF,
    DbtProject,
    Job,
    NewTimer,
    Outcome,
    Plan,
    PlannedStep,
    Run,
    Script,
    Step,
    Timer,
)
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.emulator.times import now
from dlt_dbtcloud.typing import RunStatus, TriggerData

OVERRIDES = tuple(key for key in TriggerData.__annotations__ if key != "cause")
# inferred: the cause of a trigger that has none
DEFAULT_CAUSE = "Triggered via API"
# seconds that `stop` waits for dbt's threads; a killed process takes a moment
STOP_TIMEOUT = 10.0

_VERDICTS = {
    RunStatus.SUCCESS: "Completed successfully",
    RunStatus.ERROR: "Encountered an error, as scripted",
    RunStatus.CANCELLED: "Cancelled",
}
# statuses that dbt counts separately at the end of its log
_COUNTED = {
    "error": "ERROR",
    "fail": "ERROR",
    "no-op": "NO-OP",
    "runtime error": "ERROR",
    "skipped": "SKIP",
    "warn": "WARN",
}
# subcommands that write no run_results.json
_WITHOUT_RESULTS = frozenset({"deps", "debug", "list", "ls", "parse", "source"})
_EMPTY: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    "manifest.json": (
        "manifest",
        12,
        {"nodes": {}, "sources": {}, "macros": {}, "parent_map": {}, "child_map": {}},
    ),
    "run_results.json": ("run-results", 6, {"results": [], "elapsed_time": 0.0}),
    "catalog.json": ("catalog", 1, {"nodes": {}, "sources": {}, "errors": None}),
}


class Scheduler:
    """Starts and finishes runs, one at a time per job.

    Args:
        state: The emulator's state.
        secret: The API token, kept out of dbt's environment.
        new_timer: Makes the timers of runs.
    """

    def __init__(self, state: State, secret: str, new_timer: NewTimer = threading.Timer) -> None:
        self._state = state
        self._new_timer = new_timer
        # the folder of dbt's files, made for the first real run
        self._folder: Folder | None = None
        self._secret = secret
        self._timers: dict[int, Timer] = {}
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
            "cause": data.get("cause", DEFAULT_CAUSE),
            "cause_category": category,
            "job_definition_id": job.id,
            "git_branch": data.get("git_branch") or self._custom_branch(job),
        }
        # the version of another program is in its log
        version = installed_version() if job.project and not job.project.executable else None
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
        """Start the oldest queued run of a job, unless another is running."""
        with self._state.changed:
            for run in self._state.unfinished(job):
                if run.status == RunStatus.QUEUED:
                    self._start(run)
                if not run.is_finished:
                    return

    def cancel(self, run: Run) -> None:
        """Cancel a run unless it is finished."""
        with self._state.changed:
            if run.is_finished:
                return
            run.cancel_requested = True
            if run.id in self._dbt:
                self._dbt[run.id][0].stop()
            else:
                self._finish(run, RunStatus.CANCELLED, CANCELLED_MESSAGE)

    def finish_scripted(
        self, run: Run, outcome: Outcome, message: str | None = None, at_command: int = 1
    ) -> bool:
        """Finish a scripted run and return whether it was running."""
        with self._state.changed:
            if run.status != RunStatus.RUNNING:
                return False
            self._finish_steps(run, outcome, at_command)
            self._finish(run, STATUS_OF[outcome], message)
            return True

    def clear(self, runs: Sequence[Run]) -> None:
        """Cancel unfinished runs, end dbt's processes and delete their files.

        Args:
            runs: The runs, oldest first; the state may have forgotten them.
        """
        with self._state.changed:
            threads = [thread for _, thread in self._dbt.values()]
            # newest first, so that no queued run starts when an earlier one ends
            for run in reversed(runs):
                self.cancel(run)
        for thread in threads:
            thread.join(STOP_TIMEOUT)
        if self._folder is not None:
            self._folder.clear()

    def stop(self) -> None:
        """Cancel all unfinished runs, end dbt's processes and delete their folder."""
        with self._state.changed:
            runs = self._state.runs()
        self.clear(runs)
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def _start(self, run: Run) -> None:
        run.started_at = run.updated_at = now()
        if run.job.project is not None:
            self._start_dbt(run, run.job.project)
        else:
            self._start_script(run)
        self._state.changed.notify_all()

    def _finish(self, run: Run, status: RunStatus, message: str | None = None) -> None:
        with self._state.changed:
            if run.is_finished:
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

    def _start_dbt(self, run: Run, project: DbtProject) -> None:
        run.status = RunStatus.STARTING
        try:
            self._folder = self._existing_folder() or Folder()
        except OSError as error:
            message = f"The embedded dbt Cloud cannot create a folder for dbt's files: {error}"
            self._finish(run, RunStatus.ERROR, message)
            return
        environ = self._environment(run, project)
        dbt = DbtRun(run, project, self._state, environ, self._folder, self._new_timer)
        thread = threading.Thread(target=self._run_dbt, args=(run, dbt), daemon=True)
        self._dbt[run.id] = (dbt, thread)
        thread.start()

    def _existing_folder(self) -> Folder | None:
        if self._folder is not None and not self._folder.path.exists():
            # deleted after a reset, for example with the temporary files of a test
            self._folder.remove()
            self._folder = None
        return self._folder

    def _run_dbt(self, run: Run, dbt: DbtRun) -> None:
        status = RunStatus.ERROR
        message: str | None = "The embedded dbt Cloud failed during this run."
        try:
            status, message = dbt.execute()
        finally:
            # after an unexpected error as well: a run must never hang
            self._finish(run, status, message)

    def _environment(self, run: Run, project: DbtProject) -> dict[str, str]:
        environment = self._state.environments.get(run.job.fields["environment_id"])
        owners = {
            "project": run.job.fields["project_id"],
            "environment": run.job.fields["environment_id"],
            "job": run.job.id,
        }
        variables = values_for_run(self._state.variables.values(), owners)
        return {
            **base_environment(project, os.environ, self._secret),
            **allowed({name: clean(value) for name, value in variables.items()}),
            **run_environment(run, environment, self._secret),
        }

    def _start_script(self, run: Run) -> None:
        script = run.job.script
        run.status = RunStatus.RUNNING
        for planned in SETUP_STEPS:
            self._finish_step(run, self._start_step(run, planned), RunStatus.SUCCESS)
        if run.skipped():
            self._start_step(run, run.skipped()[0])
        run.outcome = script.next_outcome()
        timeout = run.plan.timeout_seconds
        if timeout and (script.duration is None or script.duration > timeout):
            self._start_timer(run, timeout, partial(self._time_out, run))
        elif script.duration:
            self._start_timer(run, script.duration, partial(self.finish_scripted, run, run.outcome))
        elif script.duration is not None:
            self.finish_scripted(run, run.outcome)

    def _time_out(self, run: Run) -> bool:
        run.timed_out = True
        return self.finish_scripted(run, "cancelled", run.plan.timeout_message)

    def _start_step(self, run: Run, planned: PlannedStep) -> Step:
        step = Step(self._state.new_id(), len(run.steps) + 1, planned)
        step.log.add(f"{step.created_at:%H:%M:%S}  {planned.name}")
        run.steps.append(step)
        return step

    def _finish_steps(self, run: Run, outcome: Outcome, at_command: int) -> None:
        """Finish the steps, up to the command that fails or is cancelled."""
        step = run.steps[-1]
        if step.finished_at is None:
            self._finish_step(run, step, _scripted_status(run, outcome, at_command))
        while run.steps[-1].status == RunStatus.SUCCESS and run.skipped():
            step = self._start_step(run, run.skipped()[0])
            self._finish_step(run, step, _scripted_status(run, outcome, at_command))

    def _finish_step(self, run: Run, step: Step, status: RunStatus) -> None:
        step.status, step.finished_at = status, now()
        environment = self._state.environments.get(run.job.fields["environment_id"])
        env = describe(run, environment, self._secret)
        default = _empty_artifacts(step.planned, run.dbt_version, env)
        # a script's artifacts replace those of commands; setup steps have none
        script = run.job.script
        step.artifacts = default if script.artifacts is None or not default else script.artifacts
        step.log.add(f"{step.finished_at:%H:%M:%S}  {_VERDICTS[status]}")
        # scripted artifacts are those of each command, of those without results, too
        has_results = "run_results.json" in default and not step.planned.may_fail
        counts = _counts(step.artifacts.get("run_results.json")) if has_results else None
        if counts and status == RunStatus.SUCCESS:
            step.log.add(f"{step.finished_at:%H:%M:%S}  {counts}")
        step.debug_logs = step.log.text

    def _start_timer(self, run: Run, seconds: float, action: partial[bool]) -> None:
        timer = self._new_timer(seconds, action)
        timer.daemon = True
        self._timers[run.id] = timer
        timer.start()

    def _stop_timer(self, run: Run) -> None:
        timer = self._timers.pop(run.id, None)
        if timer is not None:
            timer.cancel()

    def _custom_branch(self, job: Job) -> str | None:
        """Return the branch of the job's environment, which the service adds to each trigger."""
        environment = self._state.environments.get(job.fields["environment_id"])
        if environment is None or not environment.fields["use_custom_branch"]:
            return None
        branch: str | None = environment.fields["custom_branch"]
        return branch

    def _version(self, job: Job) -> str | None:
        environment = self._state.environments.get(job.fields["environment_id"])
        version: str | None = job.fields["dbt_version"]
        if version is None and environment is not None:
            version = environment.fields["dbt_version"]
        return version


def new_script(
    outcome: Outcome | Sequence[Outcome] | None,
    duration: float | None = None,
    artifacts: Mapping[str, Any] | None = None,
) -> Script:
    """Return the script of a job, as `DBTCloudEmulator.create_job` describes it.

    Raises:
        ValueError: An outcome is unknown, or the duration is negative.
    """
    outcomes: tuple[Outcome, ...] = ("success",)
    if outcome is not None:
        # a string is a sequence as well, of its letters
        outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    unknown = [name for name in outcomes if name not in STATUS_OF]
    if unknown or not outcomes:
        raise ValueError(f"`outcome` must be one of {', '.join(STATUS_OF)}, not {outcome!r}.")
    if duration is not None and duration < 0:
        raise ValueError(f"`duration` must be at least 0 seconds, not {duration}.")
    return Script(outcomes, duration, None if artifacts is None else encode(artifacts))


def _scripted_status(run: Run, outcome: Outcome, at_command: int) -> RunStatus:
    """Return the final status of the last started step."""
    commands = [step for step in run.steps[len(SETUP_STEPS) :] if not step.planned.may_fail]
    is_before = run.steps[-1].planned.may_fail or len(commands) < at_command
    return RunStatus.SUCCESS if is_before else STATUS_OF[outcome]


def _counts(run_results: bytes | None) -> str | None:
    """Return the last line of dbt's log, by the results of a command; None if they have none."""
    try:
        found = json.loads(run_results or b"")["results"]
        statuses = Counter(_COUNTED.get(result["status"], "PASS") for result in found)
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    texts = (f"{name}={statuses[name]}" for name in ("PASS", "WARN", "ERROR", "SKIP", "NO-OP"))
    return f"Done. {' '.join(texts)} TOTAL={len(found)}"


def _empty_artifacts(
    planned: PlannedStep, dbt_version: str | None, env: Mapping[str, str]
) -> dict[str, bytes]:
    """Build the artifacts of a command in a dbt project without nodes."""
    which = subcommand(planned.arguments)
    if which is None or which in ("deps", "debug"):
        return {}
    metadata: dict[str, Any] = {
        "dbt_version": dbt_version,
        "generated_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "invocation_id": str(uuid.uuid4()),
        "env": dict(env),
    }
    names = ["manifest.json"]
    if which not in _WITHOUT_RESULTS:
        names.append("run_results.json")
    if which == "docs":
        names.append("catalog.json")
    return encode({name: _empty_artifact(name, which, metadata) for name in names})


def _empty_artifact(name: str, which: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind, version, body = _EMPTY[name]
    schema = f"https://schemas.getdbt.com/dbt/{kind}/v{version}.json"
    args = {"args": {"which": which}} if kind == "run-results" else {}
    return {"metadata": {"dbt_schema_version": schema, **metadata}, **body, **args}
