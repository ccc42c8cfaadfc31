"""Manifests of any version are read; a malformed field costs its node, and is named."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.dbt.manifest import Manifest
from tests.support.dbt.manifests import read_manifest
from tests.support.dbt.nodes import manifest, node
from tests.support.dbt.recordings import FUSION, load


def test_missing_fields_are_empty() -> None:
    node = Manifest().node("model.shop.orders.v2")
    assert (node["name"], node["resource_type"]) == ("orders", "model")
    assert not any(
        value for name, value in node.items() if name not in ("unique_id", "name", "resource_type")
    )


@pytest.mark.parametrize(
    ("unique_id", "name"),
    [("source.shop.raw.orders", "orders"), ("seed.shop.days", "days"), ("nonsense", "nonsense")],
)
def test_an_unknown_node_is_named_by_its_id(unique_id: str, name: str) -> None:
    assert Manifest().node(unique_id)["name"] == name


TYPED: dict[str, dict[str, Any]] = {
    "model.shop.kept": {"name": "kept"},
    "model.shop.orders": {"name": "orders", "depends_on": {"nodes": ["model.shop.kept"]}},
}


def test_a_field_of_another_type_costs_its_node_and_is_named() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tags": 5}, ".tags"),
        ({"tags": {"a": 1}}, ".tags"),
        ({"tags": ["a", None]}, ".tags[1]"),
        ({"meta": "a"}, ".meta"),
        ({"version": {"a": 1}}, ".version"),
        ({"description": [1]}, ".description"),
        ({"config": 1}, ".config"),
        ({"config": {"enabled": "no"}}, ".config.enabled"),
        ({"depends_on": []}, ".depends_on"),
        ({"depends_on": {"nodes": [1]}}, ".depends_on.nodes[0]"),
        ({"columns": ["a"]}, ".columns"),
        ({"columns": {"id": {"name": 7}}}, ".columns[...].name"),
        ({"owner": "ann"}, ".owner"),
    ]
    for odd, path in cases:
        nodes = {**TYPED, "model.shop.orders": {**TYPED["model.shop.orders"], **odd}}
        project = read_manifest({"nodes": nodes, "sources": {}, "child_map": {}})
        assert project.unique_ids == ["model.shop.kept"]
        assert project.lost == {"model.shop.orders"}
        assert "model.shop.orders" not in project
        assert project.node("model.shop.orders") == Manifest().node("model.shop.orders")
        place = f'`$.nodes["model.shop.orders"]{path}`'
        assert [*map(str, project.unread)] == [place]
        assert project.damage == f"{place} is of an unexpected type"


def test_a_section_of_another_type_costs_no_other_section() -> None:
    project = read_manifest({"nodes": TYPED, "sources": 7, "groups": "a", "metadata": []})
    assert project.unique_ids == [*TYPED]
    assert {each.path for each in project.unread} == {"$.sources", "$.groups", "$.metadata"}
    assert (project.adapter_type, project.dbt_version) == (None, None)
    assert project.lost == set()


def test_ephemeral_parents_are_replaced_and_the_order_is_kept() -> None:
    ephemeral = {"materialized": "ephemeral"}
    project = read_manifest(
        manifest(
            node("model.shop.a", "model.shop.hidden", "seed.shop.days"),
            node("model.shop.hidden", "model.shop.deeper", "seed.shop.days", config=ephemeral),
            node("model.shop.deeper", "source.shop.raw.orders", config=ephemeral),
        )
    )
    assert project.parents("model.shop.a") == ["source.shop.raw.orders", "seed.shop.days"]


def test_a_cycle_of_ephemeral_models_has_no_parents() -> None:
    ephemeral = {"materialized": "ephemeral"}
    project = read_manifest(
        manifest(
            node("model.shop.a", "model.shop.b", config=ephemeral),
            node("model.shop.b", "model.shop.a", config=ephemeral),
        )
    )
    assert project.parents("model.shop.a") == []


def test_only_nodes_with_a_relation_are_parents() -> None:
    parents = ["function.shop.f", "operation.shop.o", "macro.dbt.m", "snapshot.shop.s"]
    assert read_manifest(manifest(node("model.shop.a", *parents))).parents("model.shop.a") == [
        "snapshot.shop.s"
    ]


SEMANTIC_LAYER: dict[str, Any] = {
    "functions": {"function.shop.f": {"schema": "marts", "alias": "f", "depends_on": {}}},
    "semantic_models": {
        "semantic_model.shop.orders": {
            "name": "orders",
            "original_file_path": "models/orders.yml",
            "node_relation": {"alias": "a", "schema_name": "marts", "relation_name": "db.marts.a"},
            "config": {"meta": {"owner": "ann"}},
            "depends_on": {"nodes": ["model.shop.a"]},
        }
    },
    "metrics": {
        "metric.shop.revenue": {
            "description": "The income.",
            "config": {"tags": ["kpi"]},
            "depends_on": {"nodes": ["semantic_model.shop.orders"]},
        }
    },
    "saved_queries": {
        "saved_query.shop.weekly": {"depends_on": {"nodes": ["metric.shop.revenue"]}}
    },
    "exposures": {"exposure.shop.board": {"depends_on": {"nodes": ["metric.shop.revenue"]}}},
}


def test_the_semantic_layer_and_functions_are_nodes() -> None:
    project = read_manifest(manifest(node("model.shop.a", "function.shop.f"), **SEMANTIC_LAYER))
    nodes = {unique_id: project.node(unique_id) for unique_id in project.unique_ids}
    assert {unique_id: node["resource_type"] for unique_id, node in nodes.items()} == {
        "exposure.shop.board": "exposure",
        "function.shop.f": "function",
        "metric.shop.revenue": "metric",
        "model.shop.a": "model",
        "saved_query.shop.weekly": "saved_query",
        "semantic_model.shop.orders": "semantic_model",
    }
    assert nodes["semantic_model.shop.orders"]["owners"] == ["ann"]
    # its model's, which it reads
    assert nodes["semantic_model.shop.orders"]["relation_name"] is None
    assert nodes["metric.shop.revenue"]["tags"] == ["kpi"]
    assert nodes["metric.shop.revenue"]["description"] == "The income."
    assert nodes["function.shop.f"]["schema"] == "marts"
    assert project.dependencies("exposure.shop.board") == ["metric.shop.revenue"]
    # none of them has rows to read
    assert project.parents("exposure.shop.board") == project.parents("model.shop.a") == []


def test_owners_come_from_the_node_or_its_group() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []),
        ({"meta": {"owner": "ann"}}, ["ann"]),
        ({"config": {"meta": {"owner": ["ann", "bob"]}}}, ["ann", "bob"]),
        ({"group": "sales"}, ["sales@example.com"]),
        ({"config": {"group": "sales"}, "package_name": "other"}, ["Others"]),
        ({"group": "sales", "meta": {"owner": "ann"}}, ["ann"]),
        ({"group": "unheard"}, []),
    ]
    for more, owners in cases:
        mine = {"name": "sales", "owner": {"name": "Sales", "email": "sales@example.com"}}
        other = {"name": "sales", "package_name": "other", "owner": {"name": "Others"}}
        groups = {"group.shop.sales": mine, "group.other.sales": other}
        project = read_manifest(manifest(node("model.shop.a", **more), groups=groups))
        assert project.node("model.shop.a")["owners"] == owners


def test_dbt_fusion_is_known_by_its_version() -> None:
    for version, expected in [
        ("2.0.0-preview.196", True),
        ("2.1.3", True),
        ("1.11.7", False),
        # a release track of the dbt platform
        ("2025.6.11+e1d2f3a", False),
        ("", False),
        (None, False),
    ]:
        assert read_manifest({"metadata": {"dbt_version": version}}).is_from_fusion is expected


def test_dbt_core_reports_exposures_since_its_version_1_10() -> None:
    for version, expected in [
        *(("1.11.16", True), ("1.10.0a1", True), ("2026.4.7+4533730", True)),
        *(("1.9.4", False), ("2.0.0-preview.196", False), ("", False), (None, False)),
    ]:
        assert read_manifest({"metadata": {"dbt_version": version}}).lists_exposures is expected


def test_a_manifest_in_version_20_is_read_like_one_in_version_12() -> None:
    """As the first versions of dbt Fusion wrote it: no maps, tags and meta only in `config`."""
    written = load("built", FUSION)[0]["artifacts"]["manifest.json"]
    first = {
        **written,
        "metadata": {
            **written["metadata"],
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v20.json",
        },
        "parent_map": {},
        "child_map": {},
        "nodes": {
            unique_id: {
                name: value for name, value in entry.items() if name not in ("tags", "meta")
            }
            for unique_id, entry in written["nodes"].items()
        },
    }
    v12, v20 = read_manifest(written), read_manifest(first)
    assert [v20.node(each) for each in v20.unique_ids] == [
        v12.node(each) for each in v12.unique_ids
    ]
    assert v20.node("model.orchard.juice")["tags"] == ["liquid"]
    for each in v12.unique_ids:
        assert v20.descendants([each]) == v12.descendants([each])
        assert v20.ancestors(each) == v12.ancestors(each)


def test_a_failed_node_blocks_what_is_made_of_it() -> None:
    project = read_manifest(
        manifest(
            node("model.shop.a"),
            node("model.shop.b"),
            node("model.shop.of_a", "model.shop.a"),
            node("model.shop.of_b", "model.shop.b"),
            node("model.shop.of_both", "model.shop.of_a", "model.shop.b"),
            node("test.shop.on_a.1", "model.shop.a", attached_node="model.shop.a"),
            # a relationship between both
            node("test.shop.on_both.2", "model.shop.b", "model.shop.a"),
            node("test.shop.on_nothing.3"),
            node("test.shop.attached.4", attached_node="model.shop.b"),
            node("unit_test.shop.a.works", "model.shop.a"),
        )
    )
    of_a = {"model.shop.of_a", "model.shop.of_both"}
    tests_of_a = {"test.shop.on_a.1", "test.shop.on_both.2", "unit_test.shop.a.works"}
    assert project.blocked_by("model.shop.a") == of_a | tests_of_a
    assert of_a <= project.blocked_by("test.shop.on_a.1") <= of_a | tests_of_a
    assert "model.shop.of_both" in project.blocked_by("test.shop.on_both.2")
    assert not {"model.shop.of_a", "model.shop.of_b"} & project.blocked_by("test.shop.on_both.2")
    assert project.blocked_by("test.shop.on_nothing.3") == set()
    assert "model.shop.of_b" in project.blocked_by("test.shop.attached.4")
    assert {"model.shop.a", *of_a} <= project.blocked_by("unit_test.shop.a.works")


def test_columns_come_from_the_catalog_with_their_documentation() -> None:
    documented = {
        "id": {"name": "id", "description": "Of the order.", "data_type": "int"},
        "gone": {"name": "gone"},
    }
    built = {
        "NOTE": {"name": "NOTE", "index": 2, "type": "TEXT", "comment": "Free text."},
        "ID": {"name": "ID", "index": 1, "type": "NUMBER", "comment": None},
    }
    artifacts = manifest(node("model.shop.a", columns=documented))
    catalog = {"nodes": {"model.shop.a": {"columns": built}}}
    assert read_manifest(artifacts, catalog).node("model.shop.a")["columns"] == [
        {"name": "ID", "type": "NUMBER", "description": "Of the order."},
        {"name": "NOTE", "type": "TEXT", "description": "Free text."},
    ]
    assert read_manifest(artifacts).node("model.shop.a")["columns"] == [
        {"name": "id", "type": "int", "description": "Of the order."},
        {"name": "gone", "type": None, "description": None},
    ]


COMPLETE: dict[str, Any] = {
    "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
    "sources": {"source.a.b.c": {"name": "c", "source_name": "b", "package_name": "a"}},
    "nodes": {"model.a.m": {"depends_on": {"nodes": ["source.a.b.c"], "macros": []}}},
    "exposures": {"exposure.a.e": {"depends_on": {"nodes": ["model.a.m", "model.a.removed"]}}},
    "child_map": {"source.a.b.c": ["model.a.m"], "model.a.m": ["exposure.a.e"]},
}
VERSION = "https://schemas.getdbt.com/dbt/manifest/v{}.json"


def test_a_complete_graph_is_not_damaged() -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"metadata": None},
        {"metadata": {"dbt_schema_version": VERSION.format(1)}},
        {"metadata": {"dbt_schema_version": VERSION.format(20)}},
        {"nodes": {"model.a.m": {}, "seed.a.s": {"depends_on": {"macros": []}}}},
        # exposures and the like are not executed
        {"child_map": {"source.a.b.c": ["model.a.m"]}},
    ]
    for changes in cases:
        assert read_manifest({**COMPLETE, **changes}).damage is None


def test_the_damage_of_a_graph_is_named() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"metadata": {"dbt_schema_version": VERSION.format(99)}}, "is not a known version"),
        (
            {"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json"}},
            "sources/v3.json` is not a known version",
        ),
        ({"nodes": None}, "it has no `nodes`"),
        ({"nodes": []}, "it has no `nodes`"),
        ({"sources": [{}]}, "it has no `sources`"),
        ({"child_map": None}, "it has no `child_map`"),
        ({"child_map": []}, "it has no `child_map`"),
        (
            {"child_map": {"model.a.m": ["exposure.a.e"]}},
            "its `child_map` lacks `model.a.m` as a child of `source.a.b.c`",
        ),
        ({"child_map": {"source.a.b.c": None}}, '`$.child_map["source.a.b.c"]` is of an unexp'),
        ({"child_map": {"source.a.b.c": "model.a.m"}}, '`$.child_map["source.a.b.c"]` is of'),
        ({"child_map": {"source.a.b.c": [1]}}, '`$.child_map["source.a.b.c"][0]` is of an'),
        ({"parent_map": ["x"]}, "`$.parent_map` is of an unexpected type"),
        ({"metadata": {"dbt_schema_version": 12}}, "`$.metadata.dbt_schema_version` is of an"),
        ({"nodes": {"model.a.m": None}}, '`$.nodes["model.a.m"]` is of an unexpected type'),
        ({"nodes": {"model.a.m": ["x"]}}, '`$.nodes["model.a.m"]` is of an unexpected type'),
        ({"nodes": {"model.a.m": {"depends_on": None}}}, '`$.nodes["model.a.m"].depends_on` is'),
        ({"nodes": {"model.a.m": {"depends_on": []}}}, '`$.nodes["model.a.m"].depends_on` is of'),
        (
            {"nodes": {"model.a.m": {"depends_on": {"nodes": None}}}},
            '`$.nodes["model.a.m"].depends_on.nodes` is of an unexpected type',
        ),
        ({"unit_tests": ["x"]}, "`$.unit_tests` is of an unexpected type"),
        ({"selectors": ["x"]}, "`$.selectors` is of an unexpected type"),
        ({"selectors": {"nightly": None}}, '`$.selectors["nightly"]` is of an unexpected type'),
        ({"sources": {"source.a.b.c": {}}}, "`source.a.b.c` lacks one of name, source_name, pack"),
        ({"sources": {"source.a.b.c": {"name": 1}}}, '`$.sources["source.a.b.c"].name` is of an'),
    ]
    for changes, damage in cases:
        assert damage in (read_manifest({**COMPLETE, **changes}).damage or "")
