"""The functions that a pipeline script calls, with their config injected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dlt
from dlt.common import logger

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration, required, with_dbt_cloud_config
from dlt_dbtcloud.triggering import trigger_data
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import run_error, watch_runs

__all__ = ["get_dbt_cloud_run_status", "run_dbt_cloud_job"]


@with_dbt_cloud_config
def run_dbt_cloud_job(
    credentials: DBTCloudConfiguration = dlt.secrets.value,
    job_id: int | str | None = None,
    data: Mapping[str, Any] | None = None,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    *,
    timeout: float = 86400,
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
        timeout: Seconds to wait for the end.
        raise_on_failure: Raise where the run fails or is cancelled; without it that is logged as
            an error.

    Returns:
        The run as the API describes it: `id`, `status_humanized`, `is_success`, `href` …

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The API refused the trigger, or answered with an error.
        DBTCloudTransportError: There was no answer.
        DBTCloudRunFailed: The run failed, with `raise_on_failure`.
        DBTCloudRunCancelled: The run was cancelled, with `raise_on_failure`.
        DBTCloudRunTimeout: The run is still going on after `timeout`.
    """
    _, job = required(credentials, "account_id", "job_id")
    body = trigger_data(credentials, data)
    with _client(credentials) as client:
        run = client.start_job_run(job, body)
        logger.info(f"dbt Cloud run {run['id']} of job {job} was triggered: {run.get('href')}")
        return _outcome(client, run, credentials, is_new=True)


@with_dbt_cloud_config
def get_dbt_cloud_run_status(
    credentials: DBTCloudConfiguration = dlt.secrets.value,
    run_id: int | str | None = None,
    wait_for_outcome: bool = True,
    wait_seconds: float = 10,
    *,
    timeout: float = 86400,
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
    _, run = required(credentials, "account_id", "run_id")
    with _client(credentials) as client:
        return _outcome(client, client.get_run_status(run), credentials)


def _client(config: DBTCloudConfiguration) -> DBTCloudClientV2:
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url)


def _outcome(
    client: DBTCloudClientV2, run: Run, config: DBTCloudConfiguration, is_new: bool = False
) -> Run:
    """Return a run as it is, or by default when it is over, and never let a failure be silent."""
    if config.wait_for_outcome:
        (run,) = watch_runs(
            client,
            [run],
            wait_seconds=config.wait_seconds,
            timeout=config.timeout,
            are_new=is_new,
        )
    error = run_error(run)
    if error and config.raise_on_failure:
        raise error
    if error:
        logger.error(str(error))
    return run
