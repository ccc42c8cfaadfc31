"""Problems of a run are collected once, and logged as one warning."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.dbt import Unread
from dlt_dbtcloud.typing import Run

RUN = Run(id=7, is_complete=True, status_humanized="Success", href="https://dbt.test/7/")


def test_each_problem_is_logged_once_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems(7)
    for _ in range(2):
        problems.check(
            "`run_results.json` of step 4", [Unread("$.results[3].status", "model.shop.orders")]
        )
        problems.check("its manifest", [Unread('$.nodes["model.a.b"].tags', "model.a.b")])
        problems.check("its catalog", [Unread("$.nodes")], has_nodes=False)
    problems.warn(RUN, "Load it again.")
    assert [record.message for record in caplog.records] == [
        "Run 7 (Success) cannot be read completely: `run_results.json` of step 4 has "
        "`$.results[3].status` of `model.shop.orders` of an unexpected type; its manifest has "
        '`$.nodes["model.a.b"].tags` of an unexpected type; its catalog contains no nodes. '
        "Load it again. https://dbt.test/7/"
    ]


def test_a_warning_names_some_of_many_parts(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems(7)
    problems.check("its manifest", [Unread(f"$.nodes[{i}].tags") for i in range(10_000)])
    problems.warn(RUN)
    assert "`$.nodes[4].tags` and 9995 more of an unexpected type" in caplog.text
    assert len(caplog.text) < 500


def test_a_run_without_problems_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems(7)
    problems.check("its manifest", ())
    problems.warn(RUN, "Load it again.")
    assert not caplog.records
