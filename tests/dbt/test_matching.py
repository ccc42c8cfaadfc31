"""Each table finds the sources that declare it, or the place that is wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from dlt_dbtcloud.dbt import Match, match_sources
from dlt_dbtcloud.values import Relation
from tests.support.dbt.manifests import manifest_of, source_entry

ORDERS = "source.shop.raw.orders"
FILE = "models/landing.yml"


def advice(relation: Relation, *sources: dict[str, Any], **sections: Any) -> str:
    """Return the advice for a table that is declared in other places only."""
    match = match_sources([relation], manifest_of(*sources, **sections))
    assert (match.sources, match.undeclared) == ((), ())
    (misplaced,) = match.misplaced
    assert misplaced.name == relation.name
    assert misplaced.sources
    return misplaced.advice


def test_tables_match_by_identifier_not_by_name() -> None:
    sales = source_entry("sales", identifier="orders", source_name="landing")
    fed = match_sources([Relation("orders", "raw")], manifest_of(sales))
    assert fed == Match(("source.shop.landing.sales",), ())
    assert match_sources([Relation("sales", "raw")], manifest_of(sales)) == Match((), ("sales",))


def test_all_sources_that_declare_a_table_are_fed() -> None:
    manifest = manifest_of(
        source_entry(),
        source_entry(source_name="other"),
        source_entry(package_name="billing"),
    )
    fed = match_sources([Relation("orders", "raw")], manifest)
    assert fed.sources == tuple(sorted(manifest.sources))


def test_tables_that_no_source_declares_are_undeclared() -> None:
    relations = [Relation("users", "raw"), Relation("orders", "raw"), Relation("carts", "raw")]
    assert match_sources(relations, manifest_of(source_entry())) == Match(
        (ORDERS,), ("carts", "users")
    )


def test_a_table_matches_by_schema_and_database() -> None:
    for relation, is_declared in [
        (Relation("orders", "raw", "warehouse"), True),
        (Relation("orders", "raw", "WAREHOUSE"), True),
        (Relation("orders", "raw", "elsewhere"), False),
        (Relation("orders", "raw"), True),
        (Relation("orders", "other", "warehouse"), False),
        (Relation("orders"), True),
        (Relation("ORDERS", "RAW", "WAREHOUSE"), True),
        (Relation("Orders", "raw", is_case_sensitive=True), False),
        (Relation("orders", "Raw", is_case_sensitive=True), False),
        (Relation("orders", "raw", is_case_sensitive=True), True),
    ]:
        assert bool(match_sources([relation], manifest_of(source_entry())).sources) is is_declared


@pytest.mark.parametrize("database", [None, ""])
def test_a_database_that_the_source_lacks_is_not_compared(database: str | None) -> None:
    manifest = manifest_of(source_entry(database=database))
    assert match_sources([Relation("orders", "raw", "warehouse")], manifest).sources == (ORDERS,)


def test_a_disabled_source_does_not_match() -> None:
    manifest = manifest_of(source_entry(config={"enabled": False}))
    assert match_sources([Relation("orders", "raw")], manifest) == Match((), ("orders",))


def test_a_table_in_another_place_names_the_line_to_change() -> None:
    cases: list[tuple[Relation, dict[str, Any], str]] = [
        (
            Relation("orders", "raw_dev"),
            {},
            "set `schema: raw_dev` of source `raw.orders` in `models/landing.yml`, or pass "
            '`dataset_name="raw"` to the pipeline.',
        ),
        (
            Relation("orders", "raw", "landing"),
            {},
            "set `database: landing` of source `raw.orders` in `models/landing.yml`, or load into "
            "database `warehouse`.",
        ),
        (
            Relation("orders", "raw_dev", "landing"),
            {},
            "set `schema: raw_dev` and `database: landing` of source `raw.orders` in "
            '`models/landing.yml`, or pass `dataset_name="raw"` to the pipeline and load into '
            "database `warehouse`.",
        ),
        # the identifier is compared, not the name
        (
            Relation("bills", "raw_dev"),
            {"identifier": "bills"},
            "set `schema: raw_dev` of source `raw.orders` in",
        ),
        # dlt normalizes names, so the same dataset name would not help
        (
            Relation("orders", "raw_data"),
            {"schema": "Raw Data"},
            "set `schema: raw_data` of source `raw.orders` in `models/landing.yml`.",
        ),
        (
            Relation("my_orders", "raw"),
            {"identifier": "MyOrders"},
            "set `identifier: my_orders` of source `raw.orders` in `models/landing.yml`.",
        ),
        (
            Relation("orders", "raw", is_case_sensitive=True),
            {"schema": "RAW"},
            "set `schema: raw` of source `raw.orders` in `models/landing.yml`.",
        ),
        (
            Relation("orders", "raw"),
            {"identifier": '"orders"'},
            "set `identifier: orders` of source",
        ),
        (
            Relation("orders", "raw_20261126184512"),
            {},
            "or switch off `dev_mode` of the pipeline, which adds a timestamp.",
        ),
        (Relation("orders", "raw"), {"schema": None}, "set `schema: raw` of source"),
        # ClickHouse
        (
            Relation("raw___orders", table="orders"),
            {},
            "set `identifier: raw___orders` of source `raw.orders` in `models/landing.yml`.",
        ),
    ]
    for relation, source, change in cases:
        entry = source_entry(original_file_path=FILE, **source)
        assert change in advice(relation, entry)


def test_both_places_are_named() -> None:
    text = advice(Relation("orders", "raw_dev", "lake"), source_entry())
    assert text.startswith(
        "`lake.raw_dev.orders` was loaded, but the project has source `raw.orders` as "
        "`warehouse.raw.orders`. "
    )
    assert "in the YAML files of package `shop`" in text


def test_a_schema_that_follows_the_target_is_shown_as_written() -> None:
    entry = source_entry(unrendered_schema="{{ target.schema }}")
    text = advice(Relation("orders", "dev"), entry)
    assert "source `raw.orders` as `raw.orders` (`schema: {{ target.schema }}`)." in text


def test_a_source_with_a_wildcard_reads_all_of_its_shards() -> None:
    manifest = manifest_of(source_entry("events", identifier="events_*"))
    shard = Relation("events_20260131", "raw")
    assert match_sources([shard], manifest) == Match(("source.shop.raw.events",), ())
    (misplaced,) = match_sources([replace(shard, dataset="dev")], manifest).misplaced
    assert "set `schema: dev` of source" in misplaced.advice
    assert match_sources([Relation("event_1", "raw")], manifest).undeclared == ("event_1",)


def test_the_nearest_of_many_sources_is_to_change() -> None:
    entries = [source_entry(source_name=f"s{n}", schema=f"s{n}", database="x") for n in range(9)]
    near = source_entry(source_name="near", schema="near")
    text = advice(Relation("orders", "raw", "warehouse"), *entries, near)
    assert "the project has source `near.orders` as `warehouse.near.orders`, source" in text
    assert ", and 7 more." in text
    assert "set `schema: raw` of source `near.orders` in" in text


def test_a_declared_table_is_not_misplaced_by_its_namesakes() -> None:
    manifest = manifest_of(source_entry(), source_entry(source_name="old", schema="archive"))
    match = match_sources([Relation("orders", "raw"), Relation("users", "raw")], manifest)
    assert match == Match((ORDERS,), ("users",), (), ("orders",))


def test_a_source_that_is_another_table_of_the_load_is_not_misplaced() -> None:
    manifest = manifest_of(source_entry())
    here, there = Relation("orders", "raw"), Relation("orders", "crm")
    assert match_sources([there, here], manifest) == Match((ORDERS,), ("orders",))
    assert [table.name for table in match_sources([there], manifest).misplaced] == ["orders"]


def test_declared_and_misplaced_tables_are_distinguished() -> None:
    manifest = manifest_of(source_entry(), source_entry("users", schema="crm"))
    match = match_sources([Relation("orders", "raw"), Relation("users", "raw")], manifest)
    assert match.sources == (ORDERS,)
    assert [table.name for table in match.misplaced] == ["users"]


def test_nested_tables_are_matched_like_others() -> None:
    items = source_entry("orders__items")
    match = match_sources(
        [Relation("orders", "raw"), Relation("orders__items", "raw")], manifest_of(items)
    )
    assert match == Match(("source.shop.raw.orders__items",), ("orders",))


@pytest.mark.parametrize("config", [{}, {"enabled": None}, {"enabled": True}])
def test_only_a_disabled_source_is_left_out(config: Any) -> None:
    match = match_sources([Relation("orders", "raw")], manifest_of(source_entry(config=config)))
    assert match.sources == (ORDERS,)


def in_file(name: str, **fields: Any) -> Relation:
    return Relation("orders", "raw", attached_as=name, **fields)


def test_a_duckdb_file_is_found_by_its_name_or_an_alias() -> None:
    for declared, built_into, is_declared in [
        ("warehouse", ["warehouse"], True),
        ("Warehouse", ["other"], True),
        (None, ["other"], True),
        # dbt builds into the loaded file, so the source is in another one
        ("elsewhere", ["warehouse"], False),
        # the source is in the file that dbt builds into, which is not the loaded one
        ("other", ["other"], False),
        ("elsewhere", [], False),
        # dbt builds into another file, and may attach the loaded one as `elsewhere`
        ("elsewhere", ["other"], True),
    ]:
        nodes = {f"model.shop.{name}": {"database": name} for name in built_into}
        manifest = manifest_of(source_entry(database=declared), nodes=nodes)
        match = match_sources([in_file("warehouse")], manifest)
        assert bool(match.sources) is is_declared
        assert bool(match.misplaced) is not is_declared


def test_files_are_matched_by_the_name_or_location_of_a_source() -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"name": "bills", "identifier": "bills", "external": {"location": "s3://a/raw/Orders/*"}},
        {"identifier": "b", "meta": {"external_location": "lake/orders.parquet"}},
        {"identifier": "b", "config": {"meta": {"external_location": "x/orders/y=1/*.parquet"}}},
        {"identifier": "b", "config": {"external_location": ["a/b", "lake/orders/*.jsonl"]}},
    ]
    for fields in cases:
        manifest = manifest_of(source_entry(**{"name": "orders", "schema": "any", **fields}))
        (unique_id,) = manifest.sources
        assert match_sources([Relation("orders", is_file=True)], manifest).sources == (unique_id,)
        other = match_sources([Relation("users", is_file=True)], manifest)
        assert other == Match((), ("users",))


def calls_of_matching(count: int) -> int:
    """Return the number of Python function calls that match tables with as many sources."""
    names = [f"table_{number}" for number in range(count)]
    manifest = manifest_of(*map(source_entry, names))
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        match = match_sources([Relation(name, "raw") for name in names], manifest)
    finally:
        sys.setprofile(None)
    assert len(match.sources) == count
    return calls


def test_the_work_grows_with_the_tables_and_not_with_their_square() -> None:
    assert calls_of_matching(400) <= 4.1 * calls_of_matching(100)
