"""The last load of a pipeline, from dlt's trace, its load packages or the destination."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import dlt
from dlt.common import logger
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.pipeline import ExtractInfo, LoadInfo
from dlt.common.schema import Schema
from dlt.common.storages.load_package import LoadPackageInfo
from dlt.pipeline.trace import PipelineStepTrace, PipelineTrace, load_trace

from dlt_dbtcloud.exceptions import DBTCloudException

__all__ = [
    "RESULTS_HINT",
    "RESULTS_SCHEMA",
    "RESULT_TABLES",
    "LastLoad",
    "check_type",
    "has_only_results",
    "is_data",
    "last_load",
    "last_packages",
    "note_failure",
    "packages_of",
    "packages_since",
]


# the schema of the source that loads dbt's results: no data for dbt to transform
RESULTS_SCHEMA = "dbt_cloud_results"
# marks its tables, which may also be loaded one by one, into the schema of the data
RESULTS_HINT = "x-dbt-cloud-results"
RESULT_TABLES = frozenset(
    {
        "dbt_node_parents",
        "dbt_node_results",
        "dbt_nodes",
        "dbt_run_loads",
        "dbt_run_steps",
        "dbt_runs",
        "dbt_source_freshness",
    }
)

# in the pipeline's local state
_ADOPTED = "dbt_cloud_adopted_run"
_FAILED = "dbt_cloud_failed_load"


@dataclass(frozen=True)
class LastLoad:
    """The load of a pipeline that a dbt Cloud run is bound to.

    Args:
        pipeline_name: The name of the pipeline.
        load_id: The id of the newest package; as ids rise, it identifies the whole load.
        committed: When it was completed, in seconds since 1970, if known.
        pipeline: The pipeline itself, if its load packages are those of this load.
        is_remote: Whether another machine has loaded, so its tables are unknown.
    """

    pipeline_name: str
    load_id: str
    committed: float | None = field(default=None, compare=False)
    pipeline: dlt.Pipeline | None = field(default=None, repr=False, compare=False)
    is_remote: bool = field(default=False, compare=False)

    @property
    def origin(self) -> tuple[str, str]:
        """The name of the pipeline and the id of the load."""
        return self.pipeline_name, self.load_id

    @property
    def began(self) -> float:
        """The time when it began, in seconds since 1970, which is its id."""
        return float(self.load_id)

    def adopted_run(self, key: str | None = None) -> int | None:
        """Return the id of the run that was adopted for this load, or None.

        Args:
            key: The key that an own run would have; None for any.
        """
        try:
            noted = self.pipeline.get_local_state_val(_ADOPTED) if self.pipeline else {}
        except KeyError:
            return None
        is_noted = noted.get("load_id") == self.load_id and key in (None, noted.get("key"))
        return noted["run_id"] if is_noted else None

    def remember_adopted(self, key: str, run_id: int) -> None:
        """Note, on this machine, the foreign run that was adopted for this load.

        Args:
            key: The key that an own run would have; the adopted one lacks it.
            run_id: The id of the run.
        """
        if self.pipeline:
            noted = {"key": key, "run_id": run_id, "load_id": self.load_id}
            self.pipeline.set_local_state_val(_ADOPTED, noted)


def last_load(pipeline: dlt.Pipeline) -> LastLoad | None:
    """Return the last load of a pipeline that filled tables of data, or None.

    Loads of dlt's own tables or of dbt's results do not count.

    Raises:
        TypeError: It is not a pipeline.
        DBTCloudException: The last load failed, so the tables to build from are unknown, or this
            machine cannot know the last load.
    """
    trace = _checked_trace(pipeline)
    info = trace.last_load_info if trace else None
    packages = [package for package in info.load_packages if _has_data(package)] if info else []
    has_just_loaded = bool(packages and info and info.pipeline is pipeline)
    packages = packages or _newest_packages(pipeline)
    if packages:
        load_id = max(package.load_id for package in packages)
        committed = max(package.completed_at.timestamp() for package in packages)
        local = LastLoad(pipeline.pipeline_name, load_id, committed, pipeline)
        return local if has_just_loaded else _remote_load(pipeline, local) or local
    is_forgotten = trace is None or pipeline.list_completed_load_packages()
    found = _newest_in_destination(pipeline) if is_forgotten else None
    name = pipeline.pipeline_name
    return LastLoad(name, found, pipeline=pipeline, is_remote=True) if found else None


def _remote_load(pipeline: dlt.Pipeline, local: LastLoad) -> LastLoad | None:
    """Return the load in the destination if it is newer than that on this machine."""
    try:
        found = _newest_in_destination(pipeline)
    except DBTCloudException:
        logger.warning(
            f"Load {local.load_id} of pipeline `{pipeline.pipeline_name}` is the last on this "
            "machine, but another machine may have loaded since: the destination cannot be queried."
        )
        return None
    if not found or float(found) <= local.began:
        return None
    # otherwise this machine has loaded dbt's results
    is_remote = found not in pipeline.list_completed_load_packages()
    return LastLoad(pipeline.pipeline_name, found, is_remote=True) if is_remote else None


def last_packages(pipeline: dlt.Pipeline) -> list[LoadPackageInfo]:
    """Return the packages of a pipeline's last load; none if there was nothing to load.

    Packages of dbt's results are omitted; a load of nothing else does not count.

    Raises:
        TypeError: It is not a pipeline.
        DBTCloudException: The last load failed, so the tables to build from are unknown.
    """
    trace = _checked_trace(pipeline)
    steps = trace.steps if trace else []
    step = next((step for step in reversed(steps) if step.step in ("load", "run")), None)
    if step is None:
        return _newest_packages(pipeline)
    packages = step.step_info.load_packages if isinstance(step.step_info, LoadInfo) else []
    data = [package for package in packages if not has_only_results(package)]
    is_of_results = len(data) < len(packages) or (not packages and _extracts_results(steps))
    return _newest_packages(pipeline) if is_of_results and not any(map(_has_data, data)) else data


def packages_since(pipeline: dlt.Pipeline, began: float) -> list[LoadPackageInfo]:
    """Return the packages on disk of all loads that began after a time.

    Args:
        pipeline: The pipeline.
        began: The time, in seconds since 1970; the last load is always included.

    Raises:
        TypeError: It is not a pipeline.
        DBTCloudException: The last load failed, so the tables to build from are unknown.
    """
    newer = takewhile(lambda package: float(package.load_id) > began, _on_disk(pipeline))
    found = {package.load_id: package for package in (*newer, *last_packages(pipeline))}
    return [found[load_id] for load_id in sorted(found)]


def packages_of(pipeline: dlt.Pipeline, load_id: str) -> list[LoadPackageInfo]:
    """Return the packages of a load that this machine has made, whether or not it is the last.

    Args:
        pipeline: The pipeline.
        load_id: The id of its newest package.

    Returns:
        The packages, the newest first; none if they are not on this machine.
    """
    if load_id not in pipeline.list_completed_load_packages():
        return []
    return _first_load(_on_disk(pipeline, load_id))


def note_failure(pipeline: dlt.Pipeline) -> None:
    """Note, on this machine, whether the last load of data failed.

    A load of dbt's results replaces it in dlt's trace.

    Raises:
        TypeError: It is not a pipeline.
    """
    check_type(pipeline)
    # during a load, the trace of the previous load is on disk
    trace = load_trace(pipeline.working_dir)
    steps = trace.steps if trace else []
    if steps and not _extracts_results(steps):
        failed = _failed_step(steps)
        noted = {"step": failed, "at": time.time()} if failed else {}
        if noted or _noted_failure(pipeline):
            pipeline.set_local_state_val(_FAILED, noted)


def has_only_results(package: LoadPackageInfo) -> bool:
    """Return whether a package filled tables of dbt's results and no tables of data."""
    has_results = any(_is_result(package.schema, table) for table in _filled(package))
    return (has_results or package.schema_name == RESULTS_SCHEMA) and not _has_data(package)


