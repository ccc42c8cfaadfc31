"""A shared load is made once, and stays as it is, also if copies of it change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud.loads import last_load
from tests.support.dbt.results import rows
from tests.support.loading.loads import SharedLoads, load_tables


def load(pipeline: dlt.Pipeline) -> None:
    load_tables(pipeline, "planes")


def note_a_value(pipeline: dlt.Pipeline) -> None:
    pipeline.set_local_state_val("seen", True)


def replace_the_destination(pipeline: dlt.Pipeline) -> None:
    elsewhere: Any = dlt.destinations.duckdb("elsewhere.duckdb")
    pipeline.destination = elsewhere


def test_a_load_is_shared_by_its_name_and_tables(shared_loads: SharedLoads) -> None:
    with (
        shared_loads.pipeline("flights", load_tables, "airlines") as first,
        shared_loads.pipeline("flights", load_tables, "airlines") as second,
        shared_loads.pipeline("flights", load_tables, "planes") as other,
    ):
        assert first is second is not other
        assert first.list_completed_load_packages() != other.list_completed_load_packages()


@pytest.mark.parametrize("change", [load, note_a_value, replace_the_destination])
def test_a_change_of_a_shared_load_is_an_error(tmp_path: Path, change: Callable[..., None]) -> None:
    loads = SharedLoads(tmp_path)
    with (
        pytest.raises(AssertionError, match="has changed a shared pipeline"),
        loads.pipeline("flights", lambda _: None) as pipeline,
    ):
        change(pipeline)


def test_a_copy_has_the_load_and_can_be_changed(shared_loads: SharedLoads) -> None:
    with shared_loads.pipeline("flights", load_tables, "airlines") as shared:
        copy = shared_loads.copy("flights", load_tables, "airlines")
        assert last_load(copy) == last_load(shared)
        load_tables(copy, "airlines")
        assert rows(copy, "SELECT count(*) FROM airlines") == [(2,)]
        assert rows(shared, "SELECT count(*) FROM airlines") == [(1,)]
