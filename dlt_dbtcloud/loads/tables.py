"""Tables that a load has changed, with their rows and their places in the destination."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import cast

import dlt
from dlt.common.pipeline import LoadInfo, NormalizeInfo
from dlt.common.schema import Schema
from dlt.common.schema.utils import get_root_table, has_table_seen_data
from dlt.common.storages.exceptions import LoadPackageNotFound
from dlt.common.storages.load_package import LoadPackageInfo

from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.loads.packages import (
    has_only_results,
    is_data,
    last_packages,
    packages_of,
    packages_since,
)
from dlt_dbtcloud.loads.places import configuration_of, place_of
from dlt_dbtcloud.values import Relation

__all__ = [
    "loaded_relations",
    "loaded_tables",
    "tables_by_load",
    "tables_by_schema",
    "tables_of_load",
]


_RowCounts = Mapping[str, Mapping[str, int]]


def loaded_tables(
    pipeline_or_load_info: dlt.Pipeline | LoadInfo | None,
) -> dict[str, int | None]:
    """Return the tables that a load has changed, by their names in the destination.

    Nested tables are included; dlt's own tables and those of dbt's results are not. A table that
    a `replace` or a refresh has emptied has changed, and is listed with 0 rows.

    Args:
        pipeline_or_load_info: A pipeline, for its last load, or the `LoadInfo` that its `run`
            returned, which is None if there was nothing to load.

    Returns:
        The number of rows loaded into each table, as counted by dlt; None if it is not known,
        because the pipeline has run again, or the `LoadInfo` is from a trace on disk.

    Raises:
        TypeError: It is neither a pipeline nor a load info.
        DBTCloudException: The load failed, so the tables to build from are unknown.
    """
    tables: dict[str, int | None] = {}
    for of_schema in tables_by_schema(pipeline_or_load_info).values():
        for table, rows in of_schema.items():
            tables[table] = _sum(tables.get(table, 0), rows)
    return tables


def tables_by_schema(
    pipeline_or_load_info: dlt.Pipeline | LoadInfo | None, since: float | None = None
) -> dict[str, dict[str, int | None]]:
    """Return the tables of `loaded_tables` grouped by dlt schema.

    Args:
        pipeline_or_load_info: As for `loaded_tables`.
        since: With a pipeline, also include the loads that began after this time, in seconds since
            1970.

    Raises:
        TypeError: It is neither a pipeline nor a load info.
        DBTCloudException: The load failed, so the tables to build from are unknown.
    """
    pipeline = _pipeline_of(pipeline_or_load_info)
    tables: dict[str, dict[str, int | None]] = {}
    for package, of_package in _with_tables(_packages(pipeline_or_load_info, since), pipeline):
        of_schema = tables.setdefault(package.schema_name, {})
        for table, rows in of_package.items():
            of_schema[table] = _sum(of_schema.get(table, 0), rows)
    return tables


def tables_by_load(pipeline: dlt.Pipeline) -> dict[str, dict[str, int | None]]:
    """Return the tables of a pipeline's last load grouped by load id.

    Raises:
        TypeError: It is not a pipeline.
        DBTCloudException: The load failed, so the tables to build from are unknown.
    """
    found = _with_tables(last_packages(pipeline), pipeline)
    return {package.load_id: tables for package, tables in found if tables}


def loaded_relations(
    pipeline_or_load_info: dlt.Pipeline | LoadInfo | None, since: float | None = None
) -> list[Relation]:
    """Return the tables that a load has changed, with their datasets and databases.

    Neither a connection nor credentials are needed; fields that only they provide are None.

    Args:
        pipeline_or_load_info: As for `loaded_tables`.
        since: As for `tables_by_schema`.

    Raises:
        TypeError: It is neither a pipeline nor a load info.
        DBTCloudException: The load failed, so the tables to build from are unknown.
    """
    return _relations(_packages(pipeline_or_load_info, since), _pipeline_of(pipeline_or_load_info))


def tables_of_load(pipeline: dlt.Pipeline, load_id: str) -> list[tuple[Relation, int | None]]:
    """Return the tables that a load has changed, with the number of rows loaded into each.

    The load does not have to be the last one, but must be one of this machine. The rows are known
    as long as dlt's last trace is of this load.

    Args:
        pipeline: The pipeline.
        load_id: The id of its newest package.
    """
    packages = packages_of(pipeline, load_id)
    rows: dict[str, int | None] = {}
    for _, of_package in _with_tables(packages, pipeline):
        for table, count in of_package.items():
            rows[table] = _sum(rows.get(table, 0), count)
    relations = _relations(packages, pipeline)
    return [(each, rows.get(each.table or each.name)) for each in relations]


def _relations(
    packages: Iterable[LoadPackageInfo], pipeline: dlt.Pipeline | None
) -> list[Relation]:
    tables: dict[str, set[str]] = {}
    for package in packages:
        tables.setdefault(package.schema_name, set()).update(_changed(package, pipeline))
    configuration = configuration_of(pipeline) if pipeline and tables else None
    relations: list[Relation] = []
    for schema_name, of_schema in tables.items():
        place = Relation("")
        if pipeline:
            # the schema of a package from another process has lost its naming convention
            place = place_of(pipeline, pipeline.schemas[schema_name], configuration)
        named = (replace(place, name=place.name + name, table=name) for name in sorted(of_schema))
        relations += named
    return relations


def _pipeline_of(pipeline_or_load_info: dlt.Pipeline | LoadInfo | None) -> dlt.Pipeline | None:
    """Return the pipeline of a load info, or None if it is not known.

    Raises:
        TypeError: It is neither a pipeline nor a load info.
    """
    if pipeline_or_load_info is None or isinstance(pipeline_or_load_info, dlt.Pipeline):
        return pipeline_or_load_info
    if isinstance(pipeline_or_load_info, LoadInfo):
        pipeline = pipeline_or_load_info.pipeline
        # that of a trace on disk has its names only, as dlt pickles no more of it
        is_whole = isinstance(pipeline, dlt.Pipeline) and hasattr(pipeline, "last_trace")
        return cast(dlt.Pipeline, pipeline) if is_whole else None
    raise TypeError(
        f"`pipeline_or_load_info` is a `{type(pipeline_or_load_info).__name__}`. "
        "Pass a `dlt.Pipeline`, or the `LoadInfo` that its `run` or `load` returned."
    )


def _packages(
    pipeline_or_load_info: dlt.Pipeline | LoadInfo | None, since: float | None
) -> list[LoadPackageInfo]:
    if isinstance(pipeline_or_load_info, dlt.Pipeline):
        if since is not None:
            return packages_since(pipeline_or_load_info, since)
        return last_packages(pipeline_or_load_info)
    packages = pipeline_or_load_info.load_packages if pipeline_or_load_info else []
    unfinished = next((package for package in packages if package.state != "loaded"), None)
    if unfinished:
        raise DBTCloudException(
            f"Package `{unfinished.load_id}` was not loaded; it is `{unfinished.state}`. "
            "Load it, or load again."
        )
    return [package for package in packages if not has_only_results(package)]


def _with_tables(
    packages: Iterable[LoadPackageInfo], pipeline: dlt.Pipeline | None
) -> Iterator[tuple[LoadPackageInfo, dict[str, int | None]]]:
    """Yield packages with the rows of each table that they have changed."""
    counts = _row_counts(pipeline)
    for package in packages:
        rows = _rows(package, counts.get(package.load_id))
        yield package, {table: rows(table) for table in sorted(_changed(package, pipeline))}


def _changed(package: LoadPackageInfo, pipeline: dlt.Pipeline | None) -> set[str]:
    """Return the tables that a package has filled or emptied."""
    schema = package.schema
    with_jobs = {job.job_file_info.table_name for jobs in package.jobs.values() for job in jobs}
    filled = with_jobs.intersection(schema.tables)
    beside = _replaced_with(schema, filled)
    tables = with_jobs | beside | set(_refreshed(package, pipeline))
    return {table for table in tables if is_data(schema, table)}


def _replaced_with(schema: Schema, filled: Iterable[str]) -> set[str]:
    """Return the nested tables that lose rows when some tables are replaced or merged."""
    roots = (get_root_table(schema.tables, table) for table in filled)
    replaced = {
        str(root["name"]) for root in roots if root.get("write_disposition") in ("replace", "merge")
    }
    return {
        name
        for name, table in schema.tables.items()
        if has_table_seen_data(table)
        and str(get_root_table(schema.tables, name)["name"]) in replaced
    }


def _refreshed(package: LoadPackageInfo, pipeline: dlt.Pipeline | None) -> Iterator[str]:
    """Yield the tables that the refresh mode of a load has dropped or emptied."""
    if pipeline is None:
        return
    with suppress(LoadPackageNotFound):
        state = pipeline.get_load_package_state(package.load_id)
        for table in (*state.get("dropped_tables", ()), *state.get("truncated_tables", ())):
            yield str(table["name"])


def _row_counts(pipeline: dlt.Pipeline | None) -> _RowCounts:
    """Return the row counts in the last trace, by load id and table."""
    trace = pipeline.last_trace if pipeline else None
    infos = [step.step_info for step in trace.steps] if trace else []
    return {
        load_id: {table: count.items_count for table, count in metrics["table_metrics"].items()}
        for info in infos
        if isinstance(info, NormalizeInfo)
        for load_id, of_package in info.metrics.items()
        for metrics in of_package
    }


def _rows(
    package: LoadPackageInfo, counts: Mapping[str, int] | None
) -> Callable[[str], int | None]:
    """Return a function from a table of a package to its loaded rows, if known."""
    failed = {job.job_file_info.table_name for job in package.jobs["failed_jobs"]}
    queried = {
        job.job_file_info.table_name
        for job in package.jobs["completed_jobs"]
        if job.job_file_info.file_format == "model"
    }

    def rows(table: str) -> int | None:
        if counts is None or table in failed or table in queried:
            return None
        return counts.get(table, 0)

    return rows


def _sum(rows: int | None, more: int | None) -> int | None:
    return None if rows is None or more is None else rows + more
