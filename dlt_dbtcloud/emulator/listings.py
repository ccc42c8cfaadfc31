"""What the lists of the API can be filtered and ordered by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """What a list can be filtered and ordered by."""

    filters: frozenset[str]
    order: frozenset[str]
    state: str = "active"


PROJECTS = Listing(
    frozenset({"pk", "pk__in", "pk__gt", "name__icontains"}),
    frozenset({"id", "name", "created_at", "updated_at"}),
)
ENVIRONMENTS = Listing(
    frozenset(
        {
            "pk",
            "project_id",
            "project_id__in",
            "dbt_version",
            "dbt_version__in",
            "name",
            "name__icontains",
            "type",
            "deployment_type",
            "deployment_type__in",
            "credentials_id",
        }
    ),
    frozenset({"id", "name", "created_at", "updated_at"}),
)
JOBS = Listing(
    frozenset(
        {
            "pk",
            "project_id",
            "project_id__in",
            "environment_id",
            "dbt_version__in",
            "name__icontains",
            "is_system",
            "is_fusion_ready",
            "triggers_schedule",
        }
    ),
    frozenset({"id", "name", "project_id", "environment_id", "created_at", "updated_at"}),
)
RUNS = Listing(
    frozenset(
        {
            "pk",
            "pk__in",
            "id__gt",
            "job_definition_id",
            "project_id",
            "project_id__in",
            "environment_id",
            "status",
            "status__in",
            "dbt_version",
            "dbt_version__in",
            "deferring_run_id",
            "has_docs_generated",
            "has_sources_generated",
            "created_at__range",
            "finished_at__range",
        }
    ),
    frozenset({"id", "created_at", "finished_at"}),
    state="all",
)
ACCOUNTS = Listing(frozenset({"pk"}), frozenset({"id"}))
