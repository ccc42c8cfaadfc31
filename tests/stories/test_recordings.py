"""Recorded runs of dbt Core and dbt Fusion are replayed, and recorded again to compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

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
from tests.fixtures import Recorded
from tests.support.dbt.answers import Answers, Question, ask, recorded_questions
from tests.support.dbt.nodes import warnings_of
from tests.support.dbt.record import record_fusion
from tests.support.dbt.recordings import (
    REPLAYED_AND_REAL,
    Replay,
    changes,
    is_recorded_core,
    load,
    replayed_job,
)
from tests.support.dbt.results import extracted, requested_files
from tests.support.projects.flights import Flights
from tests.support.projects.fusion import SCENARIOS
from tests.support.projects.loaded_flights import run_flights
from tests.support.projects.orchard import run_orchard
from tests.support.servers.emulator_api import Api
from tests.support.servers.openlineage_schema import validate

# with `--fail-fast`, dbt Fusion ends in one of several ways each time
REPEATABLE = [name for name, scenario in SCENARIOS.items() if not scenario.ending]


@REPLAYED_AND_REAL
def test_dbt_core_behaves_on_the_orchard_as_recorded(
    cloud: DBTCloudEmulator, recorded: Recorded, tmp_path: Path
) -> None:
    orchard = run_orchard(cloud, recorded("orchard"), tmp_path)
    assert orchard.run["is_error"]


@REPLAYED_AND_REAL
def test_dbt_core_behaves_on_the_example_as_recorded(recorded: Recorded, tmp_path: Path) -> None:
    flights = run_flights(Flights(recorded("nightly"), tmp_path))
    runs = (flights.nightly, flights.failed, flights.retry, flights.parsed)
    assert [run["is_success"] for run in runs] == [True, False, True, True]


@pytest.mark.dbt
def test_dbt_core_answers_as_recorded() -> None:
    recorded: dict[tuple[str, str], tuple[Question, list[Any]]] = {
        (each.project, each.kind): (each, known) for each, known in recorded_questions()
    }
    asked, expected = [], []
    # of the selections, each 16th, and none that have to be executed
    for project, kind, step in (
        ("flights", "nodes", 16),
        ("shop", "nodes", 16),
        ("parser", "options", 1),
        ("parser", "takes", 1),
    ):
        if project == "parser" and not is_recorded_core():
            # its options differ from version to version
            continue
        question, known = recorded[project, kind]
        chosen = [n for n, line in enumerate(question.lines) if kind != "nodes" or line[0] == "ls"]
        asked.append(replace(question, lines=[question.lines[n] for n in chosen[::step]]))
        expected.append([known[n] for n in chosen[::step]])
    assert all(len(question.lines) > 1 for question in asked)
    assert ask(asked) == expected, "Run `make record`."


def test_a_command_that_was_not_recorded_is_refused(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    job = Replay(cloud, tmp_path, "orchard").create_job("Press", execute_steps=["dbt run"])
    api = Api(cloud)
    with api.session:
        run = api.ended(api.trigger(job)["id"])
    assert run["status"] == 20
    assert "`dbt run` was not recorded here" in run["run_steps"][-1]["logs"]
    with pytest.raises(
        AssertionError, match=r"`dbt ls -s x` .* is not recorded: run `make record`"
    ):
        Answers("shop").nodes_of([["ls", "-s", "x"]])


@pytest.mark.fusion
@pytest.mark.parametrize("name", REPEATABLE)
def test_dbt_fusion_behaves_as_recorded(name: str, tmp_path: Path, fusion: str) -> None:
    assert changes(load(name), record_fusion(name, tmp_path, fusion)) == ""


def test_a_replayed_run_has_the_recorded_log_and_artifacts(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    api = Api(cloud)
    with api.session:
        jobs = [replayed_job(cloud, tmp_path, name) for name in SCENARIOS]
        runs = [api.ended(api.trigger(job)["id"]) for job in jobs]
        assert {run["dbt_version"] for run in runs} == {"2.0.0-preview.196"}
        commands = [
            (run, step, recorded)
            for name, run in zip(SCENARIOS, runs, strict=True)
            # a step that fails ends the run
            for recorded, step in zip(load(name), run["run_steps"][3:], strict=False)
        ]
        for run, step, recorded in commands:
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
    # of a test that warned
    caplog.clear()
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
    tables = extracted(pipeline, dbt_cloud_results())
    assert {run["dbt_version"] for run in tables["dbt_runs"]} == {"2.0.0-preview.196"}
    (late,) = tables["dbt_source_freshness"]
    assert (late["run_id"], late["status"]) == (stale["id"], "error")
    assert late["age_seconds"] > 86400
    seconds = [
        (node["completed_at"] - node["started_at"]).total_seconds()
        for node in tables["dbt_node_results"]
        if node["status"] == "success" and node["started_at"]
    ]
    assert len([each for each in seconds if each > 0]) == 5
    assert max(seconds) < 60
    typed = [
        (node["columns"][0]["type"], node["catalog_run_id"])
        for node in tables["dbt_nodes"]
        if node["name"] == "juice"
    ]
    assert ("VARCHAR", built["id"]) in typed
    (log,) = [step["log_tail"] for step in tables["dbt_run_steps"] if step["log_tail"]]
    assert "[StaleSource (dbt1063)]" in log
    assert "<unknown>" not in log
