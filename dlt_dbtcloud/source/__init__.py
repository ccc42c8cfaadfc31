"""The dlt source of what dbt Cloud runs did."""

from dlt_dbtcloud.source.source import dbt_cloud_results

__all__ = ["dbt_cloud_results"]
