"""dbt Cloud as the last step of a dlt pipeline."""

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    DBTCloudServerError,
    DBTCloudTransportError,
    DBTCloudTriggerUnknownError,
    InvalidCredentialsException,
)
from dlt_dbtcloud.helpers import (
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_results,
    get_dbt_cloud_run_status,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.materializing import materialized_assets
from dlt_dbtcloud.openlineage import emit_openlineage, openlineage_events
from dlt_dbtcloud.source import dbt_cloud_results

__all__ = [
    "DBTCloudAPIError",
    "DBTCloudAuthError",
    "DBTCloudClientV2",
    "DBTCloudConfiguration",
    "DBTCloudException",
    "DBTCloudNotFoundError",
    "DBTCloudRateLimitError",
    "DBTCloudRunCancelled",
    "DBTCloudRunError",
    "DBTCloudRunFailed",
    "DBTCloudRunTimeout",
    "DBTCloudServerError",
    "DBTCloudTransportError",
    "DBTCloudTriggerUnknownError",
    "InvalidCredentialsException",
    "cancel_dbt_cloud_run",
    "dbt_cloud_results",
    "emit_openlineage",
    "get_dbt_cloud_run_results",
    "get_dbt_cloud_run_status",
    "materialized_assets",
    "openlineage_events",
    "retry_dbt_cloud_run",
    "run_dbt_cloud_job",
    "run_dbt_cloud_jobs",
]
