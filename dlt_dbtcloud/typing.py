"""Payloads of the dbt Cloud Administrative API v2, with its own field names.

Any key may be missing or null unless the API guarantees it. Of the fields that this package reads,
null replaces a value of another type. Unknown keys and values pass through.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypedDict

__all__ = [
    "ConnectionReport",
    "Finding",
    "Job",
    "NodeFailure",
    "NodeResult",
    "Plan",
    "Run",
    "RunStatus",
    "RunStep",
    "RunTrigger",
    "TriggerData",
]


class RunStatus(IntEnum):
    """Status codes of a run; for an unknown code, see the run's `is_complete`."""

    QUEUED = 1
    STARTING = 2
    RUNNING = 3
    SUCCESS = 10
    ERROR = 20
    CANCELLED = 30


class TriggerData(TypedDict, total=False):
    """The body of a trigger: the cause of a run and its overrides of the job.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run
    """

    cause: str
    git_sha: str
    git_branch: str
    azure_pull_request_id: int
    github_pull_request_id: int
    gitlab_merge_request_id: int
    non_native_pull_request_id: int
    schema_override: str
    dbt_version_override: str
    threads_override: int
    target_name_override: str
    generate_docs_override: bool
    timeout_seconds_override: int
    steps_override: list[str]


class RunTrigger(TypedDict, total=False):
    """The trigger of a run, as the API returns it."""

    id: int
    cause: str
    cause_category: str
    job_definition_id: int
    git_branch: str | None
    git_sha: str | None
    azure_pull_request_id: int | None
    github_pull_request_id: int | None
    gitlab_merge_request_id: int | None
    non_native_pull_request_id: int | None
    schema_override: str | None
    dbt_version_override: str | None
    threads_override: int | None
    target_name_override: str | None
    generate_docs_override: bool | None
    timeout_seconds_override: int | None
    steps_override: list[str] | None
    created_at: str


class RunStep(TypedDict, total=False):
    """A step of a run.

    `index` counts from 1. `logs` are included if `run_steps` were requested.
    """

    id: int
    run_id: int
    account_id: int
    index: int
    name: str
    status: int
    status_humanized: str
    logs: str | None
    debug_logs: str | None
    truncated_debug_logs: str | None
    started_at: str | None
    finished_at: str | None
    duration: str
    duration_humanized: str
    run_step_command: dict[str, Any] | None


class Job(TypedDict, total=False):
    """A job: the commands that its runs execute, and their settings.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job
    """

    id: int
    account_id: int
    project_id: int
    environment_id: int
    name: str
    description: str
    execute_steps: list[str]
    generate_docs: bool
    run_generate_sources: bool
    dbt_version: str | None
    deferring_job_definition_id: int | None
    deferring_environment_id: int | None
    job_type: str
    settings: dict[str, Any]
    execution: dict[str, Any]
    triggers: dict[str, Any]
    schedule: dict[str, Any]
    state: int
    deactivated: bool
    most_recent_run: Run | None
    most_recent_completed_run: Run | None
    created_at: str
    updated_at: str


class Run(TypedDict, total=False):
    """A run of a job.

    Timestamps are UTC, like `2026-01-31 06:00:00.000000+00:00`; durations are `HH:MM:SS`. A
    skipped run has `id` None and `status_humanized` "Skipped".

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run
    """

    id: int | None
    account_id: int
    project_id: int
    environment_id: int
    job_id: int
    job_definition_id: int
    trigger_id: int
    status: int
    status_humanized: str
    status_message: str | None
    in_progress: bool
    is_complete: bool
    is_success: bool
    is_error: bool
    is_cancelled: bool
    is_running: bool
    dbt_version: str | None
    git_branch: str | None
    git_sha: str | None
    blocked_by: list[int]
    artifacts_saved: bool
    has_docs_generated: bool
    has_sources_generated: bool
    retrying_run_id: int | None
    can_retry: bool
    retry_not_supported_reason: str | None
    deferring_run_id: int | None
    href: str
    created_at: str
    updated_at: str
    dequeued_at: str | None
    started_at: str | None
    finished_at: str | None
    duration: str
    queued_duration: str
    run_duration: str
    duration_humanized: str
    queued_duration_humanized: str
    run_duration_humanized: str
    trigger: RunTrigger | None
    job: Job | None
    environment: dict[str, Any] | None
    run_steps: list[RunStep]
    audit: dict[str, Any] | None


class Finding(TypedDict):
    """A finding of `check_dbt_cloud`.

    `check` is its subject, such as `token` or `job`. `fix` is the line that repairs what is not
    `ok`.
    """

    check: str
    ok: bool
    message: str
    fix: str | None


class ConnectionReport(TypedDict):
    """The findings of `check_dbt_cloud`; `ok` if all of them are."""

    ok: bool
    findings: list[Finding]


class Plan(TypedDict):
    """The plan of a call, as `plan_dbt_cloud_job` returns it.

    `steps` are the commands, and `nodes` the unique ids of what they execute, of `total_nodes` in
    the whole job. `seconds` is about how long they take, `whole_seconds` about how long the whole
    job does, by `runs_considered` runs; None if unknown. `undeclared` are the loaded tables without
    a dbt source. `reason` is why nothing runs, or why more runs than the load requires.
    """

    steps: list[str]
    nodes: list[str]
    total_nodes: int | None
    seconds: float | None
    whole_seconds: float | None
    runs_considered: int
    undeclared: list[str]
    reason: str | None


class NodeResult(TypedDict):
    """The result of a dbt node in a step of a run, from the `run_results.json` of the step.

    `execution_time` is in seconds; `started_at` and `completed_at` are ISO 8601 times.
    """

    run_id: int
    step_index: int
    command: str
    unique_id: str
    name: str
    resource_type: str
    status: str
    message: str | None
    failures: int | None
    execution_time: float
    thread_id: str | None
    started_at: str | None
    completed_at: str | None
    rows_affected: int | None
    relation_name: str | None
    path: str | None


class NodeFailure(TypedDict):
    """A node that failed in a run, with its consequences.

    `skipped` is the number of its descendants that were not built. `tables` are the dbt sources
    that feed it, as `schema.table`. `load_id` is the dlt load that filled one of them, if the run
    is bound to a load.
    """

    unique_id: str
    name: str
    resource_type: str
    status: str
    message: str | None
    path: str | None
    relation_name: str | None
    step_index: int
    command: str
    skipped: int
    tables: list[str]
    load_id: str | None
