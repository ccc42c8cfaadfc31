"""The helpers that a pipeline script calls.

The first call of a function imports what it needs, so that a script starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dlt

from dlt_dbtcloud.configuration import (
    Collector,
    DBTCloudConfiguration,
    connect,
    required_job_id,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.runs.trigger.calls import check_pipeline, triggers_of, valid_jobs
from dlt_dbtcloud.typing import NodeResult, Plan, Run, TriggerData

if TYPE_CHECKING:
    from dlt_dbtcloud.client.client import DBTCloudClientV2
    from dlt_dbtcloud.runs.lifecycle import Lifecycle
    from dlt_dbtcloud.runs.progress import Display

__all__ = [
    "cancel_dbt_cloud_run",
    "dbt_cloud_run_report",
    "get_dbt_cloud_run_results",
    "get_dbt_cloud_run_status",
    "plan_dbt_cloud_job",
    "retry_dbt_cloud_run",
    "run_dbt_cloud_job",
    "run_dbt_cloud_jobs",
]


@with_dbt_cloud_config
def run_dbt_cloud_job(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    job_id: int | str | None = None,
    data: TriggerData | Mapping[str, Any] | None = None,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    *,
    pipeline: dlt.Pipeline | None = None,
    only_loaded: bool = False,
    reuse_queued_run: bool = False,
    additional_vars: Mapping[str, Any] | None = None,
    retries: int = 0,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
    raise_on_warning: bool = False,
    progress: str | Collector | None = None,
    connection: str | None = None,
) -> Run:
    """Trigger a job and return its run, by default when the run has finished.

    Every argument but `data` and `pipeline` can also be set in the `[dbt_cloud]` section. An
    argument wins over the config.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

    Args:
        credentials: A `DBTCloudConfiguration` or a mapping of its fields, which is not changed.
            Fields that are not set are read from the config.
        job_id: The job; without it, a request finds the job of the configured `job_name`.
        data: Overrides for this run: the fields of `TriggerData`. They win over the config.
        wait_for_outcome: Return when the run has finished, not when it is queued.
        wait_seconds: Longest pause between two status checks, in seconds. A young run is checked
            more often, and any run less often after a cool-down. 0 checks once a second.
        pipeline: The pipeline whose last load the run is for. A second call for the same load, in
            any process, finds the run of the first: it waits for a run in progress, returns one
            that succeeded, and starts a new one only after a failure.
        only_loaded: Build only the descendants of the tables that the last load of `pipeline`
            changed. If there are none, no run starts: `status_humanized` is "Skipped" and `id`
            is None.
        reuse_queued_run: Return a queued run of the job, whoever triggered it, if it builds
            everything that the new run would.
        additional_vars: Variables for dbt, merged into `--vars` of each command of the run, and of
            its retries. The values `{load_id}`, `{pipeline_name}` and `{tables}`, a list, are
            filled for the load of `pipeline`. A run with other variables is never shared.
        retries: How often to retry a failed run, as `retry_dbt_cloud_run` does.
        timeout: Longest wait for the end, retries included, in seconds.
        cancel_on_abandon: Cancel the run when the wait ends early: on Ctrl-C, SIGTERM, the time
            limit of an Airflow or Prefect task, or after `timeout`. By default the run continues,
            and a warning shows how to resume the wait.
        raise_on_failure: Raise if the run fails or is cancelled; by default it is logged as an
            error.
        raise_on_warning: Raise if the run succeeds with tests that warn, or with stale sources, or
            if this cannot be read; by default warnings are logged.
        progress: How to show the progress of the run: `log`, `tqdm`, `enlighten`,
            `alive_progress`, or a collector of dlt. By default the pipeline's own collector, else
            a line that is updated in a terminal, and one line per change elsewhere.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The run with the API's own fields: `id`, `status_humanized`, `is_success`, `href` …

    Raises:
        TypeError: `data` is not a mapping, or `pipeline` is not a pipeline.
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value, a field of `data` is misspelt, or
            `only_loaded` or a placeholder has no `pipeline`; it is a `ValueError`.
        DBTCloudException: The last load of `pipeline` failed, so its tables are unknown.
        DBTCloudAPIError: The API refused the trigger or returned an error; there is no run.
        DBTCloudTransportError: The API is unreachable; there is no run.
        DBTCloudTriggerUnknownError: The response to the trigger was lost; there may be a run.
        DBTCloudRunFailed: The run failed, with `raise_on_failure`. Or it is a retry or was
            narrowed, and succeeded without the nodes that it was for.
        DBTCloudRunCancelled: The run was cancelled, with `raise_on_failure`.
        DBTCloudRunWarning: The run succeeded with warnings, with `raise_on_warning`.
        DBTCloudRunTimeout: The run is still running after `timeout`.
    """
    config = resolved_config(credentials, "account_id")
    check_pipeline(config, pipeline)
    return _run_jobs([required_job_id(config)], config, data, pipeline)[0]


@with_dbt_cloud_config
def run_dbt_cloud_jobs(
    job_ids: Iterable[int | str],
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    *,
    data: TriggerData | Mapping[str, Any] | None = None,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    pipeline: dlt.Pipeline | None = None,
    only_loaded: bool = False,
    reuse_queued_run: bool = False,
    additional_vars: Mapping[str, Any] | None = None,
    retries: int = 0,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
    raise_on_warning: bool = False,
    progress: str | Collector | None = None,
    connection: str | None = None,
) -> list[Run]:
    """Trigger several jobs, each exactly once, and return their runs in the same order.

    One status check takes one request per hundred runs. A job that cannot be triggered, or a run
    that fails, does not stop the others.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

    Args:
        job_ids: The jobs.
        credentials: As for `run_dbt_cloud_job`, like all other options.
        data: Overrides for each of these runs.
        wait_for_outcome: Return when all runs have finished.
        wait_seconds: Longest pause between two status checks, in seconds.
        pipeline: The pipeline whose last load the runs are for.
        only_loaded: Build only the descendants of the tables that the load changed.
        reuse_queued_run: Return queued runs if they build everything that the new ones would.
        additional_vars: Variables for dbt.
        retries: How often to retry each failed run.
        timeout: Longest wait for the end of all runs, retries included, in seconds.
        cancel_on_abandon: Cancel the runs when the wait ends early.
        raise_on_failure: Raise if a run does not succeed, after all have finished.
        raise_on_warning: Raise if a run succeeds with warnings, after all have finished.
        progress: How to show the progress, as for `run_dbt_cloud_job`.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        One run per job, as `run_dbt_cloud_job` returns it.

    Raises:
        TypeError: `job_ids` is not a list, `data` not a mapping, or `pipeline` not a pipeline.
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value, a field of `data` is misspelt, or
            `only_loaded` or a placeholder has no `pipeline`; it is a `ValueError`.
        DBTCloudException: Any error of `run_dbt_cloud_job`. With several errors it is the first,
            whose message lists all of them and the runs that succeeded or are still running. Its
            `runs` are the runs that exist.
    """
    config = resolved_config(credentials, "account_id")
    try:
        jobs = valid_jobs(job_ids)
    finally:
        # a traceback that shows variables would show a token in the wrong place
        del job_ids
    check_pipeline(config, pipeline)
    return _run_jobs(jobs, config, data, pipeline)


@with_dbt_cloud_config
def plan_dbt_cloud_job(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    job_id: int | str | None = None,
    data: TriggerData | Mapping[str, Any] | None = None,
    *,
    pipeline: dlt.Pipeline | None = None,
    only_loaded: bool = True,
    additional_vars: Mapping[str, Any] | None = None,
    connection: str | None = None,
) -> Plan:
    """Return what `run_dbt_cloud_job` would run with the same arguments; nothing is triggered.

    It takes at most six requests. A node is predicted to take the median of its times in up to
    three successful runs, by preference those of the whole job. The nodes of a command together
    take as much less than their sum as in these runs, in which some executed at the same time, but
    at least as long as the longest chain of nodes. To this the median of the time without nodes is
    added: the clone, the connection, the parsing and the docs. Other threads are not considered.

    A selection of a command's own is not evaluated. Its nodes are those that it executed in the
    last run of the whole job, if its results are known, and else all of its types.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job

    Args:
        credentials: As for `run_dbt_cloud_job`.
        job_id: The job.
        data: Overrides for the run.
        pipeline: The pipeline whose last load the run is for.
        only_loaded: Build only the descendants of the tables that the load changed.
        additional_vars: Variables for dbt.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The plan. `steps` are empty if no run would start; `reason` is why.

    Raises:
        TypeError: `data` is not a mapping, or `pipeline` is not a pipeline.
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value, a field of `data` is misspelt, or
            `only_loaded` or a placeholder has no `pipeline`; it is a `ValueError`.
        DBTCloudException: The last load of `pipeline` failed, so its tables are unknown.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
    """
    from dlt_dbtcloud.runs.plan import empty_plan, plan_run

    config = resolved_config(credentials, "account_id")
    check_pipeline(config, pipeline)
    job = required_job_id(config)
    triggers = triggers_of([job], config, data, pipeline)
    if isinstance(triggers, str):
        return empty_plan(triggers)
    with connect(config) as client:
        return plan_run(client, triggers[0], requests=int(job != config.job_id))


@with_dbt_cloud_config
def get_dbt_cloud_run_status(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    *,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
    progress: str | Collector | None = None,
    connection: str | None = None,
) -> Run:
    """Return a run, by default when it has finished.

    Every argument can also be set in the `[dbt_cloud]` section. An argument wins over the config.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run

    Args:
        credentials: A `DBTCloudConfiguration` or a mapping of its fields, which is not changed.
            Fields that are not set are read from the config.
        run_id: The run.
        wait_for_outcome: Return when the run has finished, not its current state.
        wait_seconds: Longest pause between two status checks, in seconds. A young run is checked
            more often, and any run less often after a cool-down. 0 checks once a second.
        timeout: Longest wait for the end, in seconds.
        cancel_on_abandon: Cancel the run when the wait ends early: on Ctrl-C, SIGTERM, the time
            limit of an Airflow or Prefect task, or after `timeout`. By default the run continues,
            and a warning shows how to resume the wait.
        raise_on_failure: Raise if the run fails or is cancelled; by default it is logged as an
            error.
        progress: How to show the progress, as for `run_dbt_cloud_job`.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The run with the API's own fields: `id`, `status_humanized`, `is_success`, `href` …

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value; it is a `ValueError`.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
        DBTCloudRunFailed: The run failed, with `raise_on_failure`. Or it is a retry or was
            narrowed, and succeeded without the nodes that it was for.
        DBTCloudRunCancelled: The run was cancelled, with `raise_on_failure`.
        DBTCloudRunTimeout: The run is still running after `timeout`.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    display = _display(config)
    with connect(config) as client:
        return _lifecycle(client, config, display).follow(config.run_id)


