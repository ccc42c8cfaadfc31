"""Recorded runs of dbt Fusion on the orchard are replayed, and recorded again to compare."""

from __future__ import annotations

from pathlib import Path

import dlt
import pytest

from dlt_dbtcloud import (
    dbt_cloud_results,
    get_dbt_cloud_run_results,
    materialized_assets,
    openlineage_events,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.emulator_api import Api
from tests.support.fusion import SCENARIOS
from tests.support.nodes import warnings_of
from tests.support.openlineage_schema import validate
from tests.support.recordings import comparable, load, record, replayed_job
from tests.support.results import requested_files, rows

# with `--fail-fast`, dbt Fusion ends in one of several ways each time
REPEATABLE = [name for name, scenario in SCENARIOS.items() if not scenario.ending]


@pytest.mark.fusion
@pytest.mark.parametrize("name", REPEATABLE)
def test_dbt_fusion_behaves_as_recorded(name: str, tmp_path: Path, fusion: str) -> None:
    again = record(SCENARIOS[name], tmp_path, fusion)
    assert comparable(again) == comparable(load(name))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_replayed_run_has_the_recorded_log_and_artifacts(
    cloud: DBTCloudEmulator, tmp_path: Path, name: str
) -> None:
    recording, api = load(name), Api(cloud)
    with api.session:
        run = api.ended(api.trigger(replayed_job(cloud, tmp_path, name))["id"])
        assert run["dbt_version"] == "2.0.0-preview.196"
        steps = run["run_steps"][3:]
        # a step that fails ends the run
        for recorded, step in zip(recording, steps, strict=False):
            assert recorded["command"] in step["name"]
            assert step["logs"].splitlines()[:-1] == recorded["log"]
            assert step["status"] == (20 if recorded["exit_code"] else 10)
            path = f"/runs/{run['id']}/artifacts/"
            for file, content in recorded["artifacts"].items():
                assert api.get(path + file, step=step["index"]).json() == content


def test_results_of_dbt_fusion_have_the_words_of_dbt_core(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    run = run_dbt_cloud_job(job_id=replayed_job(cloud, tmp_path, "failures"))
    results = {each["unique_id"]: each for each in get_dbt_cloud_run_results(run_id=run["id"])}
    assert run["is_error"]
    assert {name.split(".", 2)[2]: each["status"] for name, each in results.items()} == {
        "sorts": "success",
        "accepted_values_sorts_colour__green.8fe3cfa0e2": "fail",
        "sorts_history": "success",
        "prices.v1": "skipped",
        "prices.v2": "skipped",
        # ephemeral
        "picked": "no-op",
        "juice": "success",
        "not_null_juice_sort.6ccb8de2f4": "pass",
        "accepted_values_juice_sort__boskoop.0f153b8989": "warn",
        "broken": "error",
        "after_broken": "skipped",
    }


def test_assets_of_dbt_fusion_have_columns_of_a_catalog_that_a_build_wrote(
    cloud: DBTCloudEmulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_dbt_cloud_job(job_id=replayed_job(cloud, tmp_path, "built"))
    assets = {asset["identifier"]: asset for asset in materialized_assets(run)}
    assert set(assets) == {"juice", "prices_v1", "price_list", "sorts", "sorts_history"}
    juice = assets["juice"]
    assert juice["relation_name"] == '"orchard"."marts"."juice"'
    assert [source["identifier"] for source in juice["upstream"]] == ["harvest_2025"]
    metadata = juice["metadata"]
    assert metadata["columns"] == [
        {"name": "sort", "type": "VARCHAR", "description": "Of apples."},
        {"name": "litres", "type": "DOUBLE", "description": None},
    ]
    assert (metadata["owners"], metadata["tags"]) == (["press@example.com"], ["liquid"])
    assert metadata["dbt_version"] == "2.0.0-preview.196"
    # dbt Fusion does not count the rows of tables on DuckDB
    assert metadata["rows_affected"] is None
    assert assets["sorts"]["metadata"]["rows_affected"] == 1
    # `dbt docs generate` was the last step
    assert requested_files(cloud).count("catalog.json") == 1
    assert warnings_of(run, caplog) == []


def test_lineage_of_dbt_fusion_is_valid_and_has_queries_and_messages(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    run = run_dbt_cloud_job(job_id=replayed_job(cloud, tmp_path, "failures"))
    events = openlineage_events(run)
    for event in events:
        validate(event)
    ended = {each["job"]["name"].split(".", 1)[-1]: each for each in events}
    juice = ended["model.orchard.juice"]
    assert juice["eventType"] == "COMPLETE"
    assert "harvest_2025" in juice["job"]["facets"]["sql"]["query"]
    failed = ended["test.orchard.accepted_values_sorts_colour__green.8fe3cfa0e2"]
    assert failed["eventType"] == "FAIL"
    message = failed["run"]["facets"]["errorMessage"]["message"]
    assert message == "Got 1 result, configured to fail if != 0"
    assert "model.orchard.picked" not in ended
    assert "model.orchard.prices.v1" not in ended


def test_tables_of_dbt_fusion_have_times_versions_and_freshness(
    cloud: DBTCloudEmulator, tmp_path: Path, pipeline: dlt.Pipeline
) -> None:
    built = run_dbt_cloud_job(job_id=replayed_job(cloud, tmp_path, "built"))
    stale = run_dbt_cloud_job(job_id=replayed_job(cloud, tmp_path, "stale_source"))
    pipeline.run(dbt_cloud_results())
    assert rows(pipeline, "SELECT DISTINCT dbt_version FROM dbt_runs") == [("2.0.0-preview.196",)]
    late = "SELECT run_id, status, age_seconds > 86400 FROM dbt_source_freshness"
    assert rows(pipeline, late) == [(stale["id"], "error", True)]
    ((count, seconds),) = rows(
        pipeline,
        "SELECT count(*), max(epoch(completed_at - started_at)) FROM dbt_node_results "
        "WHERE status = 'success' AND completed_at > started_at",
    )
    assert count == 5
    assert seconds < 60
    typed = "SELECT columns->0->>'type', catalog_run_id FROM dbt_nodes WHERE name = 'juice'"
    assert ("VARCHAR", built["id"]) in rows(pipeline, typed)
    ((log,),) = rows(pipeline, "SELECT log_tail FROM dbt_run_steps WHERE log_tail IS NOT NULL")
    assert "[StaleSource (dbt1063)]" in log
    assert "<unknown>" not in log
