"""Handlers of run, step and artifact requests."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Response
from werkzeug.wsgi import FileWrapper

from dlt_dbtcloud.emulator.api import answers, payloads, queries
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.dbt import artifacts
from dlt_dbtcloud.emulator.dbt.plan import failure_details, refusal, retry_plan
from dlt_dbtcloud.emulator.errors import bad_request, not_found
from dlt_dbtcloud.emulator.models import JSON, Run, Step
from dlt_dbtcloud.emulator.scheduler import OVERRIDES, Scheduler
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import TriggerData

CHUNK = 64 * 1024
STEP = re.compile(r"[0-9]{1,19}")


class Runs:
    """Handlers that list, show, cancel and retry runs, and send their artifacts.

    Args:
        state: The emulator's state.
        scheduler: The queues of runs.
        url: Returns the emulator's URL, which is known when the server has started.
    """

    def __init__(self, state: State, scheduler: Scheduler, url: Callable[[], str]) -> None:
        self._state = state
        self._scheduler = scheduler
        self._url = url

    def list_runs(self, call: Call) -> Response:
        """List the runs of an account."""
        self._state.account(call.account_id)
        selection = queries.parse(call.query, queries.RUNS)
        rows = [(_filter_fields(run), run) for run in self._state.runs(call.account_id)]
        page = queries.select(selection, rows)
        described = [self.describe(run, selection.include) for run in page.items]
        shown = queries.Page(described, page.total_count)
        return answers.listing(shown, selection, account_id=call.account_id)

    def get_run(self, call: Call) -> Response:
        """Show a run."""
        include = queries.included(call.query)
        return answers.success(self.describe(self._find(call), include))

    def cancel_run(self, call: Call) -> Response:
        """Cancel a run, and show it without related objects.

        A queued run is cancelled at once. A running one is shown in its previous state, and a
        finished one is unchanged; both are inferred.
        """
        run = self._find(call)
        before = self.describe(run)
        self._scheduler.cancel(run)
        return answers.success(before if run.started_at else self.describe(run))

    def get_failure_details(self, call: Call) -> Response:
        """Show the steps that a retry would execute."""
        return answers.success(failure_details(self._find(call)))

    def retry_run(self, call: Call) -> Response:
        """Retry a failed run from the point of failure, as a new run."""
        run = self._find(call)
        reason = refusal(run, self._state.history(run.job))
        if reason is not None:
            raise bad_request(f"Run {run.id} cannot be retried: {reason}")
        return self.retry(run)

    def get_step(self, call: Call) -> Response:
        """Show a step."""
        include = queries.included(call.query)
        self._state.account(call.account_id)
        for run in self._state.runs(call.account_id):
            for step in run.steps:
                if step.id == call.id:
                    return answers.success(payloads.step_payload(run, step, include))
        raise not_found()

    def list_artifacts(self, call: Call) -> Response:
        """List the files of a step, or null if it has none."""
        run = self._find(call)
        step = _requested_step(run, call)
        files = artifacts.list_files(step.artifacts) if step and run.is_finished else []
        return answers.success(files or None)

    def get_artifact(self, call: Call) -> Response:
        """Send a file of a step."""
        run = self._find(call)
        if not run.is_finished:
            raise not_found()
        return self.send_artifact(run, call)

    def retry(self, run: Run) -> Response:
        """Start the retry of a run that can be retried."""
        data: TriggerData = {"cause": run.trigger["cause"]}
        for key in OVERRIDES:
            data[key] = run.trigger[key]  # type: ignore[literal-required]  # a key of TriggerData
        new = self._scheduler.enqueue(
            run.job, retry_plan(run), data, category="rerun", retrying=run
        )
        return self.start(new)

    def start(self, run: Run) -> Response:
        """Show a queued run, and start it unless its job is busy."""
        answer = answers.success(self.describe(run, ("trigger", "job")))
        self._scheduler.advance(run.job)
        return answer

    def describe(self, run: Run, include: Collection[str] = ()) -> JSON:
        """Return the payload of a run."""
        return payloads.run_payload(
            run,
            self._state.history(run.job),
            unfinished=self._state.unfinished(run.job),
            url=self._url(),
            include=include,
            environment=self._state.environments.get(run.job.fields["environment_id"]),
        )

    def has_artifact(self, run: Run, name: str) -> bool:
        """Return whether the last step of a run has a file."""
        return bool(run.steps) and artifacts.has_file(run.steps[-1].artifacts, name)

    def send_artifact(self, run: Run, call: Call) -> Response:
        """Send a file of the requested step of a run."""
        return self.send_file(_requested_step(run, call), call.path["name"])

    def send_file(self, step: Step | None, name: str) -> Response:
        """Send a file of a step, streamed if it is on disk."""
        found = artifacts.find_file(step.artifacts, name) if step else None
        if found is None:
            raise not_found()
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if isinstance(found, bytes):
            return Response(found, content_type=kind)
        return _stream(found, kind)

    def _find(self, call: Call) -> Run:
        return self._state.run(call.account_id, call.id)


def _stream(path: Path, kind: str) -> Response:
    size = {"Content-Length": str(path.stat().st_size)}
    content = FileWrapper(path.open("rb"), CHUNK)
    return Response(content, headers=size, content_type=kind, direct_passthrough=True)


def _requested_step(run: Run, call: Call) -> Step | None:
    index = call.query.get("step")
    if not index:
        return run.steps[-1] if run.steps else None
    if not STEP.fullmatch(index):
        raise bad_request({"step": f"'{index}' is not of type 'integer'"})
    return next((step for step in run.steps if step.index == int(index)), None)


def _filter_fields(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "job_definition_id": run.job.id,
        "project_id": run.job.fields["project_id"],
        "environment_id": run.job.fields["environment_id"],
        "status": int(run.status),
        "dbt_version": run.dbt_version,
        "deferring_run_id": None,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        **payloads.generated_flags(run),
    }