def is_data(schema: Schema, table: str) -> bool:
    """Return whether a table contains data, not dlt's own state or dbt's results.

    Args:
        schema: The dlt schema of the table.
        table: The table's name in the destination.
    """
    return not table.lower().startswith("_dlt_") and not _is_result(schema, table)


def _is_result(schema: Schema, table: str) -> bool:
    return bool(dict(schema.tables.get(table, {})).get(RESULTS_HINT))


def _has_data(package: LoadPackageInfo) -> bool:
    return any(is_data(package.schema, table) for table in _filled(package))


def _filled(package: LoadPackageInfo) -> set[str]:
    return {job.job_file_info.table_name for job in package.jobs["completed_jobs"]}


def _checked_trace(pipeline: dlt.Pipeline) -> PipelineTrace | None:
    """Return the trace of a pipeline, unless the last load failed.

    A process that did not load reads it from disk each time, which is slow with many tables.
    """
    check_type(pipeline)
    trace = pipeline.last_trace
    steps = trace.steps if trace else []
    is_of_data = steps and not _extracts_results(steps)
    failed = _failed_step(steps) if is_of_data else _noted_failure(pipeline)
    if failed:
        raise DBTCloudException(
            f"The last load of pipeline `{pipeline.pipeline_name}` failed in step `{failed}`. "
            "Load again, or omit `pipeline` to run the job anyway."
        )
    return trace


def check_type(pipeline: object) -> None:
    """Check that a value is a pipeline.

    Raises:
        TypeError: It is not.
    """
    if isinstance(pipeline, dlt.Pipeline):
        return
    advice = "Pass a `dlt.Pipeline`."
    if isinstance(pipeline, str):
        advice = 'Pass a `dlt.Pipeline`, such as `dlt.attach("name")` returns.'
    elif isinstance(pipeline, LoadInfo):
        advice = "Pass the `dlt.Pipeline` whose `run` returned it."
    raise TypeError(f"`pipeline` is a `{type(pipeline).__name__}`. {advice}")


