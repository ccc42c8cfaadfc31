"""docs/orchestrators.md shows the examples, and those that need no orchestrator run."""

from __future__ import annotations

import inspect
import os
import re
import runpy
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.dbt.results import RUN_RESULTS, nightly, rows
from tests.support.docs.pages import DOCS, ROOT, blocks
from tests.support.processes.children import run

EXAMPLES = ROOT / "examples" / "orchestrators"
EXAMPLE = EXAMPLES / "shop.py"
(PAGE,) = [page for page in DOCS if page.stem == "orchestrators"]
SECONDS_PER_MINUTE = 60


def shown(language: str) -> list[str]:
    return [block.code for block in blocks(language) if block.page == PAGE]


def workflow() -> dict[str, Any]:
    return dict(yaml.safe_load((EXAMPLES / "github_actions.yml").read_text())["jobs"]["shop"])


def test_the_page_shows_the_examples() -> None:
    files = {path.read_text() for path in EXAMPLES.iterdir() if path.is_file()}
    (notebook,) = {*shown("python"), *shown("yaml")} - files
    assert "get_dbt_cloud_run_results" in notebook
    assert files <= {*shown("python"), *shown("yaml")}


def test_cron_runs_the_example_in_its_folder_and_keeps_its_log(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    stand_in = isolated / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$PWD: $@"\necho failed >&2\n')
    stand_in.chmod(0o700)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    (line,) = shown("text")
    command = re.sub(r"^(\S+ ){5}", "", line).replace("/srv/shop", str(isolated))
    for runs in (1, 2):
        assert run(["sh", "-c", command]).returncode == 0
        log = f"{isolated}: {EXAMPLE.name}\nfailed\n"
        assert (isolated / "shop.log").read_text() == runs * log


def test_the_example_loads_builds_and_loads_the_results(
    cloud: DBTCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    isolated: Path,
) -> None:
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(nightly(cloud, duration=0.1)))
    # the folders that it makes
    monkeypatch.setattr(tempfile, "tempdir", str(isolated))
    # opened once, and not for each step of a load
    with duckdb.connect("shop.duckdb"):
        names = runpy.run_path(str(EXAMPLE), run_name="__main__")
    (built,) = cloud.runs
    done = capsys.readouterr()
    assert done.out == f"dbt Cloud run: {built['id']}\n"
    assert str(built["href"]) in done.err
    query = "SELECT run_id, unique_id FROM dbt_runs JOIN dbt_node_results USING (run_id)"
    expected = [(built["id"], node["unique_id"]) for node in RUN_RESULTS["results"]]
    assert sorted(rows(names["shop"](), query)) == expected


def test_the_workflow_configures_the_job_and_leaves_it_enough_time() -> None:
    job = workflow()
    keys = {name.removeprefix("DBT_CLOUD__").lower() for name in job["env"]}
    assert keys <= {*DBTCloudConfiguration.get_resolvable_fields()}
    shop = runpy.run_path(str(EXAMPLE), run_name="shop")
    (timeout,) = re.findall(r"timeout=(\d+)", inspect.getsource(shop["build"]))
    assert job["timeout-minutes"] * SECONDS_PER_MINUTE > int(timeout)


def test_the_workflow_runs_the_example() -> None:
    command = workflow()["steps"][-1]["run"]
    assert command.split()[0] == "python"
    assert (ROOT / command.split()[1]) == EXAMPLE
