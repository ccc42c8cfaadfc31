"""Sources of a dbt project that declare the tables of a pipeline."""

from dlt_dbtcloud.declarations.comparison import Finding, compare_sources
from dlt_dbtcloud.declarations.sources import dbt_sources, is_sources_yaml, sources_yaml

__all__ = ["Finding", "compare_sources", "dbt_sources", "is_sources_yaml", "sources_yaml"]
