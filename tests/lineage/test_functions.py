"""The assets of a run are fetched with what tells of them, and what is missing is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    get_dbt_cloud_run_status,
    materialized_assets,
    openlineage_events,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.artifacts.reader import RELATED, RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Pace
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.lineage.functions import read_assets, read_outcomes
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock
from tests.support.loaded_flights import LoadedFlights
from tests.support.openlineage_schema import validate

BUILT = {"unique_id": "model.shop.orders", "status": "success"}
NODE = {"name": "orders", "depends_on": {"nodes": ["source.shop.raw.orders"]}}
FILES = {
    "run_results.json": {"results": [BUILT]},
    "manifest.json": {"nodes": {"model.shop.orders": NODE}},
    "catalog.json": {"nodes": {"model.shop.orders": {"columns": {"id": {"type": "BIGINT"}}}}},
}


TARGETS = {
    "dbt_project.yml": """
name: shop
version: "1.0"
profile: shop
flags: {send_anonymous_usage_stats: false}
""",
    "profiles.yml": """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, schema: main, threads: 1}
    test: {type: duckdb, path: shop.duckdb, schema: testing, threads: 1}
""",
    "models/good.sql": "{{ config(materialized='table') }}select 1 as id",
    "models/inc.sql": (
        "{{ config(materialized='incremental') }}select id from {{ ref('good') }}"
        "{% if is_incremental() %} where id > (select max(id) from {{ this }}){% endif %}"
    ),
}


def warnings_of(run: Run, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if str(run["id"]) in each.message]


def test_assets_know_their_sources_and_the_types_of_their_columns(cloud: DBTCloudEmulator) -> None:
    steps = ["dbt seed", "dbt run"]
    job = cloud.create_job("x", artifacts=FILES, execute_steps=steps, generate_docs=True)
    run = run_dbt_cloud_job(job_id=job)
    before = len(cloud.requests)
    (asset,) = materialized_assets(run)
    assert asset["name"] == "orders"
    assert [each["unique_id"] for each in asset["upstream"]] == ["source.shop.raw.orders"]
    assert asset["metadata"]["columns"] == [{"name": "id", "type": "BIGINT", "description": None}]
    # the run, two results, a manifest and a catalog
    assert len(cloud.requests) - before == 5
    assert materialized_assets(run["id"]) == materialized_assets(str(run["id"])) == [asset]


def test_what_is_missing_is_left_out(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    only_results = {"run_results.json": FILES["run_results.json"]}
    job = cloud.create_job("x", artifacts=only_results, generate_docs=True)
    run_id = run_dbt_cloud_job(job_id=job)["id"]
    (asset,) = read_assets(client, str(run_id), clock=FakeClock())
    assert (asset["name"], asset["upstream"]) == ("orders", [])
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert "`manifest.json` of step 4" in warning
    assert "`catalog.json` of step 5" in warning


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_in_an_artifacts_place_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, status: int
) -> None:
    run_id = str(run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=FILES))["id"])
    cloud.fail("get_artifact", "html", status=status, calls=None, when="before")
    with pytest.raises(DBTCloudAPIError, match="Something is in the way"):
        read_assets(client, run_id, clock=FakeClock())


ODD: list[Any] = [
    {"results": 7},
    {"results": {"a": 1}},
    {"results": [{**BUILT, "execution_time": "abc"}]},
    {"results": [{**BUILT, "adapter_response": {"rows_affected": "12"}}]},
    {"results": [{**BUILT, "message": {"a": 1}}, 5]},
    {"results": [BUILT, {"unique_id": None, "status": None, "timing": [{"started_at": 5}, 7]}]},
    {"results": [{**BUILT, "relation_name": 7}], "args": ["defer"]},
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_artifact_is_told_as_far_as_it_can_be_and_said_once(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture, odd: Any
) -> None:
    files = {"run_results.json": odd, "manifest.json": {"nodes": {BUILT["unique_id"]: [1]}}}
    run = run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=files))
    is_told = isinstance(odd["results"], list)
    assert len(materialized_assets(run)) == int(is_told)
    (warning,) = warnings_of(run, caplog)
    assert "not what dbt writes" in warning
    caplog.clear()
    events = openlineage_events(run)
    for event in events:
        validate(event)
    assert len(events) == 2 + 2 * is_told
    assert warnings_of(run, caplog) == [warning]


def test_what_is_no_run_is_refused(cloud: DBTCloudEmulator) -> None:
    not_runs: list[Any] = [{}, {"run_id": 5}, {"data": {"id": 5}}]
    a_word: Any = {"id": "abc"}
    for tell in (materialized_assets, openlineage_events):
        for run in not_runs:
            with pytest.raises(ValueError, match="`run` has no `id`"):
                tell(run)
        with pytest.raises(InvalidCredentialsException, match="`run_id` is missing"):
            tell(None)
        with pytest.raises(InvalidCredentialsException, match="is no id of dbt Cloud"):
            tell(a_word)
    assert cloud.requests == []


def test_the_run_that_is_configured_is_told(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=FILES))
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", str(run["id"]))
    assert materialized_assets() == materialized_assets(run)
    assert openlineage_events() == openlineage_events(run)


def test_a_retry_is_told_with_what_it_did_not_build_again(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    def ended(cause: str, **statuses: str) -> int:
        results = [{"unique_id": f"model.shop.{n}", "status": s} for n, s in statuses.items()]
        files = {"run_results.json": {"results": results}, "manifest.json": {"nodes": {}}}
        run_id = client.trigger_job_run(cloud.create_job("x", artifacts=files), {"cause": cause})
        get_dbt_cloud_run_status(run_id=run_id)
        return run_id

    first = ended("x", good="success", again="success", flaky="error", after="skipped")
    retry = ended(f"x: retry of run {first} [dlt:3f9c2ab41d07]", flaky="error", after="skipped")
    last = ended(
        f"x: retry of run {retry} [dlt:3f9c2ab41d07]",
        again="success",
        flaky="success",
        after="success",
    )
    built = [(asset["name"], asset["metadata"]["run_id"]) for asset in materialized_assets(last)]
    assert built == [("good", first), ("again", last), ("flaky", last), ("after", last)]
    told = {event["job"]["name"].rpartition(".")[2] for event in openlineage_events(last)[1:-1]}
    assert told == {"again", "flaky", "after"}


def run_in(cloud: DBTCloudEmulator, place: str, *, defer: bool) -> Run:
    names = {name: f"db.{place}.{name}" for name in ("up", "down")}
    nodes = {f"model.shop.{n}": {"relation_name": name} for n, name in names.items()}
    nodes["model.shop.down"]["depends_on"] = {"nodes": ["model.shop.up"]}  # type: ignore[assignment]  # JSON
    built = {"unique_id": "model.shop.down", "status": "success"}
    code = {"compiled_code": "select * from db.prod.up", "relation_name": names["down"]}
    results = {"results": [{**built, **code}], "args": {"defer": defer}}
    files = {"run_results.json": results, "manifest.json": {"nodes": nodes}}
    return run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=files))


def test_what_was_deferred_is_read_from_the_run_that_it_was_deferred_to(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    prod = run_in(cloud, "prod", defer=False)
    for defer, expected, requests in ((True, "prod", 3), (False, "ci", 2)):
        ci = client.get_run_status(run_in(cloud, "ci", defer=defer)["id"], RELATED)
        ci["deferring_run_id"] = prod["id"]
        before = len(cloud.requests)
        [outcome] = read_outcomes(RunReader(client, ci, keeps_code=True))
        [up] = outcome.read(outcome.results[0])
        assert up["relation_name"] == f"db.{expected}.up"
        assert len(cloud.requests) - before == requests


@pytest.mark.parametrize(
    ("status", "cool_down", "waited"), [(503, 0, 7), (429, 30, 37), (401, 0, 0)]
)
def test_what_was_deferred_to_cannot_be_read_for_now(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, status: int, cool_down: float, waited: float
) -> None:
    prod = run_in(cloud, "prod", defer=False)
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = prod["id"]
    kind: Any = "rate_limit" if status == 429 else "status"
    fault: dict[str, Any] = {"calls": None, "when": "before", "run_id": prod["id"]}
    cloud.fail("get_artifact", kind, status=status, retry_after=5, **fault)
    clock = FakeClock()
    reader = RunReader(
        client, ci, keeps_code=True, clock=clock, outage=7, cool_down=cool_down, pace=Pace(1e9)
    )
    with pytest.raises(DBTCloudAPIError, match=f"{prod['id']}/artifacts/manifest.json"):
        read_outcomes(reader)
    # what asks for more time than is left is waited for no more
    assert waited - 5 < clock.now <= waited
    cloud.heal()
    assert reader.state["nodes"]["model.shop.up"] == {"relation_name": "db.prod.up"}


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "what it defers to cannot be read"), (404, "has no `manifest.json`")],
)
def test_what_was_deferred_to_and_cannot_be_read_at_all_is_said(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    status: int,
    words: str,
) -> None:
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = 7
    cloud.fail("get_artifact", "status", status=status, calls=None, when="before", run_id=7)
    reader = RunReader(client, ci, keeps_code=True, clock=FakeClock())
    [outcome] = read_outcomes(reader)
    assert [up["relation_name"] for up in outcome.read(outcome.results[0])] == [None]
    reader.problems.warn()
    (warning,) = warnings_of(ci, caplog)
    assert words in warning


def test_a_foreign_file_in_the_place_of_what_was_deferred_to_is_said(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    files = {**FILES, "manifest.json": {"hello": 1}}
    prod = run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=files))
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = prod["id"]
    reader = RunReader(client, ci, keeps_code=True, clock=FakeClock())
    assert len(read_outcomes(reader)) == 1
    reader.problems.warn()
    (warning,) = warnings_of(ci, caplog)
    assert f"the manifest of run {prod['id']} contains no nodes" in warning


def test_a_run_that_never_was_has_no_assets(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}  # type: ignore[typeddict-item]  # no run
    assert materialized_assets(skipped) == []
    assert cloud.requests == []


def test_a_run_in_progress_has_no_assets_yet(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("x", artifacts=FILES, duration=None)
    run = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    before = len(cloud.requests)
    assert materialized_assets(run) == []
    assert len(cloud.requests) - before == 1
    (warning,) = warnings_of(run, caplog)
    assert "it is not over" in warning
    assert {event["eventType"] for event in openlineage_events(run)} <= {"START"}


def test_what_was_deferred_to_who_knows_is_left_out_and_said(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    down = {"depends_on": {"nodes": ["model.shop.up"]}}
    files = {
        "run_results.json": {
            "args": {"defer": True},
            "results": [{**BUILT, "compiled_code": "select * from db.prod.up"}],
        },
        "manifest.json": {
            "nodes": {
                "model.shop.orders": down,
                "model.shop.up": {"relation_name": "db.ci.up", "schema": "ci", "alias": "up"},
            }
        },
    }
    run = run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=files))
    (asset,) = materialized_assets(run)
    (up,) = asset["upstream"]
    assert (up["unique_id"], up["relation_name"], up["schema"]) == ("model.shop.up", None, None)
    (warning,) = warnings_of(run, caplog)
    assert "it is not told to which run" in warning
    assert [event["inputs"] for event in openlineage_events(run)] == [[]] * 4


def test_a_run_that_does_not_exist_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        materialized_assets(1)


@pytest.mark.dbt
def test_a_real_runs_assets_go_back_to_the_tables_that_dlt_loaded(
    loaded: LoadedFlights,
) -> None:
    assets = {asset["name"]: asset for asset in loaded.assets}
    assert len(assets) == 18
    (source,) = assets["stg_flights"]["upstream"]
    assert (source["unique_id"], source["schema"]) == ("source.flights.raw.flights", "raw")
    assert all(column["type"] for column in assets["fct_flights"]["metadata"]["columns"])


@pytest.mark.dbt
def test_real_steps_of_two_targets_are_told_where_each_built(
    cloud: DBTCloudEmulator, tmp_path: Path
) -> None:
    for name, text in TARGETS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    steps = ["dbt --target test build", "dbt build --select good", "dbt compile"]
    run = run_dbt_cloud_job(job_id=cloud.create_job("x", execute_steps=steps, project_dir=tmp_path))
    places = {a["name"]: (a["relation_name"], a["schema"]) for a in materialized_assets(run)}
    assert places == {
        "good": ('"shop"."main"."good"', "main"),
        "inc": ('"shop"."testing"."inc"', "testing"),
    }
    ends = [event for event in openlineage_events(run) if event["outputs"]][1::2]
    told = [(e["outputs"][0]["name"], e["job"]["facets"]["sql"]["query"]) for e in ends]
    assert told == [
        ("shop.testing.good", "select 1 as id"),
        ("shop.testing.inc", 'select id from "shop"."testing"."good"'),
        ("shop.main.good", "select 1 as id"),
    ]


def test_a_run_is_told_as_openlineage_tells_it(cloud: DBTCloudEmulator) -> None:
    results: Any = FILES["run_results.json"]
    code = {**results["results"][0], "compiled_code": "select 1"}
    files = {**FILES, "run_results.json": {"results": [code]}}
    job = cloud.create_job("x", artifacts=files, execute_steps=["dbt run"], generate_docs=True)
    run = run_dbt_cloud_job(job_id=job)
    events = openlineage_events(run, namespace="duckdb://shop")
    assert [event["eventType"] for event in events] == ["START", "START", "COMPLETE", "COMPLETE"]
    built = events[2]
    schema = built["outputs"][0]["facets"]["schema"]
    assert schema["fields"] == [{"name": "id", "type": "BIGINT"}]
    named = openlineage_events(run, job_namespace="nightly")
    assert {event["job"]["namespace"] for event in named} == {"nightly"}
    assert built["outputs"][0]["namespace"] == "duckdb://shop"
    assert built["job"]["facets"]["sql"]["query"] == "select 1"
    assert openlineage_events(str(run["id"]), namespace="duckdb://shop") == events


def test_a_run_that_never_was_has_no_events(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}  # type: ignore[typeddict-item]  # no run
    assert openlineage_events(skipped) == []
    assert cloud.requests == []
