"""A row that runs share keeps the longest span and the latest catalog, in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from dlt_dbtcloud.columns import Row
from dlt_dbtcloud.versions import combined


def row(run_id: int, type_: str | None = None) -> Row:
    return {
        "first_run_id": run_id,
        "last_run_id": run_id,
        "columns": [{"name": "id", "type": type_}],
        "catalog_run_id": run_id if type_ else None,
    }


@pytest.mark.parametrize("order", [*permutations(range(4))])
def test_the_order_does_not_matter(order: tuple[int, ...]) -> None:
    rows = [row(1), row(2, "INTEGER"), row(3, "BIGINT"), row(4)]
    first, *others = [rows[i] for i in order]
    told = first
    for other in others:
        told = combined(told, other)
    assert told == {**row(3, "BIGINT"), "first_run_id": 1, "last_run_id": 4}


def test_json_that_the_destination_gives_as_text_is_read() -> None:
    stored: dict[str, Any] = {**row(1, "BIGINT"), "columns": '[{"name":"id","type":"BIGINT"}]'}
    assert combined(row(2), stored)["columns"] == [{"name": "id", "type": "BIGINT"}]


def test_edges_have_no_columns() -> None:
    edge = {"parent_unique_id": "a", "first_run_id": 2, "last_run_id": 2}
    other = {"first_run_id": 1, "last_run_id": 1}
    assert combined(edge, other) == {**edge, "first_run_id": 1}
