"""The load that a run is for, with its tables if this machine has loaded them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import dlt
from dlt.common.configuration.container import Container
from dlt.common.exceptions import DltException
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime.run_context import active

from dlt_dbtcloud.cause import bound_load
from dlt_dbtcloud.dbt import Manifest, match_sources
from dlt_dbtcloud.loads import loaded_relations, tables_by_load
from dlt_dbtcloud.report.page import Load, LoadedTable
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import Relation

__all__ = ["find_load"]


# tables that are matched with sources, one after the other
_MAX_MATCHED = 200


def find_load(run: Run, manifest: Manifest) -> Load | None:
    """Return the load in the cause of a run, or None.

    Its tables are known if it is the last load of a pipeline on this machine.

    Args:
        run: The run, read with its trigger.
        manifest: The manifest of the run, with the sources that declare tables.
    """
    bound = bound_load(run)
    if bound is None:
        return None
    try:
        tables = _tables(bound.pipeline_name, bound.load_id, manifest)
    except (DltException, OSError):
        tables = ()
    return Load(bound.pipeline_name, bound.load_id, tables)


def _tables(name: str, load_id: str, manifest: Manifest) -> tuple[LoadedTable, ...]:
    with _pipeline(name, load_id) as pipeline:
        of_loads = tables_by_load(pipeline) if pipeline else {}
        if not pipeline or load_id not in of_loads:
            return ()
        relations = loaded_relations(pipeline)
    rows: dict[str, int | None] = {}
    for tables in of_loads.values():
        for table, count in tables.items():
            before = rows.get(table, 0)
            rows[table] = None if before is None or count is None else before + count
    return tuple(
        LoadedTable(
            each.name,
            rows.get(each.table or each.name),
            _sources(each, manifest) if position < _MAX_MATCHED else (),
        )
        for position, each in enumerate(relations)
    )


@contextmanager
def _pipeline(name: str, load_id: str) -> Iterator[dlt.Pipeline | None]:
    """Yield the active pipeline with the load, or one on this machine; the active one stays so."""
    current = Container()[PipelineContext]
    pipeline = cast(dlt.Pipeline, current.pipeline()) if current.is_active() else None
    # another folder may have a pipeline of the same name
    if pipeline and pipeline.pipeline_name == name and load_id in tables_by_load(pipeline):
        yield pipeline
        return
    # the name is foreign, and dlt would make a folder for an unknown pipeline
    folder = Path(active().get_data_entity("pipelines"), name)
    if Path(name).name != name or not (folder / "state.json").is_file():
        yield None
        return
    with Container().injectable_context(PipelineContext()):
        yield dlt.attach(name)


def _sources(relation: Relation, manifest: Manifest) -> tuple[str, ...]:
    return match_sources([relation], manifest).sources if manifest else ()
