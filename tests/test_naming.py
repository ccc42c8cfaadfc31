"""A run is named by what is known of it, and nothing else is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.naming import run_link, run_name

URL = "https://cloud.getdbt.com/deploy/1/projects/3/runs/7/"


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ({"id": 7, "job_definition_id": 5, "job": {"name": "Nightly"}}, 'Run 7 of job "Nightly"'),
        ({"id": 7, "job_definition_id": 5, "job": {"name": None}}, "Run 7 of job 5"),
        ({"id": 7, "job_definition_id": 5, "job": None}, "Run 7 of job 5"),
        ({"id": 7, "job_definition_id": None}, "Run 7"),
    ],
)
def test_a_run_is_named_with_its_job(run: Any, name: str) -> None:
    assert run_name(run) == name
    assert run_name(run, "run") == name.replace("Run", "run")


@pytest.mark.parametrize(
    ("run", "link"), [({"href": URL}, f" ({URL})"), ({"href": None}, ""), ({}, "")]
)
def test_a_link_is_there_where_the_api_gives_one(run: Any, link: str) -> None:
    assert run_link(run) == link
