"""A layered layout of a graph: columns from left to right, with few crossings of edges.

It is deterministic: the same graph gets the same layout. Edges that span several columns get a
place in each of them, so that they do not run through nodes.

Method: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system
structures", 1981.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

__all__ = ["Layout", "Route", "layered"]


# the height of the place of an edge, in rows
_BEND = 0.4
# places of edges beyond which long edges are drawn straight
_MAX_BENDS = 20_000
# passes that order the nodes of each column, and as many that align them: fewer for many nodes
_MIN_PASSES, _MAX_PASSES, _WORK = 2, 12, 12_000

Edge = tuple[str, str]


@dataclass(frozen=True)
class Route:
    """An edge, with the rows at which it passes the columns between its ends."""

    start: str
    end: str
    rows: tuple[float, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The places of nodes and the routes of edges.

    Args:
        places: The column and row of each node, from 0.
        routes: The edges; those that closed a cycle run backwards, without rows.
        columns: The number of columns.
        rows: The height in rows.
    """

    places: Mapping[str, tuple[int, float]]
    routes: tuple[Route, ...]
    columns: int
    rows: float


def layered(
    nodes: Sequence[str], edges: Iterable[Edge], floors: Mapping[str, int] | None = None
) -> Layout:
    """Return the layout of a graph.

    Args:
        nodes: The nodes, in an order that is kept if nothing else decides.
        edges: Pairs of nodes.
        floors: The lowest column of some nodes.
    """
    if not nodes:
        return Layout({}, (), 0, 0.0)
    known = {*nodes}
    wanted = [(a, b) for a, b in dict.fromkeys(edges) if a in known and b in known and a != b]
    backward = _closing(nodes, wanted)
    forward = [edge for edge in wanted if edge not in backward]
    ranks = _ranks(nodes, forward, floors or {})
    graph = _Layers(nodes, forward, ranks)
    passes = max(_MIN_PASSES, min(_MAX_PASSES, _WORK // graph.size))
    graph.order(passes)
    graph.align(passes)
    rows = graph.rows
    top = min(rows)
    places = {node: (ranks[node], rows[i] - top) for i, node in enumerate(nodes)}
    routes = [
        Route(a, b, tuple(rows[place] - top for place in bends))
        for (a, b), bends in graph.bends.items()
    ]
    routes += [Route(a, b) for a, b in sorted(backward)]
    height = max(row for _, row in places.values()) + 1
    return Layout(places, tuple(routes), max(ranks.values()) + 1, height)


def _closing(nodes: Sequence[str], edges: Sequence[Edge]) -> set[Edge]:
    """Return the edges that close cycles; a graph of dbt nodes has none, one of folders may."""
    children: dict[str, list[str]] = defaultdict(list)
    for a, b in edges:
        children[a].append(b)
    closing: set[Edge] = set()
    state: dict[str, int] = {}
    for root in nodes:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(children[root]))]
        while stack:
            node, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                state[node] = 2
                stack.pop()
            elif state.get(child) == 1:
                closing.add((node, child))
            elif child not in state:
                state[child] = 1
                stack.append((child, iter(children[child])))
    return closing


def _ranks(
    nodes: Sequence[str], edges: Sequence[Edge], floors: Mapping[str, int]
) -> dict[str, int]:
    """Return the column of each node: one more than that of its last parent."""
    children: dict[str, list[str]] = defaultdict(list)
    missing = dict.fromkeys(nodes, 0)
    for a, b in edges:
        children[a].append(b)
        missing[b] += 1
    ranks = {node: floors.get(node, 0) for node in nodes}
    ready = [node for node in nodes if not missing[node]]
    for node in ready:
        for child in children[node]:
            ranks[child] = max(ranks[child], ranks[node] + 1)
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    kept = {*floors, *(b for _, b in edges)}
    # what nothing precedes moves next to its first child
    return ranks | {
        node: min(ranks[child] for child in children[node]) - 1
        for node in nodes
        if node not in kept and children[node]
    }


