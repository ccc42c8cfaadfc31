"""Problems of a run are collected once, and logged as one warning."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.artifacts.problems import Problems, unexpected_in_results
from dlt_dbtcloud.typing import Run, RunStep


@pytest.mark.parametrize("content", [{}, {"results": 7}, {"results": {}}, {"results": ["x"]}])
def test_malformed_results_are_named(content: Any) -> None:
    assert unexpected_in_results(content) == ["results"]


def test_each_problem_is_logged_once_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems(7)
    for _ in range(2):
        problems.check_results({}, RunStep(index=4))
        problems.check_manifest({})
    run = Run(id=7, is_complete=True, status_humanized="Success", href="https://dbt.test/7/")
    problems.warn(run, "Load it again.")
    assert [record.message for record in caplog.records] == [
        "Run 7 (Success) cannot be read completely: `run_results.json` of step 4 has `results` of "
        "an unexpected type; its manifest contains no nodes. Load it again. https://dbt.test/7/"
    ]


def test_a_run_without_problems_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    Problems(7).warn(Run(id=7, is_complete=True), "Load it again.")
    assert not caplog.records
