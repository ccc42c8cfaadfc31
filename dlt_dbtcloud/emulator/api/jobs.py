"""Handlers of job requests."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers, bodies, definitions, queries
from dlt_dbtcloud.emulator.api.resources import filter_fields, mark_deleted, require_active, update
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.dbt.plan import plan_commands, plan_run, refusal
from dlt_dbtcloud.emulator.defaults import JOB, with_defaults
from dlt_dbtcloud.emulator.errors import bad_request, not_found
from dlt_dbtcloud.emulator.models import JSON, Job
from dlt_dbtcloud.emulator.scheduler import Scheduler
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import RunStatus, TriggerData


class Jobs:
    """Handlers that list, show, change and trigger jobs."""

    def __init__(self, state: State, scheduler: Scheduler, runs: Runs) -> None:
        self._state = state
        self._scheduler = scheduler
        self._runs = runs

    def list_jobs(self, call: Call) -> Response:
        """List the jobs of an account."""
        self._state.account(call.account_id)
        selection = queries.parse(call.query, queries.JOBS)
        jobs = [job for job in self._state.jobs.values() if job.account_id == call.account_id]
        page = queries.select(selection, [(_filter_fields(job), job) for job in jobs])
        described = [self._describe(job, selection.include) for job in page.items]
        shown = queries.Page(described, page.total_count)
        return answers.listing(shown, selection, account_id=call.account_id)

    def get_job(self, call: Call) -> Response:
        """Show a job, even a deleted one."""
        return self._show(self._find(call), call)

    def create_job(self, call: Call) -> Response:
        """Create a job, which runs dbt if its project has a folder and succeeds otherwise."""
        self._state.account(call.account_id)
        bodies.require(call.body, "name", "project_id", "environment_id")
        fields = bodies.parse(call.body, bodies.JOB)
        return self._show(self.add(call.account_id, fields), call)

    def update_job(self, call: Call) -> Response:
        """Change a job."""
        job = require_active(self._find(call))
        fields = bodies.parse(call.body, bodies.JOB)
        plan_commands("execute_steps", fields.get("execute_steps", []))
        self._check_references(call.account_id, {**job.fields, **fields})
        update(job, call.body, bodies.JOB, JOB)
        return self._show(self._find(call), call)

    def delete_job(self, call: Call) -> Response:
        """Mark a job as deleted."""
        job = require_active(self._find(call))
        mark_deleted(job)
        return self._show(self._find(call), call)

    def trigger_job(self, call: Call) -> Response:
        """Start a run with the overrides in the body."""
        job = self._triggerable(call)
        data = bodies.parse_trigger(call.body)
        run = self._scheduler.enqueue(job, plan_run(job, data), data)
        return self._runs.start(run)

    def rerun_job(self, call: Call) -> Response:
        """Retry the last run of a job if it failed, otherwise start a new run."""
        job = self._triggerable(call)
        history = self._state.history(job)
        if history and history[-1].status == RunStatus.ERROR and not refusal(history[-1], history):
            return self._runs.retry(history[-1])
        data: TriggerData = {"cause": "Triggered via API"}
        run = self._scheduler.enqueue(job, plan_run(job, data), data, category="rerun")
        return self._runs.start(run)

    def get_job_artifact(self, call: Call) -> Response:
        """Send a file of the job's latest run that has it."""
        for run in reversed(self._state.history(self._find(call))):
            if run.is_finished and self._runs.has_artifact(run, call.path["name"]):
                return self._runs.send_artifact(run, call)
        raise not_found()

    def add(self, account_id: int, fields: JSON) -> Job:
        """Add a job, which uses the folder of its project.

        Raises:
            ApiError: 404 for an unknown project or environment, 400 for a step that is not a dbt
                command.
        """
        self._check_references(account_id, fields)
        plan_commands("execute_steps", fields.get("execute_steps", []))
        merged = with_defaults(JOB, fields)
        folder = self._state.dbt_projects.get(merged["project_id"])
        job = Job(self._state.new_id(), account_id, merged, project=folder)
        self._state.jobs[job.id] = job
        return job

    def _check_references(self, account_id: int, fields: JSON) -> None:
        # inferred: another account's project answers as a missing one does
        self._state.get(self._state.projects, account_id, fields["project_id"])
        self._state.get(self._state.environments, account_id, fields["environment_id"])

    def _find(self, call: Call) -> Job:
        return self._state.find(self._state.jobs, call.account_id, call.id)

    def _triggerable(self, call: Call) -> Job:
        job = self._find(call)
        # inferred: the service's responses for deleted and deactivated jobs are unknown
        require_active(job)
        if job.fields["deactivated"]:
            raise bad_request({"job": f"Job {job.id} is deactivated."})
        return job

    def _show(self, job: Job, call: Call) -> Response:
        return answers.success(self._describe(job, queries.included(call.query)))

    def _describe(self, job: Job, include: frozenset[str]) -> JSON:
        payload = definitions.job_payload(job)
        environment = self._state.environments.get(job.fields["environment_id"])
        project = self._state.projects.get(job.fields["project_id"])
        if "environment" in include and environment:
            payload["environment"] = definitions.environment_payload(environment)
        if "project" in include and project:
            payload["project"] = definitions.project_payload(project)
        if "account" in include:
            account = self._state.account(job.account_id)
            payload["account"] = definitions.account_payload(account)
        if "custom_environment_variables" in include:
            payload["custom_environment_variables"] = [
                definitions.variable_payload(variable, None)
                for variable in self._state.variables.values()
                if variable.fields["job_definition_id"] == job.id
            ]
        return {**payload, **self._recent(job, include)}

    def _recent(self, job: Job, include: frozenset[str]) -> JSON:
        history = self._state.history(job)
        completed = [run for run in history if run.is_finished]
        found: JSON = {"most_recent_run": None, "most_recent_completed_run": None}
        for key, runs in (("most_recent_run", history), ("most_recent_completed_run", completed)):
            if key in include and runs:
                found[key] = self._runs.describe(runs[-1])
        return found


def _filter_fields(job: Job) -> dict[str, Any]:
    schedule = job.fields["triggers"].get("schedule")
    return {
        **filter_fields(job),
        "triggers_schedule": schedule,
        "is_system": False,
        "is_fusion_ready": False,
    }