@with_dbt_cloud_config
def get_dbt_cloud_run_results(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    *,
    connection: str | None = None,
) -> list[NodeResult]:
    """Return the result of each dbt node in a run: status, message, timing, relation, file.

    The results come from the `run_results.json` of each step. For a retry they include the nodes
    that succeeded in the runs that it retries, and those come first. Artifacts that dbt Cloud is
    still saving are awaited for up to a minute after the end of the run.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

    Args:
        credentials: As for `run_dbt_cloud_job`.
        run_id: The run.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        One `NodeResult` per node and step, in dbt's order. The list is empty while the run is
        still running, and if it ended before dbt ran a node.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
    """
    from dlt_dbtcloud.artifacts.results import node_results

    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return node_results(client, config.run_id)


@with_dbt_cloud_config
def dbt_cloud_run_report(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    *,
    connection: str | None = None,
) -> str:
    """Return the page of a run: one HTML document that loads nothing from anywhere.

    It shows what failed, a timeline, the lineage and all nodes. It works from a file, by mail, and
    in a notebook, which displays it. Secrets are redacted and long texts cut. A run takes a request
    for itself, those for its artifacts, and some for the times of nodes in earlier runs of its job.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run

    Args:
        credentials: As for `run_dbt_cloud_job`.
        run_id: The run, finished or not.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The HTML text, to be written to a file in UTF-8.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        MissingDependencyException: Jinja is not installed; the extra `report` installs it.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
    """
    from dlt_dbtcloud.report.runs import run_report

    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return run_report(client, config.run_id)


