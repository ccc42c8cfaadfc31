"""The functions that a pipeline script calls, with their config injected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud.artifacts.results import node_results
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    resolved_config,
    trigger_data,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.loads.packages import last_load
from dlt_dbtcloud.runs.lifecycle import Running
from dlt_dbtcloud.runs.trigger import Trigger, skipped_run
from dlt_dbtcloud.typing import NodeResult, Run, TriggerData

__all__ = [
    "cancel_dbt_cloud_run",
    "get_dbt_cloud_run_results",
    "get_dbt_cloud_run_status",
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
    retries: int = 0,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
) -> Run:
    """Trigger a job and return its run, by default when that is over.

    Every argument but `data` may stand in the `[dbt_cloud]` section as well; what is passed wins.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

    Args:
        credentials: A `DBTCloudConfiguration` or a dict of its fields, which is not changed; what
            it leaves open is read from the config.
        job_id: The job.
        data: What this run overrides, the fields of `TriggerData`; they win over the config's.
        wait_for_outcome: Return when the run is over, not when it is queued.
        wait_seconds: Seconds between two status checks, at most; a young run is looked at sooner.
        pipeline: The pipeline whose last load the run is for. Called again for the same load, from
            wherever, it finds the run that is there: one in flight is waited for, one that
            succeeded is returned, and only after one that failed a new one starts.
        only_loaded: Build only what descends from the tables that the last load of `pipeline` has
            changed. Where that is nothing, no run is made: `status_humanized` is "Skipped".
        reuse_queued_run: Let a run of the job serve that somebody else has triggered and that has
            not started yet, where it builds all that this one would.
        retries: How often to retry what failed, as `retry_dbt_cloud_run` does.
        timeout: Seconds to wait for the end, retries included.
        cancel_on_abandon: Cancel the run where it is waited for no longer: on Ctrl-C, SIGTERM, the
            end of an Airflow or Prefect task's time, or when `timeout` is over. Without it the run
            goes on, and a warning says how to resume.
        raise_on_failure: Raise where the run fails or is cancelled; without it that is logged as
            an error.

    Returns:
        The run as the API describes it: `id`, `status_humanized`, `is_success`, `href` …

    Raises:
        TypeError: `data` is no dict, or `pipeline` no pipeline.
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        ConfigurationValueError: An option has a value that it cannot have, or there is no
            `pipeline` for `only_loaded`; it is a `ValueError`.
        DBTCloudException: The last load of `pipeline` failed, so it is not known what to build.
        DBTCloudAPIError: The API refused the trigger, or answered with an error; there is no run.
        DBTCloudTransportError: The API cannot be reached; there is no run.
        DBTCloudTriggerUnknownError: The trigger's answer was lost, and so is whether there is one.
        DBTCloudRunFailed: The run failed, with `raise_on_failure`.
        DBTCloudRunCancelled: The run was cancelled, with `raise_on_failure`.
        DBTCloudRunTimeout: The run is still going on after `timeout`.
    """
    config = resolved_config(credentials, "account_id", "job_id")
    return _run_jobs([config["job_id"]], config, data, pipeline)[0]


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
    retries: int = 0,
    timeout: float = 86400,
    cancel_on_abandon: bool = False,
    raise_on_failure: bool = False,
) -> list[Run]:
    """Trigger jobs, each exactly once, and return their runs in the order of the jobs.

    All of them are watched together, with one request for each hundred and check. One that cannot
    be triggered, or fails, keeps none of the others from ending.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

    Args:
        job_ids: The jobs.
        credentials: As for `run_dbt_cloud_job`, and so are the other options.
        data: What each of these runs overrides.
        wait_for_outcome: Return when all runs are over.
        wait_seconds: Seconds between two status checks, at most.
        pipeline: The pipeline whose last load the runs are for.
        only_loaded: Build only what descends from the tables that it has changed.
        reuse_queued_run: Let runs serve that have not started yet.
        retries: How often to retry each run that fails.
        timeout: Seconds to wait for the end of the last, retries included.
        cancel_on_abandon: Cancel the runs where they are waited for no longer.
        raise_on_failure: Raise where a run does not succeed, when all are over.

    Returns:
        One run for each job, as `run_dbt_cloud_job` returns it.

    Raises:
        TypeError: `job_ids` is no list, `data` no dict, or `pipeline` no pipeline.
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        ConfigurationValueError: An option has a value that it cannot have, or there is no
            `pipeline` for `only_loaded`; it is a `ValueError`.
        DBTCloudException: What `run_dbt_cloud_job` raises; where it is several, the first of them
            tells of all, and of the runs that succeeded or go on.
    """
    config = resolved_config(credentials, "account_id")
    if isinstance(job_ids, str) or not isinstance(job_ids, Iterable):
        raise TypeError(f"`job_ids={job_ids!r}` is no list. Pass the ids of jobs: `[1, 2]`.")
    return _run_jobs([valid_id("job_id", job) for job in job_ids], config, data, pipeline)


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
) -> Run:
    """Return a run, by default when it is over.

    Every argument may stand in the `[dbt_cloud]` section as well; what is passed wins.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run

    Args:
        credentials: A `DBTCloudConfiguration` or a dict of its fields, which is not changed; what
            it leaves open is read from the config.
        run_id: The run.
        wait_for_outcome: Return when the run is over, not as it is now.
        wait_seconds: Seconds between two status checks, at most; a young run is looked at sooner.
        timeout: Seconds to wait for the end.
        cancel_on_abandon: Cancel the run where it is waited for no longer: on Ctrl-C, SIGTERM, the
            end of an Airflow or Prefect task's time, or when `timeout` is over. Without it the run
            goes on, and a warning says how to resume.
        raise_on_failure: Raise where the run fails or is cancelled; without it that is logged as
            an error.

    Returns:
        The run as the API describes it: `id`, `status_humanized`, `is_success`, `href` …

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
        DBTCloudRunFailed: The run failed, with `raise_on_failure`.
        DBTCloudRunCancelled: The run was cancelled, with `raise_on_failure`.
        DBTCloudRunTimeout: The run is still going on after `timeout`.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return Running(client, config).follow(config.run_id)


