"""The `[dbt_cloud]` section: its spec, its resolution, and the trigger and client made from it."""

from dlt_dbtcloud.configuration.connections import (
    configured_tokens,
    known_connections,
    line_that_sets,
)
from dlt_dbtcloud.configuration.jobs import closest_jobs, find_job_id, required_job_id
from dlt_dbtcloud.configuration.resolution import connect, resolved_config, with_dbt_cloud_config
from dlt_dbtcloud.configuration.spec import (
    Collector,
    DBTCloudConfiguration,
    fields_of_spec,
    refuse_placeholders,
)
from dlt_dbtcloud.configuration.trigger import OVERRIDES, trigger_data, used_by_trigger
from dlt_dbtcloud.configuration.variables import filled_variables, placeholders_in

__all__ = [
    "OVERRIDES",
    "Collector",
    "DBTCloudConfiguration",
    "closest_jobs",
    "configured_tokens",
    "connect",
    "fields_of_spec",
    "filled_variables",
    "find_job_id",
    "known_connections",
    "line_that_sets",
    "placeholders_in",
    "refuse_placeholders",
    "required_job_id",
    "resolved_config",
    "trigger_data",
    "used_by_trigger",
    "with_dbt_cloud_config",
]
