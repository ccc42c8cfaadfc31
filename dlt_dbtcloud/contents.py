"""What dlt's packages contain: data for dbt to transform, or what dbt did with it."""

from __future__ import annotations

from dlt.common.schema import Schema
from dlt.common.storages.load_package import LoadPackageInfo

__all__ = ["RESULTS_HINT", "RESULTS_SCHEMA", "has_data", "has_only_results", "is_data"]

# the schema of the source that loads what dbt did: no data for dbt to transform
RESULTS_SCHEMA = "dbt_cloud_results"
# what marks its tables, which may also be loaded one by one, into the schema of the data
RESULTS_HINT = "x-dbt-cloud-results"


def has_data(package: LoadPackageInfo) -> bool:
    """Tell whether a package filled a table of data."""
    return any(is_data(package.schema, table) for table in _filled(package))


def has_only_results(package: LoadPackageInfo) -> bool:
    """Tell whether a package is of nothing but what dbt did."""
    has_results = any(_is_result(package.schema, table) for table in _filled(package))
    return (has_results or package.schema_name == RESULTS_SCHEMA) and not has_data(package)


def is_data(schema: Schema, table: str) -> bool:
    """Tell a table of data from dlt's own, and from those that tell what dbt did.

    Args:
        schema: The dlt schema of the table.
        table: The table, as it is named in the destination.
    """
    return not table.lower().startswith("_dlt_") and not _is_result(schema, table)


def _is_result(schema: Schema, table: str) -> bool:
    return bool(dict(schema.tables.get(table, {})).get(RESULTS_HINT))


def _filled(package: LoadPackageInfo) -> set[str]:
    return {job.job_file_info.table_name for job in package.jobs["completed_jobs"]}
