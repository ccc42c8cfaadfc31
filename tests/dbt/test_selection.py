"""A load's commands build what it feeds: never less, and more only where dbt allows no better."""

from __future__ import annotations

import json
import shutil
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.dbt.commands import MAX_LENGTH
from dlt_dbtcloud.dbt.manifest import Manifest
from dlt_dbtcloud.dbt.selection import (
    Match,
    covers,
    fed_nodes,
    match_sources,
    narrowed_commands,
    selectors,
    sources_of,
)
from dlt_dbtcloud.values import Relation
from tests.support.clock import DBT_PATIENCE
from tests.support.processes import run_python

FLIGHTS, WEATHER = "source.shop.raw.flights", "source.shop.raw.weather"


def source(name: str) -> dict[str, Any]:
    return {"package_name": "shop", "source_name": "raw", "name": name, "schema": "raw"}


MANIFEST = {
    "sources": {FLIGHTS: source("flights"), WEATHER: source("weather")},
    "nodes": {"model.shop.stg": {}, "test.shop.t.1": {}},
    "child_map": {FLIGHTS: ["model.shop.stg"], "model.shop.stg": ["test.shop.t.1"]},
    "selectors": {},
}


@pytest.mark.parametrize(
    ("commands", "steps"),
    [
        (["dbt build"], ["dbt build --select source:raw.flights+"]),
        (
            ["dbt deps", "dbt run --full-refresh", "dbt test -s tag:a b,c --exclude d"],
            [
                "dbt deps",
                "dbt run --full-refresh --select source:raw.flights+",
                "dbt test --exclude d --select tag:a,source:raw.flights+ b,c,source:raw.flights+",
            ],
        ),
        # nothing that was loaded feeds a seed or a snapshot
        (["dbt seed", "dbt snapshot", "dbt run"], ["dbt run --select source:raw.flights+"]),
        (
            ["dbt run-operation grant", "dbt docs generate", "dbt source freshness", "dbt run"],
            [
                "dbt run-operation grant",
                "dbt docs generate",
                "dbt source freshness",
                "dbt run --select source:raw.flights+",
            ],
        ),
        # nothing at all that it feeds would be executed
        (["dbt seed", "dbt docs generate"], []),
        (["dbt deps"], []),
        ([], []),
    ],
)
def test_commands_build_what_the_sources_feed(commands: list[str], steps: list[str]) -> None:
    assert narrowed_commands(commands, Manifest(MANIFEST), [FLIGHTS]) == steps


@pytest.mark.parametrize(
    "line", ["dbt build --selector nightly", "dbt build 'x", "make build", "dbt"]
)
def test_what_cannot_be_narrowed_stays_whole_with_a_warning(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = narrowed_commands([line, "dbt run"], Manifest(MANIFEST), [FLIGHTS])
    assert steps == [line, "dbt run --select source:raw.flights+"]
    assert "Running a whole step" in caplog.text


def test_a_default_selector_keeps_a_step_whole() -> None:
    manifest = {**MANIFEST, "selectors": {"usual": {"name": "usual", "default": True}}}
    assert narrowed_commands(["dbt build"], Manifest(manifest), [FLIGHTS]) == ["dbt build"]


def test_nothing_fed_is_nothing_to_do() -> None:
    assert narrowed_commands(["dbt build"], Manifest(MANIFEST), [WEATHER]) == []
    assert narrowed_commands(["dbt build"], Manifest(MANIFEST), []) == []


def test_a_selection_that_is_too_long_becomes_broader_never_less() -> None:
    names = [f"table_{i:05}_{'x' * 40}" for i in range(3_000)]
    ids = [f"source.shop.raw.{name}" for name in names]
    manifest = {
        **MANIFEST,
        "sources": {uid: source(name) for uid, name in zip(ids, names, strict=True)},
        "child_map": {uid: ["model.shop.stg"] for uid in ids},
    }
    assert narrowed_commands(["dbt build"], Manifest(manifest), ids) == [
        "dbt build --select source:raw+"
    ]
    own = " ".join(f"tag:{i:04}" for i in range(8_000))
    (crossed,) = narrowed_commands([f"dbt build --select {own}"], Manifest(manifest), ids)
    # what does not fit in any way is left whole
    assert crossed == f"dbt build --select {own}"
    assert len(crossed) < MAX_LENGTH


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (["dbt build"], ["dbt build"], True),
        (["dbt build"], ["dbt build --select source:raw.a+"], True),
        (["dbt build --select a b c"], ["dbt build --select c a"], True),
        (["dbt seed", "dbt build"], ["dbt build -s a"], True),
        (["dbt build --select a"], ["dbt build --select a b"], False),
        (["dbt build --select a"], ["dbt build"], False),
        (["dbt build --exclude x"], ["dbt build --select a"], False),
        (["dbt build --full-refresh"], ["dbt build"], False),
        (["dbt run"], ["dbt build"], False),
        (["dbt test", "dbt run"], ["dbt run", "dbt test"], False),
        (["dbt build", "make x"], ["make y"], False),
        ([], ["dbt build"], False),
    ],
)
def test_whether_one_run_builds_all_that_another_would(
    theirs: list[str], ours: list[str], expected: bool
) -> None:
    assert covers(theirs, ours) is expected


