"""The columns of the tables that tell what dbt did: their types, keys and meanings."""

from __future__ import annotations

from typing import Any

from dlt.common.data_types import TDataType
from dlt.common.schema.typing import TColumnSchema

__all__ = ["KEYS", "TABLES", "Row"]


Row = dict[str, Any]
_Columns = dict[str, TColumnSchema]


def _columns(data_type: TDataType, is_nullable: bool = True, **meanings: str) -> _Columns:
    return {
        name: TColumnSchema(
            name=name, data_type=data_type, nullable=is_nullable, description=meaning
        )
        for name, meaning in meanings.items()
    }


_RUN = _columns("bigint", False, run_id="The run.")
_STEP = _columns("bigint", False, step_index="Which step of the run, counted from 1.")
_NODE = _columns("text", False, unique_id="The node, as dbt knows it: `model.shop.orders`.")
_ENVIRONMENT = _columns("bigint", False, environment_id="The environment in dbt Cloud.")
_SPAN = {
    **_columns("bigint", False, first_run_id="The first run that had it, of those loaded."),
    **_columns(
        "bigint",
        False,
        last_run_id="The last run that had it, of those loaded; where that is not the newest in "
        "the environment, it is not there any more.",
    ),
}
_STATUS = {
    **_columns("bigint", False, status="10 is success, 20 error, 30 cancelled, less in progress."),
    **_columns("text", status_humanized="The status in a word."),
}

