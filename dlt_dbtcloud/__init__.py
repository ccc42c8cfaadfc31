"""dbt Cloud as the last step of a dlt pipeline."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from dlt_dbtcloud.tables import loaded_tables

if TYPE_CHECKING:
    from dlt_dbtcloud.materializing import materialized_assets, openlineage_events
    from dlt_dbtcloud.openlineage import emit_openlineage
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
    "loaded_tables",
    "materialized_assets",
    "openlineage_events",
    "retry_dbt_cloud_run",
    "run_dbt_cloud_job",
    "run_dbt_cloud_jobs",
]

# what only some callers use, and costs time to import
_LATER = {
    "dbt_cloud_results": "dlt_dbtcloud.source",
    "emit_openlineage": "dlt_dbtcloud.openlineage",
    "materialized_assets": "dlt_dbtcloud.materializing",
    "openlineage_events": "dlt_dbtcloud.materializing",
}


def __getattr__(name: str) -> Any:
    """Import what is imported only when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(_LATER[name]), name)