def _noted_failure(pipeline: dlt.Pipeline) -> str | None:
    """Return the step of a noted failure, unless data were loaded since."""
    try:
        noted = pipeline.get_local_state_val(_FAILED)
    except KeyError:
        return None
    if not noted:
        return None
    newest = next(_on_disk(pipeline), None)
    is_repaired = newest and newest.completed_at.timestamp() > noted["at"]
    return None if is_repaired else noted["step"]


def _extracts_results(steps: list[PipelineStepTrace]) -> bool:
    """Return whether the newest extraction was of dbt's results only."""
    infos = [step.step_info for step in steps if isinstance(step.step_info, ExtractInfo)]
    names = [data["name"] for data in infos[-1].extract_data_info] if infos else []
    return bool(names) and {*names} <= {RESULTS_SCHEMA, *RESULT_TABLES}


def _failed_step(steps: list[PipelineStepTrace]) -> str | None:
    """Return the step that failed since the last successful load; dlt keeps earlier steps."""
    ends = [
        number
        for number, step in enumerate(steps, start=1)
        if isinstance(step.step_info, LoadInfo) and not step.step_exception
    ]
    since = steps[max(ends, default=0) :]
    return next((step.step for step in since if step.step_exception), None)


def _newest_in_destination(pipeline: dlt.Pipeline) -> str | None:
    """Return the newest load id in the destination, for a machine without the load packages.

    Raises:
        DBTCloudException: The destination cannot be queried, or does not contain the state.
    """
    unknown = f"The last load of pipeline `{pipeline.pipeline_name}` is not known on this machine"
    if pipeline.destination is None:
        raise DBTCloudException(
            f"{unknown}, and the pipeline has no destination. Pass `destination` and "
            "`dataset_name` to `dlt.pipeline`, as on the machine that loads."
        )
    try:
        is_foreign = not pipeline.schema_names and _newest_load_id(pipeline) is not None
        if is_foreign:
            # perhaps by this pipeline on another machine
            pipeline.sync_destination()
        if pipeline.schema_names:
            return _newest_load_id(pipeline, _schemas_of_data(pipeline))
    except Exception as error:
        raise DBTCloudException(
            f"{unknown}, and its destination cannot be queried: {type(error).__name__}. Run the "
            "job on the machine that runs the pipeline, or configure the destination's "
            "credentials."
        ) from error
    if is_foreign:
        raise DBTCloudException(
            f"{unknown}, and its destination has loads but not its state. Run the job on the "
            "machine that runs the pipeline, or load there with `RESTORE_FROM_DESTINATION=true`."
        )
    return None


def _schemas_of_data(pipeline: dlt.Pipeline) -> list[Schema]:
    """Return the schemas that have tables of data."""
    return [
        schema
        for schema in map(pipeline.schemas.__getitem__, pipeline.schema_names)
        if any(is_data(schema, table) for table in schema.data_table_names())
    ]


def _newest_load_id(pipeline: dlt.Pipeline, schemas: Sequence[Schema] | None = None) -> str | None:
    """Return the newest load id in the destination, of some schemas or of all."""
    condition, names = "", [schema.name for schema in schemas or ()]
    if schemas is not None:
        if not schemas:
            return None
        condition = f" AND schema_name IN ({', '.join(['%s'] * len(schemas))})"
    # `pipeline.default_schema` would read the schema from disk again
    schema = schemas[0] if schemas else Schema(pipeline.pipeline_name)
    # a dataset would not use the credentials that are configured for the pipeline
    with pipeline.sql_client() as client:
        loads = client.make_qualified_table_name(schema.loads_table_name)
        query = f"SELECT max(load_id) FROM {loads} WHERE status = 0"  # noqa: S608, a known name
        try:
            rows = client.execute_sql(query + condition, *names)
        except DestinationUndefinedEntity:
            return None
    return str(rows[0][0]) if rows and rows[0][0] else None


def _newest_packages(pipeline: dlt.Pipeline) -> list[LoadPackageInfo]:
    """Return the packages of the newest load of data on disk."""
    return _first_load(_on_disk(pipeline))


def _first_load(packages: Iterator[LoadPackageInfo]) -> list[LoadPackageInfo]:
    """Return the packages of the load of the first of some packages, the newest first."""
    newest = next(packages, None)
    if newest is None:
        return []
    # the packages of one load all exist before the first of them is completed
    began = float(newest.load_id)
    return [newest, *takewhile(lambda package: package.completed_at.timestamp() >= began, packages)]


def _on_disk(pipeline: dlt.Pipeline, last: str | None = None) -> Iterator[LoadPackageInfo]:
    """Yield the packages of data, the newest first.

    Args:
        pipeline: The pipeline.
        last: The id of the first one to yield; the newest by default.
    """
    for load_id in sorted(pipeline.list_completed_load_packages(), reverse=True):
        if last is not None and load_id > last:
            continue
        package = pipeline.get_load_package_info(load_id)
        if _has_data(package):
            yield package
