"""Tables of dbt Cloud run results: columns, types, keys and descriptions.

Their values are made in `rows`.
"""

from __future__ import annotations

from typing import Any

from dlt.common.data_types import TDataType
from dlt.common.schema.typing import TColumnSchema

__all__ = ["DLT_COLUMNS", "KEYS", "TABLES", "Row"]


Row = dict[str, Any]
_Columns = dict[str, TColumnSchema]


def _column(name: str, data_type: TDataType, description: str) -> TColumnSchema:
    return TColumnSchema(name=name, data_type=data_type, nullable=True, description=description)


def _required(name: str, data_type: TDataType, description: str) -> TColumnSchema:
    return TColumnSchema(name=name, data_type=data_type, nullable=False, description=description)


def _table(*columns: TColumnSchema) -> _Columns:
    return {str(column["name"]): column for column in columns}


_RUNS = _table(
    _required("run_id", "bigint", "The run's id."),
    _column("account_id", "bigint", "The account's id."),
    _column("project_id", "bigint", "The project's id."),
    _column("environment_id", "bigint", "The environment's id."),
    _column("job_definition_id", "bigint", "The job's id."),
    _column("retried_run_id", "bigint", "The run that this run retries."),
    _column("deferring_run_id", "bigint", "The run whose state this run defers to."),
    _column("job_name", "text", "The job's name."),
    _required("status", "bigint", "10: success, 20: error, 30: cancelled, lower: in progress."),
    _column("status_humanized", "text", "The status as a word."),
    _column("status_message", "text", "dbt Cloud's message about the end of the run."),
    _required("in_progress", "bool", "Whether the run was unfinished when it was loaded."),
    _column("is_success", "bool", "Whether the run succeeded."),
    _column("is_error", "bool", "Whether the run failed."),
    _column("is_cancelled", "bool", "Whether the run was cancelled."),
    _column("cause", "text", "The reason that the trigger gave."),
    _column("cause_category", "text", "The kind of trigger: `api`, `scheduled`, `ui` ..."),
    _column("triggered_by", "text", "The user or token that triggered the run."),
    _column("triggered_by_type", "text", "The kind of `triggered_by`: user, service token ..."),
    _column("git_branch", "text", "The project's git branch."),
    _column("git_sha", "text", "The project's git commit."),
    _column("dbt_version", "text", "The dbt version or release track."),
    _column("schema_override", "text", "The schema, if not the environment's."),
    _column("target_name_override", "text", "The target, if not the job's."),
    _column("steps_override", "json", "The commands, as a list, if not the job's."),
    _column("created_at", "timestamp", "When the run was triggered."),
    _column("dequeued_at", "timestamp", "When the run left the queue."),
    _column("started_at", "timestamp", "When the run started."),
    _column("finished_at", "timestamp", "When the run finished."),
    _column("duration_seconds", "double", "Seconds from the trigger to the end."),
    _column("queued_seconds", "double", "Seconds in the queue."),
    _column("run_seconds", "double", "Seconds from the start to the end."),
    _column("artifacts_saved", "bool", "Whether the run's artifacts were saved."),
    _column("has_docs_generated", "bool", "Whether the run generated docs."),
    _column("has_sources_generated", "bool", "Whether the run checked source freshness."),
    _column("href", "text", "The URL of the run's page."),
)
_RUN_STEPS = _table(
    _required("run_id", "bigint", "The run's id."),
    _required("step_index", "bigint", "The step's position in the run, from 1."),
    _column("step_id", "bigint", "The step's id."),
    _column("name", "text", "The step's name."),
    _column("command", "text", "The dbt command, if the step runs one."),
    _required("status", "bigint", "10: success, 20: error, 30: cancelled, lower: in progress."),
    _column("status_humanized", "text", "The status as a word."),
    _column("started_at", "timestamp", "When the step started."),
    _column("finished_at", "timestamp", "When the step finished."),
    _column("duration_seconds", "double", "The step's duration in seconds."),
    _column("log_tail", "text", "The end of the log, if the step failed."),
)
_NODE_RESULTS = _table(
    _required("run_id", "bigint", "The run's id."),
    _required("step_index", "bigint", "The step's position in the run, from 1."),
    _required("unique_id", "text", "dbt's id of the node: `model.shop.orders`."),
    _column("command", "text", "The step's dbt command."),
    _column("name", "text", "The node's name."),
    _column("resource_type", "text", "`model`, `test`, `seed`, `snapshot`, `operation` ..."),
    _required("status", "text", "`success`, `error`, `pass`, `fail`, `skipped`, `reused` ..."),
    _column("message", "text", "The message of dbt or the database."),
    _column("failures", "bigint", "The number of rows that failed a test."),
    _column("execution_time", "double", "The node's execution time in seconds."),
    _column("thread_id", "text", "The dbt thread that executed the node."),
    _column("started_at", "timestamp", "When the node started."),
    _column("completed_at", "timestamp", "When the node finished."),
    _column("rows_affected", "bigint", "Rows affected, if the adapter reports them."),
    _column("bytes_processed", "bigint", "Bytes processed, if the adapter reports them."),
    _column("bytes_billed", "bigint", "Bytes billed, if the adapter reports them."),
    _column("relation_name", "text", "The node's relation, quoted."),
    _column("path", "text", "The path of the node's file."),
    _column("adapter_response", "json", "The adapter's whole response."),
)
_NODES = _table(
    _required("environment_id", "bigint", "The environment's id."),
    _required("unique_id", "text", "dbt's id of the node: `model.shop.orders`."),
    _required("content_hash", "text", "A hash that identifies this version of the node."),
    _required("first_run_id", "bigint", "The first loaded run with this version."),
    _required(
        "last_run_id", "bigint", "The last such run. The version is gone if a newer run was loaded."
    ),
    _required("name", "text", "The node's name."),
    _required("resource_type", "text", "`model`, `source`, `test`, `metric`, `exposure` ..."),
    _column("package_name", "text", "The node's package."),
    _column("relation_name", "text", "The relation, quoted; null if the run overrides the schema."),
    _column("database", "text", "The relation's database."),
    _column("schema", "text", "The relation's schema; null if the run overrides it."),
    _column("identifier", "text", "The relation's name in its schema."),
    _column("materialized", "text", "`table`, `view`, `incremental`, `ephemeral` ..."),
    _column("version", "text", "The version of a versioned model."),
    _column("description", "text", "The description in the project."),
    _column("group_name", "text", "The node's group."),
    _column("path", "text", "The path of the node's file."),
    _column("catalog_run_id", "bigint", "The run whose catalog has the column types."),
    _column("owners", "json", "The owners in the node's meta, else in its group, as a list."),
    _column("tags", "json", "The node's tags, as a list."),
    _column("meta", "json", "The node's meta, as an object."),
    _column("columns", "json", "The node's columns, a list of `name`, `type` and `description`."),
)
_NODE_PARENTS = _table(
    _required("environment_id", "bigint", "The environment's id."),
    _required("unique_id", "text", "dbt's id of the node: `model.shop.orders`."),
    _required("parent_unique_id", "text", "A node or source that the node depends on."),
    _required("first_run_id", "bigint", "The first loaded run with this edge."),
    _required(
        "last_run_id", "bigint", "The last such run. The edge is gone if a newer run was loaded."
    ),
    _column("resource_type", "text", "The node's type."),
    _column("parent_resource_type", "text", "The parent's type."),
)
_SOURCE_FRESHNESS = _table(
    _required("run_id", "bigint", "The run's id."),
    _required("step_index", "bigint", "The step's position in the run, from 1."),
    _required("unique_id", "text", "dbt's id of the source: `source.shop.raw.orders`."),
    _required("status", "text", "`pass`, `warn`, `error` or `runtime error`."),
    _column("message", "text", "Why the freshness is unknown."),
    _column("max_loaded_at", "timestamp", "When the newest row was loaded."),
    _column("snapshotted_at", "timestamp", "When the freshness was checked."),
    _column("age_seconds", "double", "Seconds from the newest row to the check."),
    _column("criteria", "json", "The ages that count as a warning and as an error."),
    _column("execution_time", "double", "The duration of the check in seconds."),
)
_RUN_LOADS = _table(
    _required("run_id", "bigint", "The run's id."),
    _required("pipeline_name", "text", "The dlt pipeline that triggered the run."),
    _required("load_id", "text", "The pipeline's load, as in `_dlt_loads`."),
    _column("key", "text", "The key in the run's cause; null for a reused run or API retry."),
    _column("dataset_name", "text", "The dataset of the load, if known."),
    _column("tables", "json", "The new rows of each loaded table, if known."),
)

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
# as dlt adds them to rows, though not to Arrow tables
DLT_COLUMNS: _Columns = {
    "_dlt_load_id": {"name": "_dlt_load_id", "data_type": "text", "nullable": False},
    "_dlt_id": {
        "name": "_dlt_id",
        "data_type": "text",
        "nullable": False,
        "unique": True,
        "row_key": True,
    },
}
