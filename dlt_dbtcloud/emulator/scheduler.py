"""The queue: the runs of a job go one after the other, from their trigger to their end."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlt_dbtcloud.emulator import scripted
from dlt_dbtcloud.emulator.invocation import installed_version
from dlt_dbtcloud.emulator.models import (
    FINISHED,
    STATUS_OF,
    DbtProject,
    Job,
    Outcome,
    Plan,
    Run,
    now,
)
from dlt_dbtcloud.emulator.runner import DbtRun
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import RunStatus, TriggerData

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
            scripted.end(run, outcome, self._state.new_id, at_command)
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
        scripted.begin(run, self._state.new_id)
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
