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
from dlt_dbtcloud.loads import tables_of_load
from dlt_dbtcloud.report.page import Load, LoadedTable
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import Relation

__all__ = ["find_load"]


# tables that are matched with sources, one after the other
_MAX_MATCHED = 200


def find_load(run: Run, manifest: Manifest) -> Load | None:
    """Return the load in the cause of a run, or None.

    Its tables are known on the machine that has made it, and their rows until the next load.

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
        found = tables_of_load(pipeline, load_id) if pipeline else []
    return tuple(
        LoadedTable(
            relation.name,
            rows,
            _sources(relation, manifest) if position < _MAX_MATCHED else (),
        )
        for position, (relation, rows) in enumerate(found)
    )


@contextmanager
def _pipeline(name: str, load_id: str) -> Iterator[dlt.Pipeline | None]:
    """Yield the active pipeline if it made the load, else one on this machine."""
    current = Container()[PipelineContext]
    pipeline = cast(dlt.Pipeline, current.pipeline()) if current.is_active() else None
    # another folder may have a pipeline of the same name
    if (
        pipeline
        and pipeline.pipeline_name == name
        and load_id in pipeline.list_completed_load_packages()
    ):
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
