"""What a pipeline has loaded last, as far as dbt has something to do with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.pipeline import ExtractInfo, LoadInfo
from dlt.common.schema import Schema
from dlt.common.storages.load_package import LoadPackageInfo
from dlt.pipeline.trace import PipelineStepTrace, load_trace

from dlt_dbtcloud.exceptions import DBTCloudException

__all__ = [
    "RESULTS_HINT",
    "RESULTS_SCHEMA",
    "RESULT_TABLES",
    "LastLoad",
    "adopted_run",
    "has_data",
    "has_only_results",
    "is_data",
    "last_load",
    "last_packages",
    "note_failure",
    "packages_since",
    "remember_adopted",
]


# the schema of the source that loads what dbt did: no data for dbt to transform
RESULTS_SCHEMA = "dbt_cloud_results"
# what marks its tables, which may also be loaded one by one, into the schema of the data
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


_FAILED = "dbt_cloud_failed_load"


@dataclass(frozen=True)
class LastLoad:
    """The load of a pipeline that a run of dbt is bound to.

    Args:
        pipeline_name: The pipeline.
        load_id: The newest package of the load; as ids rise, it stands for all of them.
        committed: When it was completed, in seconds since 1970, where that is known.
        pipeline: The pipeline itself, where more may be asked of the load.
    """

    pipeline_name: str
    load_id: str
    committed: float | None = field(default=None, compare=False)
    pipeline: dlt.Pipeline | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> tuple[str, str]:
        """Return the names of the pipeline and the load."""
        return self.pipeline_name, self.load_id

    @property
    def began(self) -> float:
        """Return when it began, in seconds since 1970: dlt makes its ids of that."""
        return float(self.load_id)


def last_load(pipeline: dlt.Pipeline) -> LastLoad | None:
    """Return the last load of a pipeline that filled tables, or None where there is none yet.

    A load of nothing but dlt's own tables, or of what dbt did, is not one that dbt has to follow.

    Raises:
        TypeError: It is no pipeline.
        DBTCloudException: The last load failed, so that it is not known what there is to build.
    """
    _check(pipeline)
    trace = pipeline.last_trace
    info = trace.last_load_info if trace else None
    packages = [package for package in info.load_packages if has_data(package)] if info else []
    packages = packages or _before(pipeline)
    if packages:
        load_id = max(package.load_id for package in packages)
        committed = max(package.completed_at.timestamp() for package in packages)
        return LastLoad(pipeline.pipeline_name, load_id, committed, pipeline)
    is_forgotten = trace is None or pipeline.list_completed_load_packages()
    found = _newest_in_destination(pipeline) if is_forgotten else None
    return LastLoad(pipeline.pipeline_name, found, pipeline=pipeline) if found else None


def last_packages(pipeline: dlt.Pipeline) -> list[LoadPackageInfo]:
    """Return the packages that a pipeline loaded last, none where it had nothing to load.

    Packages of what dbt did are left out; after a load of nothing else it is the one before.

    Raises:
        TypeError: It is no pipeline.
        DBTCloudException: The last load failed, so that it is not known what there is to build.
    """
    steps = _check(pipeline)
    step = next((step for step in reversed(steps) if step.step in ("load", "run")), None)
    if step is None:
        return _before(pipeline)
    packages = step.step_info.load_packages if isinstance(step.step_info, LoadInfo) else []
    data = [package for package in packages if not has_only_results(package)]
    is_of_results = len(data) < len(packages) or (not packages and _extracts_results(steps))
    return _before(pipeline) if is_of_results and not any(map(has_data, data)) else data


def packages_since(pipeline: dlt.Pipeline, began: float) -> list[LoadPackageInfo]:
    """Return the packages of all loads that began after a moment, as far as they are on disk.

    Args:
        pipeline: The pipeline.
        began: The moment, in seconds since 1970; the last load is always among them.

    Raises:
        TypeError: It is no pipeline.
        DBTCloudException: The last load failed, so that it is not known what there is to build.
    """
    older = takewhile(lambda package: float(package.load_id) > began, _on_disk(pipeline))
    found = {package.load_id: package for package in (*older, *last_packages(pipeline))}
    return [found[load_id] for load_id in sorted(found)]


def note_failure(pipeline: dlt.Pipeline) -> None:
    """Note on this machine whether the last load of data failed.

    A load of what dbt did takes its place in dlt's trace.

    Raises:
        TypeError: It is no pipeline.
    """
    _check_type(pipeline)
    # while a load goes on, that before it is the one on disk
    trace = load_trace(pipeline.working_dir)
    steps = trace.steps if trace else []
    if steps and not _extracts_results(steps):
        failed = _failed_step(steps)
        noted = {"step": failed, "at": time.time()} if failed else {}
        if noted or _noted_failure(pipeline):
            pipeline.set_local_state_val(_FAILED, noted)


def _check(pipeline: dlt.Pipeline) -> list[PipelineStepTrace]:
    """Return the steps that a pipeline has taken, if the last load did not fail."""
    _check_type(pipeline)
    trace = pipeline.last_trace
    steps = trace.steps if trace else []
    is_told = steps and not _extracts_results(steps)
    failed = _failed_step(steps) if is_told else _noted_failure(pipeline)
    if failed:
        raise DBTCloudException(
            f"The last load of pipeline `{pipeline.pipeline_name}` failed in step `{failed}`. "
            "Load again, or leave `pipeline` out to run the job all the same."
        )
    return steps


def _check_type(pipeline: dlt.Pipeline) -> None:
    if not isinstance(pipeline, dlt.Pipeline):
        raise TypeError(f"`pipeline` is a `{type(pipeline).__name__}`. Pass a `dlt.Pipeline`.")


def _noted_failure(pipeline: dlt.Pipeline) -> str | None:
    """Return the step in which data failed before what dbt did was loaded, if none came since."""
    try:
        noted = pipeline.get_local_state_val(_FAILED)
    except KeyError:
        return None
    newest = next(_on_disk(pipeline), None)
    is_over = newest and noted and newest.completed_at.timestamp() > noted["at"]
    return None if is_over else noted.get("step")


def _extracts_results(steps: list[PipelineStepTrace]) -> bool:
    """Tell whether the newest extraction was of nothing but what dbt did."""
    infos = [step.step_info for step in steps if isinstance(step.step_info, ExtractInfo)]
    names = [data["name"] for data in infos[-1].extract_data_info] if infos else []
    return bool(names) and {*names} <= {RESULTS_SCHEMA, *RESULT_TABLES}


def _failed_step(steps: list[PipelineStepTrace]) -> str | None:
    """Return the step that failed since the last load that succeeded.

    dlt keeps those before in the trace.
    """
    ends = [
        number
        for number, step in enumerate(steps, start=1)
        if isinstance(step.step_info, LoadInfo) and not step.step_exception
    ]
    since = steps[max(ends, default=0) :]
    return next((step.step for step in since if step.step_exception), None)


def _newest_in_destination(pipeline: dlt.Pipeline) -> str | None:
    """Ask the destination, where this machine knows the pipeline but not what it has loaded."""
    names = [
        schema.name
        for schema in map(pipeline.schemas.__getitem__, pipeline.schema_names)
        if any(is_data(schema, table) for table in schema.data_table_names())
    ]
    if not names or pipeline.destination is None:
        return None
    places = ", ".join(["%s"] * len(names))
    try:
        with pipeline.sql_client() as client:
            loads = client.make_qualified_table_name(pipeline.default_schema.loads_table_name)
            rows = client.execute_sql(
                f"SELECT max(load_id) FROM {loads} WHERE status = 0 "  # noqa: S608, a known name
                f"AND schema_name IN ({places})",
                *names,
            )
    except DestinationUndefinedEntity:
        return None
    except Exception as error:
        raise DBTCloudException(
            f"What pipeline `{pipeline.pipeline_name}` has loaded is not known on this machine, "
            f"and its destination could not be asked: {type(error).__name__}. Run the job where "
            "the pipeline is run, or give its destination's credentials."
        ) from error
    return str(rows[0][0]) if rows and rows[0][0] else None


def _before(pipeline: dlt.Pipeline) -> list[LoadPackageInfo]:
    """Return the packages of the last load of data that the pipeline still has on disk."""
    packages = _on_disk(pipeline)
    newest = next(packages, None)
    if newest is None:
        return []
    # the packages of one load are all there before the first of them is completed
    began = float(newest.load_id)
    return [newest, *takewhile(lambda one: one.completed_at.timestamp() >= began, packages)]


def _on_disk(pipeline: dlt.Pipeline) -> Iterator[LoadPackageInfo]:
    """Yield the packages of data, the newest first."""
    for load_id in sorted(pipeline.list_completed_load_packages(), reverse=True):
        package = pipeline.get_load_package_info(load_id)
        if has_data(package):
            yield package


_ADOPTED = "dbt_cloud_adopted_run"


def remember_adopted(load: LastLoad, key: str, run_id: int) -> None:
    """Note, on this machine, which run of somebody else's serves a load: it has no key of ours.

    Args:
        load: The load.
        key: What a run of one's own would carry.
        run_id: The run.
    """
    if load.pipeline:
        noted = {"key": key, "run_id": run_id, "load_id": load.load_id}
        load.pipeline.set_local_state_val(_ADOPTED, noted)


def adopted_run(load: LastLoad, key: str | None = None) -> int | None:
    """Return the run that was noted for a load, or None.

    Args:
        load: The load.
        key: What a run of one's own would carry; without it, whatever that would be.
    """
    try:
        noted = load.pipeline.get_local_state_val(_ADOPTED) if load.pipeline else {}
    except KeyError:
        return None
    is_noted = noted.get("load_id") == load.load_id and key in (None, noted.get("key"))
    return noted["run_id"] if is_noted else None
