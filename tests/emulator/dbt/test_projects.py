"""Builds, overrides, failures, retries and cancellation with real dbt Core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import until
from tests.support.projects.tiny import MODELS
from tests.support.servers.emulator_api import Api

pytestmark = pytest.mark.dbt
SLOW = "select count(*) as n from range(10000000) a, range(10000000) b where a.range <> b.range"


def _query(database: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(database)) as connection:
        return connection.execute(sql).fetchall()


def _statuses(run: Any) -> list[int]:
    return [step["status"] for step in run["run_steps"]]


def _files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_job_builds_its_project_and_names_itself_in_the_artifacts(
    cloud: DBTCloudEmulator, api: Api, tiny: Path
) -> None:
    before = _files(tiny)
    job = cloud.create_job("Build", project_dir=tiny, generate_docs=True)
    run = api.ended(api.trigger(job)["id"])
    assert (run["status"], _statuses(run)) == (10, [10] * 5), run["run_steps"][-1]["logs"]
    assert _query(tiny / "tiny.duckdb", "select id, target from numbers") == [(1, "dev")]
    build = run["run_steps"][3]
    assert build["name"] == "Invoke dbt with `dbt build`"
    assert all(name in build["logs"] for name in ("numbers", "doubled"))
    assert len(build["debug_logs"]) > len(build["logs"])
    files = f"/runs/{run['id']}/artifacts"
    results = api.get(f"{files}/run_results.json", step=4).json()
    assert [result["status"] for result in results["results"]] == ["success", "pass", "success"]
    assert "catalog.json" in api.data(f"{files}/")
    assert "compiled/tiny/models/numbers.sql" in api.data(f"{files}/", step=4)
    manifest = api.get(f"{files}/manifest.json").json()["metadata"]
    assert manifest["project_name"] == "tiny"
    assert manifest["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])
    assert manifest["env"]["DBT_CLOUD_JOB_ID"] == str(job)
    assert manifest["env"]["DBT_CLOUD_RUN_REASON"] == "A test"
    assert run["dbt_version"] == results["metadata"]["dbt_version"]
    assert run["has_docs_generated"] is True
    assert _files(tiny) == sorted([*before, "tiny.duckdb"])


def test_overrides_change_the_built_tables(cloud: DBTCloudEmulator, api: Api, tiny: Path) -> None:
    job = cloud.create_job("Build", project_dir=tiny, generate_docs=True)
    overrides: dict[str, Any] = {
        "schema_override": "pr_7",
        "target_name_override": "ci",
        "threads_override": 3,
        "steps_override": ["dbt run --select numbers"],
        "generate_docs_override": False,
    }
    run = api.ended(api.trigger(job, **overrides)["id"])
    assert _statuses(run) == [10] * 4, run["run_steps"][-1]["logs"]
    assert _query(tiny / "tiny.duckdb", "select * from pr_7.numbers") == [(1, "ci", 3)]
    overrides = {**overrides, "schema_override": None, "target_name_override": "prod"}
    prod = api.ended(api.trigger(job, **overrides)["id"])
    assert prod["status"] == 10
    assert _query(tiny / "prod.duckdb", "select target from main.numbers") == [("prod",)]


def test_a_failed_build_is_retried_from_its_failure(
    cloud: DBTCloudEmulator, api: Api, tiny: Path
) -> None:
    (tiny / "models" / "doubled.sql").write_text("select no_such_column from {{ ref('numbers') }}")
    job = cloud.create_job("Build", project_dir=tiny, execute_steps=["dbt build", "dbt test"])
    failed = api.ended(api.trigger(job, schema_override="pr_8")["id"])
    assert (failed["status"], failed["can_retry"]) == (20, True)
    assert _statuses(failed) == [10, 10, 10, 20]
    assert "no_such_column" in failed["run_steps"][-1]["logs"]

    (tiny / "models" / "doubled.sql").write_text(MODELS["doubled.sql"])
    retry = api.ended(api.post(f"/runs/{failed['id']}/retry/").json()["data"]["id"])
    assert _statuses(retry) == [10] * 5, retry["run_steps"][-1]["logs"]
    path = f"/runs/{retry['id']}/artifacts/run_results.json"
    results = api.get(path, step=4).json()["results"]
    assert [result["unique_id"] for result in results] == ["model.tiny.doubled"]
    assert _query(tiny / "tiny.duckdb", "select id from pr_8.doubled") == [(2,)]


def test_a_project_that_does_not_compile_ends_in_an_error(
    cloud: DBTCloudEmulator, api: Api, tiny: Path
) -> None:
    (tiny / "models" / "doubled.sql").write_text("select * from {{ ref('no_such_model') }}")
    run = api.ended(api.trigger(cloud.create_job("Broken", project_dir=tiny))["id"])
    assert (run["status"], run["retry_not_supported_reason"]) == (20, "RETRY_NO_RUN_RESULTS")
    assert "no_such_model" in run["run_steps"][-1]["logs"]


def test_cancel_stops_a_running_query(cloud: DBTCloudEmulator, api: Api, tiny: Path) -> None:
    (tiny / "models" / "doubled.sql").write_text(SLOW)
    run = api.trigger(cloud.create_job("Slow", project_dir=tiny))["id"]
    until(lambda: "START sql table model main.doubled" in _last_log(api, run))
    api.post(f"/runs/{run}/cancel/")
    ended = api.ended(run)
    assert (ended["status"], _statuses(ended)) == (30, [10, 10, 10, 30])
    # the database is no longer locked
    assert _query(tiny / "tiny.duckdb", "select 1") == [(1,)]


def _last_log(api: Api, run_id: int) -> str:
    steps = api.run(run_id, "run_steps")["run_steps"]
    return str(steps[-1]["logs"]) if steps else ""
