"""Assets are the nodes that a run built successfully, with their upstream and metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    materialized_assets,
    openlineage_events,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.lineage.assets import built_assets, read_assets
from dlt_dbtcloud.typing import Run
from tests.fixtures import Recorded
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.nodes import BUILT, FILES, RUN, manifest, node, outcome, result, warnings_of
from tests.support.past_runs import ended_run, started_run
from tests.support.projects.loaded_flights import LoadedFlights
from tests.support.projects.orchard import Orchard
from tests.support.servers.openlineage_schema import validate

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
# with the number of results that can be read
ODD: list[tuple[Any, int]] = [
    ({"results": 7}, 0),
    ({"results": {"a": 1}}, 0),
    ({"results": [BUILT, {**BUILT, "execution_time": "abc"}]}, 1),
    ({"results": [{**BUILT, "adapter_response": {"rows_affected": "12"}}]}, 1),
    ({"results": [{**BUILT, "message": {"a": 1}}, 5]}, 0),
    ({"results": [BUILT, {"unique_id": None, "status": None, "timing": [7]}]}, 1),
    ({"results": [BUILT], "args": ["defer"]}, 1),
]


def test_commands_that_build_make_assets() -> None:
    cases = [
        "dbt --target test build",
        "dbt -t docs run",
        "dbt --log-path list seed",
        """dbt --vars '{mode: compile }' snapshot""",
        "dbt retry",
    ]
    for command in cases:
        assert len(built_assets(RUN, [outcome({}, result("model.shop.a", command=command))])) == 1


def test_a_model_that_was_built_with_warnings_is_an_asset_and_a_test_is_not() -> None:
    outcomes = [outcome({}, result("model.shop.a", "warn"), result("test.shop.b.1", "warn"))]
    assert [asset["name"] for asset in built_assets(RUN, outcomes)] == ["a"]


def test_an_incomplete_build_is_not_an_asset() -> None:
    for status in ["error", "skipped", "partial success", "no-op", "reused"]:
        assert built_assets(RUN, [outcome({}, result("model.shop.a", status))]) == []


def test_commands_that_do_not_build_make_no_assets() -> None:
    cases = [
        *("dbt compile", "dbt docs generate", "dbt test", "dbt show -s a", "dbt clone", ""),
        *("dbt --vars '{mode: run }' compile", "dbt --target run test", "dbt run 'a"),
    ]
    for command in cases:
        assert built_assets(RUN, [outcome({}, result("model.shop.a", command=command))]) == []


def test_a_node_without_a_relation_is_not_an_asset() -> None:
    for kind in ["test", "unit_test", "operation", "exposure", "saved_query"]:
        assert built_assets(RUN, [outcome({}, result(f"{kind}.shop.a"))]) == []


def test_an_asset_built_twice_is_returned_once_as_last_built() -> None:
    results = [
        result("model.shop.a", step_index=4, rows_affected=1),
        result("model.shop.a", step_index=5, rows_affected=2),
        result("model.shop.a", "error", step_index=6),
    ]
    [asset] = built_assets(RUN, [outcome({}, *results)])
    assert asset["metadata"]["rows_affected"] == 2


def test_an_asset_has_the_location_that_its_step_built() -> None:
    testing = manifest(node("model.shop.a", "model.shop.b", relation_name="db.marts.a"))
    there = result("model.shop.b", relation_name="db.other.b")
    outcomes = [outcome(testing, there), outcome(testing, result("model.shop.a"))]
    places = [(a["relation_name"], a["schema"]) for a in built_assets(RUN, outcomes)]
    assert places == [("db.other.b", "other"), ("db.marts.a", "marts")]


def test_the_rows_affected_of_a_view_are_dropped() -> None:
    view = manifest(node("model.shop.a", config={"materialized": "view"}))
    [asset] = built_assets(RUN, [outcome(view, result("model.shop.a", rows_affected=1))])
    assert asset["metadata"]["rows_affected"] is None


def test_without_a_manifest_the_result_names_and_locates_the_asset() -> None:
    [asset] = built_assets(
        RUN, [outcome({}, result("seed.shop.days", relation_name='"db"."raw"."days"'))]
    )
    assert (asset["name"], asset["resource_type"]) == ("days", "seed")
    assert asset["relation_name"] == '"db"."raw"."days"'
    place = (asset["database"], asset["schema"], asset["identifier"], asset["upstream"])
    assert place == ("db", "raw", "days", [])
    assert asset["metadata"]["dbt_version"] == "latest"
    assert asset["metadata"]["run_url"] == RUN["href"]


def test_a_run_without_fields_is_accepted() -> None:
    [asset] = built_assets({}, [outcome({}, result("model.shop.a"))])
    assert asset["metadata"]["run_id"] is None


def test_a_manifest_of_dbt_1_5_gives_the_same_fields() -> None:
    source = {
        "unique_id": "source.shop.raw.orders",
        "resource_type": "source",
        "name": "orders",
        "identifier": "orders_v3",
        "database": "db",
        "schema": "raw",
        "relation_name": '"db"."raw"."orders_v3"',
    }
    old = manifest(node("model.shop.a", source["unique_id"], meta={"a": 1}), source)
    old["metadata"] = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v9.json"}
    [asset] = built_assets(RUN, [outcome(old, result("model.shop.a"))])
    assert (asset["database"], asset["schema"], asset["identifier"]) == ("db", "marts", "a")
    assert asset["upstream"] == [
        {
            "unique_id": "source.shop.raw.orders",
            "resource_type": "source",
            "relation_name": '"db"."raw"."orders_v3"',
            "database": "db",
            "schema": "raw",
            "identifier": "orders_v3",
        }
    ]
    assert asset["metadata"]["meta"] == {"a": 1}


def test_assets_have_sources_and_column_types(cloud: DBTCloudEmulator) -> None:
    steps = ["dbt seed", "dbt run"]
    job = cloud.create_job("x", artifacts=FILES, execute_steps=steps, generate_docs=True)
    run = ended_run(cloud, job)
    before = len(cloud.requests)
    (asset,) = materialized_assets(run)
    assert asset["name"] == "orders"
    assert [each["unique_id"] for each in asset["upstream"]] == ["source.shop.raw.orders"]
    assert asset["metadata"]["columns"] == [{"name": "id", "type": "BIGINT", "description": None}]
    # the run, two results, a manifest and a catalog
    assert len(cloud.requests) - before == 5
    assert materialized_assets(run["id"]) == [asset]


def test_missing_artifacts_are_left_out_with_a_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    only_results = {"run_results.json": FILES["run_results.json"]}
    job = cloud.create_job("x", artifacts=only_results, generate_docs=True)
    run_id = ended_run(cloud, job)["id"]
    (asset,) = read_assets(clocked(client, FakeClock()), str(run_id))
    assert (asset["name"], asset["upstream"]) == ("orders", [])
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert "`manifest.json` of step 4" in warning
    assert "`catalog.json` of step 5" in warning


def test_a_web_page_in_place_of_an_artifact_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = str(ended_run(cloud, cloud.create_job("x", artifacts=FILES))["id"])
    for status in (200, 404):
        cloud.fail("get_artifact", "html", status=status, calls=None, when="before")
        with pytest.raises(DBTCloudAPIError, match="Something is in the way"):
            read_assets(clocked(client, FakeClock()), run_id)
        cloud.heal()


def test_an_odd_artifact_is_read_as_far_as_possible_with_one_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    for odd, count in ODD:
        files = {"run_results.json": odd, "manifest.json": {"nodes": {BUILT["unique_id"]: [1]}}}
        run = ended_run(cloud, cloud.create_job("x", artifacts=files))
        assert len(read_assets(client, str(run["id"]))) == count
        (warning,) = warnings_of(run, caplog)
        assert "of an unexpected type" in warning
        caplog.clear()
        events = openlineage_events(run)
        for event in events:
            validate(event)
        assert len(events) == 2 + 2 * count
        assert warnings_of(run, caplog) == [warning]


def test_an_invalid_run_is_refused(cloud: DBTCloudEmulator) -> None:
    not_runs: list[Any] = [{}, {"run_id": 5}, {"data": {"id": 5}}]
    a_word: Any = {"id": "abc"}
    for function in (materialized_assets, openlineage_events):
        for run in not_runs:
            with pytest.raises(ValueError, match="`run` has no `id`"):
                function(run)
        with pytest.raises(InvalidCredentialsException, match="`run_id` is missing"):
            function(None)
        with pytest.raises(InvalidCredentialsException, match="is not a dbt Cloud id"):
            function(a_word)
    assert cloud.requests == []


def test_the_configured_run_is_the_default(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_dbt_cloud_job(job_id=cloud.create_job("x", artifacts=FILES))
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", str(run["id"]))
    assert materialized_assets() == materialized_assets(run) == materialized_assets(str(run["id"]))
    assert openlineage_events() == openlineage_events(run)


def test_the_assets_of_a_retry_include_those_of_the_runs_before(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    def ended(cause: str, **statuses: str) -> int | None:
        results = [{"unique_id": f"model.shop.{n}", "status": s} for n, s in statuses.items()]
        files = {"run_results.json": {"results": results}, "manifest.json": {"nodes": {}}}
        return ended_run(cloud, cloud.create_job("x", artifacts=files), cause=cause)["id"]

    first = ended("x", good="success", again="success", flaky="error", after="skipped")
    retry = ended(f"x: retry of run {first} [dlt:3f9c2ab41d07]", flaky="error", after="skipped")
    last = ended(
        f"x: retry of run {retry} [dlt:3f9c2ab41d07]",
        again="success",
        flaky="success",
        after="success",
    )
    assets = read_assets(client, str(last))
    built = [(asset["name"], asset["metadata"]["run_id"]) for asset in assets]
    assert built == [("good", first), ("again", last), ("flaky", last), ("after", last)]
    names = {event["job"]["name"].rpartition(".")[2] for event in openlineage_events(last)[1:-1]}
    assert names == {"again", "flaky", "after"}


def test_a_skipped_run_has_no_assets(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}
    assert materialized_assets(skipped) == []
    assert cloud.requests == []


def test_an_unfinished_run_has_no_assets(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("x", artifacts=FILES, duration=None)
    run = started_run(cloud, job)
    before = len(cloud.requests)
    assert materialized_assets(run) == []
    assert len(cloud.requests) - before == 1
    (warning,) = warnings_of(run, caplog)
    assert "it has not finished" in warning
    assert {event["eventType"] for event in openlineage_events(run)} <= {"START"}


def test_an_unknown_deferred_location_is_left_out_with_a_warning(
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
    run = ended_run(cloud, cloud.create_job("x", artifacts=files))
    (asset,) = materialized_assets(run)
    (up,) = asset["upstream"]
    assert (up["unique_id"], up["relation_name"], up["schema"]) == ("model.shop.up", None, None)
    (warning,) = warnings_of(run, caplog)
    assert "does not report to which run" in warning
    assert [event["inputs"] for event in openlineage_events(run)] == [[]] * 4


def test_a_missing_run_is_an_error(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        materialized_assets(1)


def test_a_real_run_returns_the_assets_that_it_built(orchard: Orchard) -> None:
    assets = built_assets(orchard.run, orchard.outcomes)
    upstream = {a["unique_id"]: [u["unique_id"] for u in a["upstream"]] for a in assets}
    assert upstream == {
        "seed.orchard.sorts": [],
        "model.orchard.juice": ["source.orchard.raw.harvest"],
        "model.orchard.prices.v1": ["seed.orchard.sorts"],
        "model.orchard.prices.v2": ["seed.orchard.sorts", "model.orchard.juice"],
        "snapshot.orchard.sorts_history": ["seed.orchard.sorts"],
    }
    assert json.loads(json.dumps(assets)) == assets


def test_an_asset_of_a_real_run_has_all_metadata(orchard: Orchard) -> None:
    assets = built_assets(orchard.run, orchard.outcomes)
    juice: dict[str, Any] = {**next(asset for asset in assets if asset["name"] == "juice")}
    metadata = dict(juice.pop("metadata"))
    times = [metadata.pop(name) for name in ("started_at", "completed_at", "execution_time")]
    assert all(times)
    assert juice == {
        "unique_id": "model.orchard.juice",
        "name": "juice",
        "resource_type": "model",
        "relation_name": '"orchard"."marts"."juice"',
        "database": "orchard",
        "schema": "marts",
        "identifier": "juice",
        "materialized": "table",
        "upstream": [
            {
                "unique_id": "source.orchard.raw.harvest",
                "resource_type": "source",
                "relation_name": '"orchard"."raw"."harvest_2025"',
                "database": "orchard",
                "schema": "raw",
                "identifier": "harvest_2025",
            }
        ],
    }
    assert metadata == {
        "description": "What is pressed.",
        "owners": ["press@example.com"],
        "group": "press",
        "tags": ["liquid"],
        "meta": {"bottled": True},
        "columns": [
            {"name": "sort", "type": "VARCHAR", "description": "Of apples."},
            {"name": "litres", "type": "DOUBLE", "description": None},
        ],
        "path": "models/juice.sql",
        "package_name": "orchard",
        "version": None,
        "rows_affected": None,
        "run_id": orchard.run["id"],
        "job_definition_id": orchard.run["job_definition_id"],
        "run_url": orchard.run["href"],
        "dbt_version": orchard.dbt_version,
    }


def test_versions_and_seeds_of_a_real_run_are_distinguished(orchard: Orchard) -> None:
    assets = built_assets(orchard.run, orchard.outcomes)
    found = {a["identifier"]: (a["name"], a["metadata"]["version"]) for a in assets}
    assert found["prices_v1"] == ("prices", 1)
    assert found["price_list"] == ("prices", 2)
    assert found["sorts"] == ("sorts", None)
    assert next(a for a in assets if a["name"] == "sorts")["metadata"]["rows_affected"] == 1


def test_a_real_runs_assets_lead_to_the_tables_loaded_by_dlt(
    loaded: LoadedFlights,
) -> None:
    assets = {asset["name"]: asset for asset in loaded.assets}
    assert len(assets) == 18
    (source,) = assets["stg_flights"]["upstream"]
    assert (source["unique_id"], source["schema"]) == ("source.flights.raw.flights", "raw")
    assert all(column["type"] for column in assets["fct_flights"]["metadata"]["columns"])


def test_real_steps_with_two_targets_have_their_own_locations(
    cloud: DBTCloudEmulator, recorded: Recorded, tmp_path: Path
) -> None:
    for name, text in TARGETS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    steps = ["dbt --target test build", "dbt build --select good", "dbt compile"]
    job = recorded("two_targets").create_job("x", execute_steps=steps, project_dir=tmp_path)
    run = ended_run(cloud, job)
    places = {a["name"]: (a["relation_name"], a["schema"]) for a in materialized_assets(run)}
    assert places == {
        "good": ('"shop"."main"."good"', "main"),
        "inc": ('"shop"."testing"."inc"', "testing"),
    }
    ends = [event for event in openlineage_events(run) if event["outputs"]][1::2]
    found = [(e["outputs"][0]["name"], e["job"]["facets"]["sql"]["query"]) for e in ends]
    assert found == [
        ("shop.testing.good", "select 1 as id"),
        ("shop.testing.inc", 'select id from "shop"."testing"."good"'),
        ("shop.main.good", "select 1 as id"),
    ]
