"""Assets are what a run built successfully, each with what it was built from, as plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dlt_dbtcloud.lineage.assets import assets_of
from tests.support.nodes import RUN, manifest, node, outcome, result
from tests.support.orchard import Orchard


@pytest.mark.parametrize(
    "command",
    [
        "dbt --target test build",
        "dbt -t docs run",
        "dbt --log-path list seed",
        """dbt --vars '{mode: compile }' snapshot""",
        "dbt retry",
    ],
)
def test_whatever_builds_makes_assets(command: str) -> None:
    assert len(assets_of(RUN, [outcome({}, result("model.shop.a", command=command))])) == 1


@pytest.mark.parametrize("status", ["error", "skipped", "partial success", "no-op", "reused"])
def test_what_was_not_built_whole_is_no_asset(status: str) -> None:
    assert assets_of(RUN, [outcome({}, result("model.shop.a", status))]) == []


@pytest.mark.parametrize(
    "command",
    [
        *("dbt compile", "dbt docs generate", "dbt test", "dbt show -s a", "dbt clone", ""),
        *("dbt --vars '{mode: run }' compile", "dbt --target run test", "dbt run 'a"),
    ],
)
def test_what_was_not_to_be_built_is_no_asset(command: str) -> None:
    assert assets_of(RUN, [outcome({}, result("model.shop.a", command=command))]) == []


@pytest.mark.parametrize("kind", ["test", "unit_test", "operation", "exposure", "saved_query"])
def test_what_has_no_relation_is_no_asset(kind: str) -> None:
    assert assets_of(RUN, [outcome({}, result(f"{kind}.shop.a"))]) == []


def test_an_asset_built_twice_is_told_once_as_it_was_last() -> None:
    results = [
        result("model.shop.a", step_index=4, rows_affected=1),
        result("model.shop.a", step_index=5, rows_affected=2),
        result("model.shop.a", "error", step_index=6),
    ]
    [asset] = assets_of(RUN, [outcome({}, *results)])
    assert asset["metadata"]["rows_affected"] == 2


def test_an_asset_stands_where_its_own_step_built_it() -> None:
    testing = manifest(node("model.shop.a", "model.shop.b", relation_name="db.marts.a"))
    there = result("model.shop.b", relation_name="db.other.b")
    outcomes = [outcome(testing, there), outcome(testing, result("model.shop.a"))]
    places = [(a["relation_name"], a["schema"]) for a in assets_of(RUN, outcomes)]
    assert places == [("db.other.b", "other"), ("db.marts.a", "marts")]


def test_a_number_that_does_not_mean_rows_is_not_told() -> None:
    view = manifest(node("model.shop.a", config={"materialized": "view"}))
    [asset] = assets_of(RUN, [outcome(view, result("model.shop.a", rows_affected=1))])
    assert asset["metadata"]["rows_affected"] is None


def test_without_a_manifest_the_result_tells_what_it_can() -> None:
    [asset] = assets_of(
        RUN, [outcome(None, result("seed.shop.days", relation_name='"db"."raw"."days"'))]
    )
    assert (asset["name"], asset["resource_type"]) == ("days", "seed")
    assert asset["relation_name"] == '"db"."raw"."days"'
    place = (asset["database"], asset["schema"], asset["identifier"], asset["upstream"])
    assert place == ("db", "raw", "days", [])
    assert asset["metadata"]["dbt_version"] == "latest"
    assert asset["metadata"]["run_url"] == RUN["href"]


def test_a_run_that_tells_nothing_is_taken() -> None:
    [asset] = assets_of({}, [outcome({}, result("model.shop.a"))])
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
    [asset] = assets_of(RUN, [outcome(old, result("model.shop.a"))])
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


@pytest.mark.dbt
def test_a_real_run_gives_what_it_built(orchard: Orchard) -> None:
    assets = assets_of(orchard.run, orchard.outcomes)
    upstream = {a["unique_id"]: [u["unique_id"] for u in a["upstream"]] for a in assets}
    assert upstream == {
        "seed.orchard.sorts": [],
        "model.orchard.juice": ["source.orchard.raw.harvest"],
        "model.orchard.prices.v1": ["seed.orchard.sorts"],
        "model.orchard.prices.v2": ["seed.orchard.sorts", "model.orchard.juice"],
        "snapshot.orchard.sorts_history": ["seed.orchard.sorts"],
    }
    assert json.loads(json.dumps(assets)) == assets


@pytest.mark.dbt
def test_an_asset_of_a_real_run_tells_all_that_is_known(orchard: Orchard) -> None:
    assets = assets_of(orchard.run, orchard.outcomes)
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


@pytest.mark.dbt
def test_versions_and_seeds_of_a_real_run_are_told_apart(orchard: Orchard) -> None:
    assets = assets_of(orchard.run, orchard.outcomes)
    found = {a["identifier"]: (a["name"], a["metadata"]["version"]) for a in assets}
    assert found["prices_v1"] == ("prices", 1)
    assert found["price_list"] == ("prices", 2)
    assert found["sorts"] == ("sorts", None)
    assert next(a for a in assets if a["name"] == "sorts")["metadata"]["rows_affected"] == 1
