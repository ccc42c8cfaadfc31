"""Whatever the API says of a run, each column gets what it holds or nothing, and no secret."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dlt_dbtcloud.columns import TABLES, Row
from dlt_dbtcloud.listing import RELATED
from dlt_dbtcloud.rows import run_row, step_rows
from dlt_dbtcloud.typing import Run, RunStep

TYPES: dict[str | None, type] = {
    "bigint": int,
    "bool": bool,
    "double": float,
    "text": str,
    "timestamp": datetime,
}
ODD: list[Any] = [None, {"a": 1}, [1], [None], "odd", True, 2**70, float("nan")]


def assert_fits(table: str, row: Row) -> None:
    columns = TABLES[table]
    assert set(row) == set(columns)
    for name, value in row.items():
        if value is None:
            assert columns[name]["nullable"], name
        elif columns[name]["data_type"] != "json":
            assert type(value) is TYPES[columns[name]["data_type"]], name


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_about_a_run_has_no_column(odd: Any) -> None:
    told: Any = dict.fromkeys((*Run.__annotations__, *RELATED), odd)
    told["id"] = 7
    assert_fits("dbt_runs", run_row(told, str))
    nested: Any = {
        "id": 7,
        "trigger": dict.fromkeys(TABLES["dbt_runs"], odd),
        "job": {"name": odd},
        "audit": {"trigger": {"actor": {"name": odd, "type": odd}}},
    }
    assert_fits("dbt_runs", run_row(nested, str))


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_about_a_step_has_no_column(odd: Any) -> None:
    told: Any = dict.fromkeys(RunStep.__annotations__, odd)
    run: Any = {"id": 7, "run_steps": [told, {**told, "status": 20}, odd]}
    for row in step_rows(run, str):
        assert_fits("dbt_run_steps", row)
    assert [*step_rows({"id": 7, "run_steps": odd}, str)] == []


def test_what_is_as_it_should_be_is_kept() -> None:
    step = RunStep(index=4, id=9, name="Invoke dbt with `dbt build`", status=20, logs="Oh no")
    (row,) = step_rows(Run(id=7, run_steps=[{**step, "duration": "00:01:02"}]), str)
    assert_fits("dbt_run_steps", row)
    assert {name: value for name, value in row.items() if value is not None} == {
        "run_id": 7,
        "step_index": 4,
        "step_id": 9,
        "name": step["name"],
        "command": "dbt build",
        "status": 20,
        "duration_seconds": 62.0,
        "log_tail": "Oh no",
    }
