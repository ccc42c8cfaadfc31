"""The `[dbt_cloud]` section: its spec, its resolution, and the trigger and client made from it."""

from dlt_dbtcloud.configuration.jobs import find_job_id, required_job_id
from dlt_dbtcloud.configuration.resolution import connect, resolved_config, with_dbt_cloud_config
from dlt_dbtcloud.configuration.spec import (
    Collector,
    DBTCloudConfiguration,
    refuse_placeholders,
)
from dlt_dbtcloud.configuration.trigger import OVERRIDES, trigger_data

__all__ = [
    "OVERRIDES",
    "Collector",
    "DBTCloudConfiguration",
    "connect",
    "find_job_id",
    "refuse_placeholders",
    "required_job_id",
    "resolved_config",
    "trigger_data",
    "with_dbt_cloud_config",
]
