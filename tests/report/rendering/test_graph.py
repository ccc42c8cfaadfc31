"""The graph of a page agrees with the manifest on what a failure blocks."""

from __future__ import annotations

import json
import time

import pytest

from dlt_dbtcloud.dbt import Manifest, decode_manifest, sources_of
from dlt_dbtcloud.report import Node
from dlt_dbtcloud.report.project import project_nodes
from dlt_dbtcloud.report.rendering.graph import Graph, is_drawn
from tests.support.dbt.recordings import CORE, FUSION, load

AB = [("a", "b"), ("b", "a")]
PROJECTS = [("failed_model", CORE), ("failures", FUSION)]


def project(name: str, engine: str) -> Manifest:
    artifacts = load(name, engine)[0]["artifacts"]
    return Manifest(decode_manifest(json.dumps(artifacts["manifest.json"]).encode()))


@pytest.mark.parametrize(("name", "engine"), PROJECTS)
def test_a_failure_blocks_what_the_manifest_says(name: str, engine: str) -> None:
    manifest = project(name, engine)
    graph = Graph(project_nodes(manifest, {}))
    for key in manifest.unique_ids:
        assert graph.blocked_by(key) == manifest.blocked_by(key) - {key}, key
        if not key.startswith("source."):
            assert graph.sources(key) == sorted(sources_of(manifest, key)), key


def test_dbt_waits_for_the_tests_of_what_a_node_is_made_of() -> None:
    nodes = [
        Node("model.a", "a", "model"),
        Node("model.b", "b", "model"),
        Node("model.c", "c", "model", parents=("model.a",)),
        Node("test.of_a", "of_a", "test", parents=("model.a",)),
        Node("test.of_both", "of_both", "test", parents=("model.a", "model.b")),
    ]
    graph = Graph(nodes)
    assert graph.awaited("model.c", graph.nodes) == ["model.a", "test.of_a"]
    assert graph.awaited("test.of_a", graph.nodes) == ["model.a"]
    # those that are not executed are not awaited
    assert graph.awaited("model.c", {"test.of_a"}) == ["test.of_a"]
    assert graph.awaited("model.c", {}) == []


def test_the_last_of_very_many_nodes_waits_for_the_first_in_time() -> None:
    # a wide project of which only the ends are executed
    nodes = [Node("model.0", "0", "model")]
    for i in range(1, 4_000):
        parents = tuple({f"model.{i - 1}", f"model.{i // 2}"})
        nodes += [Node(f"model.{i}", str(i), "model", parents=parents)]
        nodes += [Node(f"test.{i}", str(i), "test", parents=(f"model.{i}",))]
    graph = Graph(nodes)
    began = time.thread_time()
    assert graph.awaited("model.3999", {"model.0", "model.3999"}) == ["model.0"]
    assert time.thread_time() - began < 5


def test_unknown_parents_and_loops_are_dropped() -> None:
    graph = Graph([Node("model.a", "a", "model", parents=("model.a", "model.x"))])
    assert graph.parents == {"model.a": []}
    assert graph.descendants("model.x") == set()


def test_a_cycle_ends() -> None:
    nodes = [Node(f"model.{a}", a, "model", parents=(f"model.{b}",)) for a, b in AB]
    assert Graph(nodes).ancestors("model.a") == {"model.b"}


def test_the_lineage_has_no_tests() -> None:
    kinds = ("model", "test", "unit_test", "exposure", "source", "metric")
    nodes = [Node(f"{kind}.x", "x", kind) for kind in kinds]
    assert [node.resource_type for node in nodes if is_drawn(node)] == [
        *("model", "exposure", "source", "metric")
    ]
