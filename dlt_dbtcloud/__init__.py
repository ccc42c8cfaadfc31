"""dbt Cloud as the last step of a dlt pipeline.

The public API is the names in `__all__` and the modules `client`, `configuration`, `emulator`,
`exceptions`, `source` and `typing`. Everything else is private and may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version

    from dlt_dbtcloud.check import check_dbt_cloud
    from dlt_dbtcloud.client import DBTCloudClientV2
    from dlt_dbtcloud.configuration import DBTCloudConfiguration
    from dlt_dbtcloud.declarations import dbt_sources
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
        DBTCloudRunWarning,
        DBTCloudServerError,
        DBTCloudTransportError,
        DBTCloudTriggerUnknownError,
        InvalidCredentialsException,
    )
    from dlt_dbtcloud.helpers import (
        cancel_dbt_cloud_run,
        dbt_cloud_run_report,
        get_dbt_cloud_run_results,
        get_dbt_cloud_run_status,
        plan_dbt_cloud_job,
        retry_dbt_cloud_run,
        run_dbt_cloud_job,
        run_dbt_cloud_jobs,
    )
    from dlt_dbtcloud.lineage import emit_openlineage, materialized_assets, openlineage_events
    from dlt_dbtcloud.loads import loaded_tables
    from dlt_dbtcloud.source import dbt_cloud_results

    __version__ = version("dlt-dbtcloud")

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
    "DBTCloudRunWarning",
    "DBTCloudServerError",
    "DBTCloudTransportError",
    "DBTCloudTriggerUnknownError",
    "InvalidCredentialsException",
    "__version__",
    "cancel_dbt_cloud_run",
    "check_dbt_cloud",
    "dbt_cloud_results",
    "dbt_cloud_run_report",
    "dbt_sources",
    "emit_openlineage",
    "get_dbt_cloud_run_results",
    "get_dbt_cloud_run_status",
    "loaded_tables",
    "materialized_assets",
    "openlineage_events",
    "plan_dbt_cloud_job",
    "retry_dbt_cloud_run",
    "run_dbt_cloud_job",
    "run_dbt_cloud_jobs",
]

_MODULES = {
    "DBTCloudClientV2": "client",
    "DBTCloudConfiguration": "configuration",
    "check_dbt_cloud": "check",
    "dbt_cloud_results": "source",
    "dbt_sources": "declarations",
    "emit_openlineage": "lineage",
    "loaded_tables": "loads",
    "materialized_assets": "lineage",
    "openlineage_events": "lineage",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first access."""
    if name == "__version__":
        from importlib.metadata import version

        return version("dlt-dbtcloud")
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    is_exception = name.startswith("DBTCloud") or name.endswith("Exception")
    module = _MODULES.get(name, "exceptions" if is_exception else "helpers")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
