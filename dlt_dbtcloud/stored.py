"""What the destination of the active pipeline has already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.exceptions import DltException
from dlt.common.json import json
from dlt.common.pipeline import PipelineContext

from dlt_dbtcloud.loads import RESULTS_SCHEMA

__all__ = ["active_pipeline", "from_json", "stored"]

_CHUNK = 10_000


def active_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that runs, or was made last."""
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    return pipeline if isinstance(pipeline, dlt.Pipeline) else None


def stored(table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table; none where it is new, or cannot be read, which is said.

    Args:
        table: One of the tables that tell what dbt did.
        columns: What to read of it.
    """
    pipeline = active_pipeline()
    schema = pipeline.schemas.get(RESULTS_SCHEMA) if pipeline else None
    if not pipeline or not schema or table not in schema.data_table_names(seen_data_only=True):
        return
    try:
        yield from _select(pipeline, table, columns)
    except DltException as error:
        logger.warning(
            f"`{table}` cannot be read from the destination: what earlier loads told of the rows "
            f"that are loaded again is not kept. {error}"
        )


def from_json(value: Any) -> Any:
    """Return what a JSON column holds, which some destinations give as text."""
    return json.loads(value) if isinstance(value, str) else value


def _select(
    pipeline: dlt.Pipeline, table: str, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    with pipeline.sql_client(RESULTS_SCHEMA) as client:
        names = ", ".join(map(client.escape_column_name, columns))
        place = client.make_qualified_table_name(table)
        with client.execute_query(f"SELECT {names} FROM {place}") as cursor:  # noqa: S608, all ours
            while chunk := cursor.fetchmany(_CHUNK):
                yield from map(tuple, chunk)