_RUNS: _Columns = {
    **_RUN,
    **_columns("bigint", account_id="The account.", project_id="The project."),
    **_columns("bigint", environment_id="The environment."),
    **_columns("bigint", job_definition_id="The job.", retried_run_id="The run that it retries."),
    **_columns("bigint", deferring_run_id="The run whose state it defers to."),
    **_columns("text", job_name="The job's name."),
    **_STATUS,
    **_columns("text", status_message="What the service says about its end."),
    **_columns("bool", False, in_progress="Whether it was going on when it was loaded."),
    **_columns("bool", is_success="Whether it succeeded.", is_error="Whether it failed."),
    **_columns("bool", is_cancelled="Whether it was cancelled."),
    **_columns(
        "text",
        cause="Why it ran, in the words of the trigger.",
        cause_category="What triggered it: `api`, `scheduled`, `ui` ...",
        triggered_by="Who triggered it.",
        triggered_by_type="Whether that is a user, a service token ...",
        git_branch="The branch of the project.",
        git_sha="The commit of the project.",
        dbt_version="The version of dbt, or its release track.",
        schema_override="The schema that it built into, if not the environment's.",
        target_name_override="The target, if not the job's.",
    ),
    **_columns("json", steps_override="The commands that it executed in place of the job's."),
    **_columns(
        "timestamp",
        created_at="When it was triggered.",
        dequeued_at="When it left the queue.",
        started_at="When it began.",
        finished_at="When it ended.",
    ),
    **_columns(
        "double",
        duration_seconds="Seconds from the trigger to the end.",
        queued_seconds="Seconds in the queue.",
        run_seconds="Seconds from the beginning to the end.",
    ),
    **_columns(
        "bool",
        artifacts_saved="Whether its artifacts are there.",
        has_docs_generated="Whether it generated docs.",
        has_sources_generated="Whether it checked the freshness of sources.",
    ),
    **_columns("text", href="Its page."),
}
_RUN_STEPS: _Columns = {
    **_RUN,
    **_STEP,
    **_columns("bigint", step_id="The id of the step."),
    **_columns("text", name="Its name.", command="The dbt command, where it executes one."),
    **_STATUS,
    **_columns("timestamp", started_at="When it began.", finished_at="When it ended."),
    **_columns("double", duration_seconds="How many seconds it took."),
    **_columns("text", log_tail="The end of its log, where it failed."),
}
_NODE_RESULTS: _Columns = {
    **_RUN,
    **_STEP,
    **_NODE,
    **_columns("text", command="The dbt command of the step.", name="The node's name."),
    **_columns("text", resource_type="`model`, `test`, `seed`, `snapshot`, `operation` ..."),
    **_columns("text", False, status="`success`, `error`, `pass`, `fail`, `warn`, `skipped` ..."),
    **_columns("text", message="What dbt or the database said."),
    **_columns("bigint", failures="How many rows failed a test."),
    **_columns("double", execution_time="How many seconds it took."),
    **_columns("text", thread_id="The thread of dbt that executed it."),
    **_columns("timestamp", started_at="When it began.", completed_at="When it ended."),
    **_columns(
        "bigint",
        rows_affected="Rows, where the adapter tells them.",
        bytes_processed="Bytes read, where the adapter tells them.",
        bytes_billed="Bytes billed, where the adapter tells them.",
    ),
    **_columns("text", relation_name="The relation, quoted.", path="The node's file."),
    **_columns("json", adapter_response="All that the adapter says."),
}
_NODES: _Columns = {
    **_ENVIRONMENT,
    **_NODE,
    **_columns("text", False, content_hash="The hash of this content of the node."),
    **_SPAN,
    **_columns(
        "text",
        False,
        name="Its name.",
        resource_type="`model`, `source`, `test`, `semantic_model`, `metric`, `exposure` ...",
    ),
    **_columns(
        "text",
        package_name="The package that it belongs to.",
        relation_name="The relation, quoted; null for runs that override the schema.",
        database="The relation's database.",
        schema="The relation's schema; null for runs that override it.",
        identifier="The relation's name in its schema.",
        materialized="`table`, `view`, `incremental`, `ephemeral` ...",
        version="The version of a model that has versions.",
        description="What the project says about it.",
        group_name="The group that it belongs to.",
        path="Its file.",
    ),
    **_columns("bigint", catalog_run_id="The run whose catalog has the types of the columns."),
    **_columns(
        "json",
        owners="The owners in its meta, else those of its group, as a list.",
        tags="Its tags, as a list.",
        meta="Its meta, as an object.",
        columns="Its columns, a list of `name`, `type` and `description`.",
    ),
}
_NODE_PARENTS: _Columns = {
    **_ENVIRONMENT,
    **_NODE,
    **_columns("text", False, parent_unique_id="What the node reads, a source included."),
    **_SPAN,
    **_columns(
        "text", resource_type="What the node is.", parent_resource_type="What the parent is."
    ),
}
_SOURCE_FRESHNESS: _Columns = {
    **_RUN,
    **_STEP,
    **_columns("text", False, unique_id="The source: `source.shop.raw.orders`."),
    **_columns("text", False, status="`pass`, `warn`, `error` or `runtime error`."),
    **_columns("text", message="Why its freshness is unknown."),
    **_columns("timestamp", max_loaded_at="When its newest row was loaded."),
    **_columns("timestamp", snapshotted_at="When that was checked."),
    **_columns("double", age_seconds="Seconds between the two."),
    **_columns("json", criteria="After how long it warns, and after how long it fails."),
    **_columns("double", execution_time="How many seconds the check took."),
}
_RUN_LOADS: _Columns = {
    **_RUN,
    **_columns("text", False, pipeline_name="The dlt pipeline that triggered the run."),
    **_columns("text", False, load_id="Its load, as in `_dlt_loads`."),
    **_columns(
        "text",
        key="The key in the run's cause; null where another run was reused, or retried as it was.",
    ),
    **_columns("text", dataset_name="The dataset of the load, where known."),
    **_columns("json", tables="The new rows of each table of the load, where known."),
}

TABLES: dict[str, _Columns] = {
    "dbt_runs": _RUNS,
    "dbt_run_steps": _RUN_STEPS,
    "dbt_node_results": _NODE_RESULTS,
    "dbt_nodes": _NODES,
    "dbt_node_parents": _NODE_PARENTS,
    "dbt_source_freshness": _SOURCE_FRESHNESS,
    "dbt_run_loads": _RUN_LOADS,
}
KEYS: dict[str, tuple[str, ...]] = {
    "dbt_runs": ("run_id",),
    "dbt_run_steps": ("run_id", "step_index"),
    "dbt_node_results": ("run_id", "step_index", "unique_id"),
    "dbt_nodes": ("environment_id", "unique_id", "content_hash"),
    "dbt_node_parents": ("environment_id", "unique_id", "parent_unique_id"),
    "dbt_source_freshness": ("run_id", "step_index", "unique_id"),
    "dbt_run_loads": ("run_id", "pipeline_name", "load_id"),
}