TABLES = ["airlines", "airports", "flights", "planes", "weather"]
FLIGHTS_PROJECT = Path(__file__).parents[2] / "examples" / "flights_dbt"
EXECUTED = ("model", "seed", "snapshot", "test", "unit_test")

PROFILES = "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb, schema: main}}}\n"
PROJECT = "name: shop\nprofile: shop\nflags: {send_anonymous_usage_stats: false}\n"
PACKAGE = "name: billing\nmodels: {+materialized: view}\n"
ODD_NAMES = ["or.ders", "or ders", "orders*", "order[s]", "order?", "a+1", "it's", "orders"]
SOURCES = """
sources:
  - name: landing
    schema: raw
    tables:
      - name: sales
        identifier: orders
        columns: [{name: id, data_tests: [not_null]}]
      - name: refunds
      - name: only_read
  - name: odd
    schema: raw
    tables:
"""
SNAPSHOTS = """
snapshots:
  - name: history
    relation: source('landing', 'refunds')
    config: {unique_key: id, strategy: check, check_cols: all}
unit_tests:
  - name: sums
    model: totals
    given: [{input: ref('passed_on'), rows: [{id: 1}]}]
    expect: {rows: [{id: 1}]}
exposures:
  - name: board
    type: dashboard
    owner: {name: Sales, email: sales@example.com}
    depends_on: ["source('landing', 'only_read')"]
"""

PARSE = """
from dbt.cli.main import dbtRunner
done = dbtRunner().invoke(["parse", "--quiet"])
assert done.success, done.exception
"""
# it answers with what `dbt ls` selects for each of some selections, in one process
LIST = """
import json, sys
from dbt.cli.main import dbtRunner
runner = dbtRunner(manifest=dbtRunner().invoke(["parse", "--quiet"]).result)
options = ["ls", "--quiet", "--output", "json", "--output-keys", "unique_id"]
for selection in json.loads(sys.argv[1]):
    done = runner.invoke([*options, "--select", *selection])
    print(">>>", json.dumps([json.loads(line)["unique_id"] for line in done.result]))
"""


def manifest_in(folder: Path) -> Manifest:
    return Manifest(json.loads((folder / "target" / "manifest.json").read_text()))


