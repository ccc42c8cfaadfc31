"""A check of the configuration, the account and the job, which starts nothing."""

from dlt_dbtcloud.check.preflight import check_dbt_cloud

__all__ = ["check_dbt_cloud"]
