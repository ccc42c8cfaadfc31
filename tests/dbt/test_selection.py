"""Narrowed commands build all descendants of a load, and more only if dbt has no criterion."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, combinations
from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.dbt.commands import MAX_LENGTH
from dlt_dbtcloud.dbt.matching import match_sources
from dlt_dbtcloud.dbt.selection import (
    covers,
    fed_nodes,
    has_own_selection,
    narrowed_commands,
    nodes_of_command,
    selectors,
    sources_of,
)
from dlt_dbtcloud.values import Relation
from tests.fixtures import AnswersOf
from tests.support.dbt.answers import Answers
from tests.support.dbt.manifests import manifest_of, read_manifest, source_entry

FLIGHTS, WEATHER = "source.shop.raw.flights", "source.shop.raw.weather"


def source(name: str) -> dict[str, Any]:
    return {"package_name": "shop", "source_name": "raw", "name": name, "schema": "raw"}


MANIFEST = {
    "sources": {FLIGHTS: source("flights"), WEATHER: source("weather")},
    "nodes": {"model.shop.stg": {}, "test.shop.t.1": {}},
    "child_map": {FLIGHTS: ["model.shop.stg"], "model.shop.stg": ["test.shop.t.1"]},
    "selectors": {},
}


def test_commands_build_the_descendants_of_the_sources() -> None:
    for commands, steps in [
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
    ]:
        assert narrowed_commands(commands, read_manifest(MANIFEST), [FLIGHTS]) == steps


@pytest.mark.parametrize(
    "line", ["dbt build --selector nightly", "dbt build 'x", "make build", "dbt"]
)
def test_a_command_that_cannot_be_narrowed_stays_whole_with_a_warning(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = narrowed_commands([line, "dbt run"], read_manifest(MANIFEST), [FLIGHTS])
    assert steps == [line, "dbt run --select source:raw.flights+"]
    assert "Running a whole step" in caplog.text


def test_a_default_selector_keeps_a_step_whole() -> None:
    manifest = {**MANIFEST, "selectors": {"usual": {"name": "usual", "default": True}}}
    assert narrowed_commands(["dbt build"], read_manifest(manifest), [FLIGHTS]) == ["dbt build"]


def test_sources_without_descendants_need_no_commands() -> None:
    assert narrowed_commands(["dbt build"], read_manifest(MANIFEST), [WEATHER]) == []
    assert narrowed_commands(["dbt build"], read_manifest(MANIFEST), []) == []


def test_a_selection_that_is_too_long_becomes_broader_never_less() -> None:
    names = [f"table_{i:05}_{'x' * 200}" for i in range(700)]
    ids = [f"source.shop.raw.{name}" for name in names]
    manifest = {
        **MANIFEST,
        "sources": {uid: source(name) for uid, name in zip(ids, names, strict=True)},
        "child_map": {uid: ["model.shop.stg"] for uid in ids},
    }
    assert narrowed_commands(["dbt build"], read_manifest(manifest), ids) == [
        "dbt build --select source:raw+"
    ]
    own = " ".join(f"tag:{i:04}" for i in range(8_000))
    (crossed,) = narrowed_commands([f"dbt build --select {own}"], read_manifest(manifest), ids)
    # a command that fits in no form stays whole
    assert crossed == f"dbt build --select {own}"
    assert len(crossed) < MAX_LENGTH


def test_a_run_covers_another_with_the_same_or_narrower_commands() -> None:
    for theirs, ours, expected in [
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
        (["dbt build --vars x"], ["dbt build"], False),
        (["dbt build --vars x"], ["dbt build --vars x -s a"], True),
        ([], ["dbt build"], False),
    ]:
        assert covers(theirs, ours) is expected


def test_variables_can_be_left_out_of_the_comparison() -> None:
    assert covers(["dbt build --vars x"], ["dbt build --vars y -s a"], with_vars=False)
    assert not covers(["dbt build --vars x -s b"], ["dbt build -s a"], with_vars=False)


TABLES = ["airlines", "airports", "flights", "planes", "weather"]
EXECUTED = ("model", "seed", "snapshot", "test", "unit_test")

ORDERS = "source.shop.raw.orders"


def listed(answers: Answers, selections: Iterable[list[str]]) -> list[set[str]]:
    """Return the nodes to execute that dbt selects for each of some selections."""
    found = answers.nodes_of(["ls", "--select", *selection] for selection in selections)
    return [{uid for uid in ids if uid.partition(".")[0] in EXECUTED} for ids in found]


def test_each_set_of_tables_selects_the_nodes_that_dbt_lists(answers: AnswersOf) -> None:
    sizes = range(1, len(TABLES) + 1)
    sets = [list(some) for some in chain(*(combinations(TABLES, size) for size in sizes))]
    selections = [[f"source:raw.{table}+" for table in some] for some in sets]
    expected = listed(answers("flights"), selections)
    assert len(set(map(frozenset, expected))) == len(sets) == 31
    manifest = read_manifest(answers("flights").manifest)
    matches = [
        match_sources([Relation(t, "raw", "flights") for t in some], manifest) for some in sets
    ]
    assert [selectors(manifest, match.sources) for match in matches] == selections
    assert [fed_nodes(manifest, match.sources) for match in matches] == expected


def test_sources_of_any_name_select_their_descendants(answers: AnswersOf) -> None:
    manifest = read_manifest(answers("landing").manifest)
    ids = sorted(manifest.sources)
    selections = [selectors(manifest, [uid]) for uid in ids]
    chosen = [found - {"model.shop.passed_on"} for found in listed(answers("landing"), selections)]
    fed = [fed_nodes(manifest, [uid]) for uid in ids]
    # these two differ in a character that no selector can contain
    alike = [ids.index(f"source.shop.odd.{name}") for name in ("or.ders", "or ders")]
    for number in alike:
        assert len(chosen[number]) == 2
        assert chosen[number] == fed[alike[0]] | fed[alike[1]]
        fed[number] = chosen[number]
    assert chosen == fed


def test_broader_selectors_select_no_less(answers: AnswersOf) -> None:
    manifest = read_manifest(answers("landing").manifest)
    ids = sorted(manifest.sources)
    by_source, by_all = selectors(manifest, ids, 60), selectors(manifest, ids, 20)
    assert by_source == ["source:billing.landing.*+", "source:shop.landing.*+", "source:odd+"]
    assert by_all == ["source:*+"]
    fed = fed_nodes(manifest, ids)
    for selected in listed(answers("landing"), [selectors(manifest, ids), by_source, by_all]):
        assert selected - {"model.shop.passed_on"} == fed


def test_only_executed_types_are_fed(answers: AnswersOf) -> None:
    manifest = read_manifest(answers("landing").manifest)
    kinds = {
        unique_id: {uid.partition(".")[0] for uid in fed_nodes(manifest, [unique_id])}
        for unique_id in manifest.sources
    }
    assert kinds["source.shop.landing.sales"] == {"model", "test", "unit_test"}
    assert kinds["source.shop.landing.refunds"] == {"snapshot"}
    assert kinds["source.shop.landing.only_read"] == set()


def test_the_graph_of_the_nodes_is_that_of_the_maps(answers: AnswersOf) -> None:
    content = answers("landing").manifest
    manifest = read_manifest(content)
    bare = read_manifest({key: value for key, value in content.items() if not key.endswith("_map")})
    for unique_id in manifest.sources:
        fed = fed_nodes(manifest, [unique_id])
        assert fed_nodes(bare, [unique_id]) == fed
        for node in fed:
            assert unique_id in sources_of(manifest, node)
            assert sources_of(bare, node) == sources_of(manifest, node)


def test_sources_of_one_name_are_selected_with_their_package() -> None:
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


@pytest.mark.parametrize("text", [{}, {"nodes": {}}, {"sources": [], "nodes": {}}])
def test_anything_but_a_manifest_is_an_error(text: Any) -> None:
    with pytest.raises(DBTCloudException, match="not a dbt manifest: it has no `sources`"):
        match_sources([], read_manifest(text))
    with pytest.raises(DBTCloudException, match="not a dbt manifest"):
        selectors(read_manifest(text), [])


@pytest.mark.parametrize("text", [{}, {"sources": {}}])
def test_lineage_needs_nodes(text: Any) -> None:
    with pytest.raises(DBTCloudException, match="it has no `nodes`"):
        fed_nodes(read_manifest(text), [])
    with pytest.raises(DBTCloudException, match="it has no `nodes`"):
        sources_of(read_manifest(text), "model.shop.totals")


def test_sources_are_found_through_other_nodes() -> None:
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


KINDS = {
    *("model.p.a", "model.p.hidden", "seed.p.b", "snapshot.p.c", "test.p.d.1", "unit_test.p.e"),
    *("exposure.p.f", "saved_query.p.g", "source.p.h.i", "analysis.p.j"),
}
TYPED = {
    "metadata": {"dbt_version": "1.11.16"},
    "nodes": {
        unique_id: {"config": {"materialized": "ephemeral"}} if "hidden" in unique_id else {}
        for unique_id in KINDS
    },
}


def test_a_command_executes_nodes_of_its_types() -> None:
    for line, names in [
        ("dbt build", "abcdefg"),
        ("dbt build --select tag:x", "abcdefg"),
        ("dbt run", "a"),
        ("dbt test", "de"),
        ("dbt seed", "b"),
        ("dbt snapshot", "c"),
        ("dbt build --exclude-resource-type test unit_test", "abcfg"),
        ("dbt build --resource-type model seed --exclude-resource-types seed", "a"),
        ("dbt build --resource-types all", "abcdefg"),
        ("dbt compile", ""),
        ("dbt source freshness", ""),
        ("make build", ""),
    ]:
        found = nodes_of_command(line, read_manifest(TYPED), KINDS)
        assert "".join(sorted(unique_id.split(".")[2] for unique_id in found)) == names


@pytest.mark.parametrize("version", ["2.0.0-preview.196", "1.9.4", None])
def test_other_engines_report_no_exposures(version: str | None) -> None:
    manifest = read_manifest({**TYPED, "metadata": {"dbt_version": version}})
    assert "exposure.p.f" not in nodes_of_command("dbt build", manifest, KINDS)


@pytest.mark.parametrize(
    ("line", "selectors", "expected"),
    [
        ("dbt build", {}, False),
        ("dbt build", {"x": {"default": True}}, True),
        ("dbt build -s a", {}, True),
        ("dbt build --exclude a", {}, True),
        ("dbt build --selector a", {}, True),
        ("dbt build --resource-type test", {}, False),
        ("make build", {}, False),
    ],
)
def test_a_selection_of_a_commands_own_is_known(
    line: str, selectors: dict[str, Any], expected: bool
) -> None:
    manifest = read_manifest({**MANIFEST, "selectors": selectors})
    assert has_own_selection(line, manifest) is expected
