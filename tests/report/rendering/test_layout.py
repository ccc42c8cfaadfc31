"""A layout is deterministic, its columns follow the edges, and nothing overlaps."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from dlt_dbtcloud.report.rendering.layout import Layout, Route, layered

DIAMOND = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]


def columns(layout: Layout) -> dict[str, int]:
    return {node: column for node, (column, _) in layout.places.items()}


def chance_graph(count: int) -> tuple[list[str], list[tuple[str, str]]]:
    chance = random.Random(count)
    nodes = [f"n{i}" for i in range(count)]
    edges = [(nodes[chance.randrange(i)], nodes[i]) for i in range(1, count) for _ in range(2)]
    return nodes, edges


def test_nothing_has_an_empty_layout() -> None:
    assert layered([], [("a", "b")]) == Layout({}, (), 0, 0.0)


def test_a_node_is_in_the_column_after_its_last_parent() -> None:
    layout = layered("abcd", [*DIAMOND, ("a", "d")])
    assert columns(layout) == {"a": 0, "b": 1, "c": 1, "d": 2}
    assert layout.columns == 3
    assert 2 <= layout.rows < 3


def test_a_node_without_parents_is_beside_its_first_child_unless_it_has_a_floor() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("seed", "c"), ("seed", "d"), ("source", "d")]
    layout = layered(["a", "b", "c", "d", "seed", "source"], edges, {"source": 0})
    assert columns(layout) == {"a": 0, "b": 1, "c": 2, "d": 3, "seed": 1, "source": 0}


def test_a_floor_moves_a_node_and_its_descendants() -> None:
    layout = layered("abcd", DIAMOND, {"a": 1})
    assert columns(layout) == {"a": 1, "b": 2, "c": 2, "d": 3}


def test_an_edge_over_several_columns_passes_each_of_them() -> None:
    routes = {
        (each.start, each.end): each.rows
        for each in layered("abc", [("a", "b"), ("b", "c"), ("a", "c")]).routes
    }
    assert [len(routes[edge]) for edge in (("a", "b"), ("b", "c"), ("a", "c"))] == [0, 0, 1]


def test_a_cycle_loses_the_edge_that_closes_it() -> None:
    layout = layered("abc", [("a", "b"), ("b", "c"), ("c", "a")])
    assert columns(layout) == {"a": 0, "b": 1, "c": 2}
    assert Route("c", "a") in layout.routes


def test_edges_of_unknown_nodes_and_loops_are_dropped() -> None:
    layout = layered("ab", [("a", "a"), ("a", "x"), ("a", "b"), ("a", "b")])
    assert layout.routes == (Route("a", "b"),)


def test_parallel_chains_do_not_cross() -> None:
    nodes = [f"{chain}{i}" for i in range(4) for chain in "zyx"]
    edges = [(f"{c}{i}", f"{c}{i + 1}") for c in "xyz" for i in range(3)]
    layout = layered(nodes, edges)
    orders = [sorted("xyz", key=lambda chain: layout.places[f"{chain}{i}"][1]) for i in range(4)]
    assert len({tuple(order) for order in orders}) == 1
    # and are straight
    for chain in "xyz":
        assert len({round(layout.places[f"{chain}{i}"][1], 6) for i in range(4)}) == 1


@pytest.mark.parametrize("count", [2, 40, 400])
def test_no_two_nodes_of_a_column_overlap(count: int) -> None:
    layout = layered(*chance_graph(count))
    rows: dict[int, list[float]] = {}
    for column, row in layout.places.values():
        rows.setdefault(column, []).append(row)
    for of_column in rows.values():
        assert all(b - a >= 1 - 1e-9 for a, b in pairwise(sorted(of_column)))
    assert all(0 <= row <= layout.rows - 1 for _, row in layout.places.values())


def test_each_edge_goes_to_a_later_column() -> None:
    nodes, edges = chance_graph(200)
    place = columns(layered(nodes, edges))
    assert all(place[a] < place[b] for a, b in edges)


def test_the_same_graph_has_the_same_layout() -> None:
    assert layered(*chance_graph(120)) == layered(*chance_graph(120))
