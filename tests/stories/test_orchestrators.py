"""docs/orchestrators.md shows the examples, and those that need no orchestrator run."""

from __future__ import annotations

import inspect
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.pages import DOCS, ROOT, blocks
from tests.support.processes import run

EXAMPLES = ROOT / "examples" / "orchestrators"
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


def test_cron_loads_builds_and_loads_the_results(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(cloud.create_job("Nightly", duration=0.5)))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (isolated / "shop.py").write_text((EXAMPLES / "shop.py").read_text())
    (line,) = shown("text")
    command = re.sub(r"^(\S+ ){5}", "", line).replace("/srv/shop", str(isolated))
    done = run(["sh", "-c", command])
    log = (isolated / "shop.log").read_text()
    assert done.returncode == 0, log
    (built,) = cloud.runs
    assert log.endswith(f"dbt Cloud run: {built['id']}\n")
    assert str(built["href"]) in log


def test_the_workflow_configures_the_job_and_leaves_it_enough_time() -> None:
    job = workflow()
    keys = {name.removeprefix("DBT_CLOUD__").lower() for name in job["env"]}
    assert keys <= {*DBTCloudConfiguration.get_resolvable_fields()}
    shop = runpy.run_path(str(EXAMPLES / "shop.py"), run_name="shop")
    (timeout,) = re.findall(r"timeout=(\d+)", inspect.getsource(shop["build"]))
    assert job["timeout-minutes"] * SECONDS_PER_MINUTE > int(timeout)


def test_the_workflow_runs_the_example() -> None:
    command = workflow()["steps"][-1]["run"]
    assert command.split()[0] == "python"
    assert (ROOT / command.split()[1]) == EXAMPLES / "shop.py"