@with_dbt_cloud_config
def retry_dbt_cloud_run(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    *,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    retries: int = 0,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
    progress: str | Collector | None = None,
    connection: str | None = None,
) -> Run:
    """Retry a failed run exactly once, and return the new run.

    The cheapest way that works is used: dbt Cloud's own retry from the point of failure; else the
    failed step on its unsuccessful nodes only, and the steps that never started; else these steps
    whole. A retry that succeeds without these nodes in its results is followed by the next way,
    unless it is not waited for. The overrides of the run are kept.

    If the run was retried before, its latest retry is retried; a retry that is in progress or
    succeeded is returned. A cancelled run resumes with the step that was cancelled.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retry%20Run

    Args:
        credentials: As for `run_dbt_cloud_job`, like all other options.
        run_id: The failed run.
        wait_for_outcome: Return when the retry has finished, not when it is queued.
        wait_seconds: Longest pause between two status checks, in seconds.
        retries: How often to retry again if the retry fails.
        timeout: Longest wait for the end, in seconds.
        cancel_on_abandon: Cancel the retry when the wait ends early.
        raise_on_failure: Raise if the retry fails or is cancelled.
        progress: How to show the progress, as for `run_dbt_cloud_job`.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The retry with the API's own fields; if there is nothing to retry, the run that succeeded
        or is in progress.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value; it is a `ValueError`.
        DBTCloudException: Any error of `run_dbt_cloud_job`.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    display = _display(config)
    with connect(config) as client:
        return _lifecycle(client, config, display).retry(config.run_id)


@with_dbt_cloud_config
def cancel_dbt_cloud_run(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    *,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    timeout: float = 86400,
    progress: str | Collector | None = None,
    connection: str | None = None,
) -> Run:
    """Cancel a run and return it, by default when it has ended.

    A run that had already ended is returned, with a warning.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Cancel%20Run

    Args:
        credentials: As for `run_dbt_cloud_job`.
        run_id: The run.
        wait_for_outcome: Return when the run has ended, not when the cancellation is requested.
        wait_seconds: Longest pause between two status checks, in seconds.
        timeout: Longest wait for the end, in seconds.
        progress: How to show the progress, as for `run_dbt_cloud_job`.
        connection: The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`.

    Returns:
        The run. It may have succeeded or failed before the cancellation: check `is_cancelled`.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ConfigurationValueError: An option has an invalid value; it is a `ValueError`.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API is unreachable.
        DBTCloudRunTimeout: The run is still running after `timeout`.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    display = _display(config)
    with connect(config) as client:
        return _lifecycle(client, config, display).cancel(config.run_id)


def _run_jobs(
    job_ids: list[str],
    config: DBTCloudConfiguration,
    data: TriggerData | Mapping[str, Any] | None,
    pipeline: dlt.Pipeline | None,
) -> list[Run]:
    from dlt_dbtcloud.runs.trigger.start import skipped_run

    triggers = triggers_of(job_ids, config, data, pipeline)
    if isinstance(triggers, str):
        return [skipped_run(triggers) for _ in job_ids]
    display = _display(config, pipeline)
    with connect(config) as client:
        return _lifecycle(client, config, display).run_all(triggers)


def _display(config: DBTCloudConfiguration, pipeline: dlt.Pipeline | None = None) -> Display | None:
    """Return the display of a call's wait, if it waits."""
    if not config.wait_for_outcome:
        return None
    from dlt_dbtcloud.runs.progress import new_display

    return new_display(config.__collector__ or config.progress, pipeline)


def _lifecycle(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, display: Display | None
) -> Lifecycle:
    from dlt_dbtcloud.runs.lifecycle import Lifecycle

    return Lifecycle(client, config, display)
