"""Assets and OpenLineage events of dbt Cloud runs."""

from dlt_dbtcloud.lineage.assets import materialized_assets
from dlt_dbtcloud.lineage.emit import emit_openlineage
from dlt_dbtcloud.lineage.openlineage import openlineage_events

__all__ = ["emit_openlineage", "materialized_assets", "openlineage_events"]