def listed(folder: Path, selections: list[list[str]]) -> list[set[str]]:
    """Return the nodes to execute that dbt selects for each of some selections."""
    lines = run_python(LIST, json.dumps(selections), cwd=folder, timeout=DBT_PATIENCE).splitlines()
    found = [json.loads(line[3:]) for line in lines if line.startswith(">>>")]
    return [{uid for uid in one if uid.partition(".")[0] in EXECUTED} for one in found]


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dbt") / "flights"
    shutil.copytree(FLIGHTS_PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs"))
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dbt") / "shop"
    odd = "".join(f"      - {{name: {json.dumps(name)}}}\n" for name in ODD_NAMES)
    billed = "sources: [{name: landing, schema: bills, tables: [{name: sales}, {name: fees}]}]\n"
    files = {
        "profiles.yml": PROFILES,
        "dbt_project.yml": PROJECT,
        "models/sources.yml": SOURCES + odd + SNAPSHOTS,
        "models/passed_on.sql": "{{ config(materialized='ephemeral') }}"
        "select id from {{ source('landing', 'sales') }}",
        "models/totals.sql": "select sum(id) as id from {{ ref('passed_on') }}",
        "dbt_packages/billing/dbt_project.yml": PACKAGE,
        "dbt_packages/billing/models/sources.yml": billed,
        "dbt_packages/billing/models/bills.sql": "select * from {{ source('landing', 'sales') }}",
        "dbt_packages/billing/models/fees.sql": "select * from {{ source('landing', 'fees') }}",
    }
    for number, name in enumerate(ODD_NAMES):
        text = f"select * from {{{{ source('odd', {json.dumps(name)}) }}}}"
        files[f"models/odd_{number}.sql"] = text
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    run_python(PARSE, cwd=folder, timeout=DBT_PATIENCE)
    return folder


def source_entry(name: str = "orders", **changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": name,
        "identifier": name,
        "source_name": "raw",
        "schema": "raw",
        "database": "warehouse",
        "package_name": "shop",
    }
    return {**entry, **changes}


def manifest_of(*sources: dict[str, Any], **sections: Any) -> Manifest:
    ids = [f"source.{one['package_name']}.{one['source_name']}.{one['name']}" for one in sources]
    declared = dict(zip(ids, sources, strict=True))
    return Manifest({"nodes": {}, "sources": declared, **sections})


ORDERS = "source.shop.raw.orders"


@pytest.mark.dbt
def test_each_set_of_tables_selects_what_dbt_lists_for_it(flights: Path) -> None:
    sizes = range(1, len(TABLES) + 1)
    sets = [list(one) for one in chain(*(combinations(TABLES, size) for size in sizes))]
    selections = [[f"source:raw.{table}+" for table in one] for one in sets]
    expected = listed(flights, selections)
    assert len(set(map(frozenset, expected))) == len(sets) == 31
    manifest = manifest_in(flights)
    fed = [match_sources([Relation(t, "raw", "flights") for t in one], manifest) for one in sets]
    assert [selectors(manifest, one.sources) for one in fed] == selections
    assert [fed_nodes(manifest, one.sources) for one in fed] == expected


@pytest.mark.dbt
def test_every_kind_of_name_and_node_selects_what_it_feeds(shop: Path) -> None:
    manifest = manifest_in(shop)
    ids = sorted(manifest.sources)
    selections = [selectors(manifest, [one]) for one in ids]
    chosen = [one - {"model.shop.passed_on"} for one in listed(shop, selections)]
    fed = [fed_nodes(manifest, [one]) for one in ids]
    # these two differ in a character that no selector can hold
    alike = [ids.index(f"source.shop.odd.{name}") for name in ("or.ders", "or ders")]
    for number in alike:
        assert len(chosen[number]) == 2
        assert chosen[number] == fed[alike[0]] | fed[alike[1]]
        fed[number] = chosen[number]
    assert chosen == fed


@pytest.mark.dbt
def test_broader_selectors_select_no_less(shop: Path) -> None:
    manifest = manifest_in(shop)
    ids = sorted(manifest.sources)
    by_source, by_all = selectors(manifest, ids, 60), selectors(manifest, ids, 20)
    assert by_source == ["source:billing.landing.*+", "source:shop.landing.*+", "source:odd+"]
    assert by_all == ["source:*+"]
    fed = fed_nodes(manifest, ids)
    for selected in listed(shop, [selectors(manifest, ids), by_source, by_all]):
        assert selected - {"model.shop.passed_on"} == fed


@pytest.mark.dbt
def test_what_is_executed_counts_as_fed(shop: Path) -> None:
    manifest = manifest_in(shop)
    kinds = {
        unique_id: {one.partition(".")[0] for one in fed_nodes(manifest, [unique_id])}
        for unique_id in manifest.sources
    }
    assert kinds["source.shop.landing.sales"] == {"model", "test", "unit_test"}
    assert kinds["source.shop.landing.refunds"] == {"snapshot"}
    assert kinds["source.shop.landing.only_read"] == set()


@pytest.mark.dbt
def test_the_nodes_tell_the_same_as_the_maps(shop: Path) -> None:
    content = json.loads((shop / "target" / "manifest.json").read_text())
    manifest = Manifest(content)
    bare = Manifest({key: value for key, value in content.items() if not key.endswith("_map")})
    for unique_id in manifest.sources:
        fed = fed_nodes(manifest, [unique_id])
        assert fed_nodes(bare, [unique_id]) == fed
        for node in fed:
            assert unique_id in sources_of(manifest, node)
            assert sources_of(bare, node) == sources_of(manifest, node)


def test_the_names_that_dbt_gives_do_not_count() -> None:
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


def test_tables_that_no_source_declares_are_named() -> None:
    relations = [Relation("users", "raw"), Relation("orders", "raw"), Relation("carts", "raw")]
    assert match_sources(relations, manifest_of(source_entry())) == Match(
        (ORDERS,), ("carts", "users")
    )


@pytest.mark.parametrize(
    ("relation", "is_declared"),
    [
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
    ],
)
def test_a_table_is_known_by_its_place(relation: Relation, is_declared: bool) -> None:
    assert bool(match_sources([relation], manifest_of(source_entry())).sources) is is_declared


@pytest.mark.parametrize("database", [None, ""])
def test_a_database_that_dbt_does_not_know_is_not_compared(database: str | None) -> None:
    manifest = manifest_of(source_entry(database=database))
    assert match_sources([Relation("orders", "raw", "warehouse")], manifest).sources == (ORDERS,)


def test_a_disabled_source_is_none() -> None:
    manifest = manifest_of(source_entry(config={"enabled": False}))
    assert match_sources([Relation("orders", "raw")], manifest) == Match((), ("orders",))


def test_a_source_of_one_name_in_two_packages_is_told_apart() -> None:
    manifest = manifest_of(
        source_entry(),
        source_entry(package_name="billing"),
        source_entry(source_name="other"),
    )
    assert selectors(manifest, [ORDERS]) == ["source:shop.raw.orders+"]
    assert selectors(manifest, ["source.shop.other.orders"]) == ["source:other.orders+"]


def test_a_selection_is_as_narrow_as_the_limit_allows() -> None:
    manifest = manifest_of(source_entry(), source_entry("users"))
    both = ["source:raw.orders+", "source:raw.users+"]
    length = len(" ".join(both))
    assert selectors(manifest, manifest.sources, length) == both
    assert selectors(manifest, manifest.sources, length - 1) == ["source:raw+"]
    assert selectors(manifest, manifest.sources, 5) == ["source:*+"]
    assert selectors(manifest, []) == []


@pytest.mark.parametrize("text", ["", [], {"nodes": {}}, {"sources": [], "nodes": {}}, None])
def test_what_is_no_manifest_is_an_error(text: Any) -> None:
    with pytest.raises(DBTCloudException, match="not a dbt manifest: it has no `sources`"):
        match_sources([], Manifest(text))
    with pytest.raises(DBTCloudException, match="not a dbt manifest"):
        selectors(Manifest(text), [])


@pytest.mark.parametrize("text", [[], {"sources": {}}])
def test_lineage_needs_nodes(text: Any) -> None:
    with pytest.raises(DBTCloudException, match="it has no `nodes`"):
        fed_nodes(Manifest(text), [])
    with pytest.raises(DBTCloudException, match="it has no `nodes`"):
        sources_of(Manifest(text), "model.shop.totals")


def test_a_node_is_fed_through_others() -> None:
    nodes = {
        "model.shop.staged": {"depends_on": {"nodes": [ORDERS]}},
        "model.shop.total": {"depends_on": {"nodes": ["model.shop.staged", "seed.shop.rates"]}},
        "seed.shop.rates": {"depends_on": {"macros": []}},
    }
    manifest = manifest_of(source_entry(), nodes=nodes)
    assert sources_of(manifest, "model.shop.total") == [ORDERS]
    assert sources_of(manifest, "seed.shop.rates") == []
    assert sources_of(manifest, "model.shop.unknown") == []
    assert fed_nodes(manifest, [ORDERS]) == {"model.shop.staged", "model.shop.total"}