@with_dbt_cloud_config
def get_dbt_cloud_run_results(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
) -> list[NodeResult]:
    """Return what each dbt node did in a run: status, message, timing, relation, file.

    Each step's own `run_results.json` is read. A retry has done again what had failed: its results
    take the place of those, and what had succeeded in the runs before it comes first. Artifacts
    that dbt Cloud is still saving are waited for, for a minute after the run's end.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

    Args:
        credentials: As for `run_dbt_cloud_job`.
        run_id: The run.

    Returns:
        One `NodeResult` for each node and step, in the order in which dbt reports them; none for a
        run that is not over, and for one that ended before dbt came to run a node.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return node_results(client, config.run_id)


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
) -> Run:
    """Retry a run that failed, exactly once, and return the run that does it.

    The cheapest way that works is taken: dbt Cloud's own retry from the point of failure; else the
    step that failed on just its unsuccessful nodes, and the steps that never began; else these
    steps whole. Whatever the run was triggered with is kept. Where it was retried before, that goes
    on from the latest of its retries; of one in flight or successful, no other is made. A run that
    was cancelled goes on with the step that was.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retry%20Run

    Args:
        credentials: As for `run_dbt_cloud_job`, and so are the other options.
        run_id: The run that failed.
        wait_for_outcome: Return when the retry is over, not when it is queued.
        wait_seconds: Seconds between two status checks, at most.
        retries: How often to retry again what fails again.
        timeout: Seconds to wait for the end.
        cancel_on_abandon: Cancel the retry where it is waited for no longer.
        raise_on_failure: Raise where the retry fails or is cancelled.

    Returns:
        The run that does it, as the API describes it; where there is nothing to retry, the run
        that has succeeded or goes on.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudException: What `run_dbt_cloud_job` raises.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return Running(client, config).retry(client.get_run_status(config.run_id))


@with_dbt_cloud_config
def cancel_dbt_cloud_run(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    run_id: int | str | None = None,
    *,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    timeout: float = 86400,
) -> Run:
    """Cancel a run and return it when it has ended; of one that had, say so and return it.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Cancel%20Run

    Args:
        credentials: As for `run_dbt_cloud_job`.
        run_id: The run.
        wait_for_outcome: Return when it has ended, not when that was asked for.
        wait_seconds: Seconds between two status checks, at most.
        timeout: Seconds to wait for the end.

    Returns:
        The run; it may have come to another end just before, so look at `is_cancelled`.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
        DBTCloudRunTimeout: The run is still going on after `timeout`.
    """
    config = resolved_config(credentials, "account_id", "run_id")
    with connect(config) as client:
        return Running(client, config).cancel(config.run_id)


def _run_jobs(
    job_ids: list[str],
    config: DBTCloudConfiguration,
    data: TriggerData | Mapping[str, Any] | None,
    pipeline: dlt.Pipeline | None,
) -> list[Run]:
    body = trigger_data(config, data)
    load = last_load(pipeline) if pipeline is not None else None
    if pipeline is not None and load is None:
        reason = f"pipeline `{pipeline.pipeline_name}` has loaded nothing yet"
        return [skipped_run(reason) for _ in job_ids]
    # steps that the caller names are not narrowed
    only_loaded = config.only_loaded and "steps_override" not in (data or {})
    if config.only_loaded and load is None:
        raise ConfigurationValueError(
            "`only_loaded` builds what a pipeline has loaded, and there is no pipeline. Pass "
            "`pipeline`, or `only_loaded=False` to run the whole job."
        )
    with connect(config) as client:
        triggers = [
            Trigger(
                client,
                job_id,
                body,
                load,
                only_loaded=only_loaded,
                reuse_queued_run=config.reuse_queued_run,
                timeout=config.timeout,
            )
            for job_id in job_ids
        ]
        return Running(client, config).run_all(triggers)