class _Layers:
    """The columns of a graph, with the places of its nodes and long edges.

    A place is a number: that of a node, or a later one.

    Attributes:
        size: The number of places.
        rows: The row of each place.
        bends: The places of each edge between its ends.
    """

    def __init__(
        self, nodes: Sequence[str], edges: Sequence[Edge], ranks: Mapping[str, int]
    ) -> None:
        number = {node: i for i, node in enumerate(nodes)}
        self._layers: list[list[int]] = [[] for _ in range(max(ranks.values()) + 1)]
        self.bends: dict[Edge, list[int]] = {}
        self.size = len(nodes)
        self._above: list[list[int]] = [[] for _ in nodes]
        self._below: list[list[int]] = [[] for _ in nodes]
        for node in _by_family(nodes, edges):
            self._layers[ranks[node]].append(number[node])
        is_bent = sum(ranks[b] - ranks[a] - 1 for a, b in edges) <= _MAX_BENDS
        for a, b in edges:
            between = range(ranks[a] + 1, ranks[b]) if is_bent else range(0)
            bends = [self._add_bend(rank) for rank in between]
            self.bends[a, b] = bends
            for start, end in pairwise([number[a], *bends, number[b]]):
                self._below[start].append(end)
                self._above[end].append(start)
        self._heights = [1.0 if i < len(nodes) else _BEND for i in range(self.size)]
        self.rows = [0.0] * self.size

    def order(self, passes: int) -> None:
        """Sort each column by the mean position of its neighbours, and keep the best order."""
        best, fewest = [[*layer] for layer in self._layers], self._crossings()
        for number in range(passes):
            if not fewest:
                break
            is_down = number % 2 == 0
            neighbours = self._above if is_down else self._below
            position = [0.0] * self.size
            for layer in self._layers if is_down else self._layers[::-1]:
                scale = 1 / max(1, len(layer))
                weights = {}
                for i, place in enumerate(layer):
                    near = neighbours[place]
                    # a place without neighbours keeps its own
                    total = sum([position[each] for each in near])
                    weights[place] = total / len(near) if near else i * scale
                layer.sort(key=weights.__getitem__)
                for i, place in enumerate(layer):
                    position[place] = i * scale
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [[*layer] for layer in self._layers], crossings
        self._layers = best

    def align(self, passes: int) -> None:
        """Move the places of each column towards their neighbours, without overlaps."""
        rows, heights = self.rows, self._heights
        offsets = [_offsets([heights[place] for place in layer]) for layer in self._layers]
        for layer, shifts in zip(self._layers, offsets, strict=True):
            for place, shift in zip(layer, shifts, strict=True):
                rows[place] = shift
        columns = [*zip(self._layers, offsets, strict=True)]
        unchanged = 0
        for number in range(passes):
            before = [*rows]
            is_down = number % 2 == 0
            neighbours = self._above if is_down else self._below
            for layer, shifts in columns if is_down else columns[::-1]:
                wanted = [
                    sum([rows[each] for each in near]) / len(near)
                    if (near := neighbours[place])
                    else rows[place]
                    for place in layer
                ]
                for place, row in zip(layer, _separated(wanted, shifts), strict=True):
                    rows[place] = row
            unchanged = unchanged + 1 if rows == before else 0
            if unchanged == 2:
                # neither direction moves a place any more
                break

    def _add_bend(self, rank: int) -> int:
        place, self.size = self.size, self.size + 1
        self._above.append([])
        self._below.append([])
        self._layers[rank].append(place)
        return place

    def _crossings(self) -> int:
        """Return the number of crossings of edges, by counting inversions."""
        total = 0
        position = [0] * self.size
        for upper, lower in pairwise(self._layers):
            for i, place in enumerate(lower):
                position[place] = i
            ends = [
                end for place in upper for end in sorted([position[n] for n in self._below[place]])
            ]
            total += _inversions(ends, len(lower))
        return total


def _by_family(nodes: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Return nodes in an order that keeps those of a connected part together."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    found: dict[str, None] = {}
    for root in nodes:
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found[node] = None
                waiting += neighbours[node][::-1]
    return [*found]


def _offsets(heights: Sequence[float]) -> list[float]:
    """Return the rows of the centres of places that follow each other closely."""
    gaps = [(a + b) / 2 for a, b in pairwise(heights)]
    return [*accumulate(gaps, initial=0.0)] if heights else []


def _separated(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return rows as near as possible to the wanted ones, in order and without overlaps.

    The rows minimize the sum of squared distances (pool adjacent violators).

    Args:
        wanted: The wanted rows.
        offsets: Rows without gaps.
    """
    blocks: list[tuple[float, int]] = []
    for value, shift in zip(wanted, offsets, strict=True):
        total, count = value - shift, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            earlier = blocks.pop()
            total, count = total + earlier[0], count + earlier[1]
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    return [level + shift for level, shift in zip(levels, offsets, strict=True)]


def _inversions(values: Sequence[int], size: int) -> int:
    """Return the number of pairs in the wrong order (a Fenwick tree)."""
    tree = [0] * (size + 1)
    total = 0
    for seen, value in enumerate(values):
        index, smaller = value + 1, 0
        while index > 0:
            smaller += tree[index]
            index -= index & -index
        total += seen - smaller
        index = value + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return total
