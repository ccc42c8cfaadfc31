"""The lineage of a run: from the tables that dlt loaded to the exposures, in several views.

A view shows all nodes, the folders, the packages, or a folder with the folders around it. A large
project has one of the nodes around those that failed.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dlt_dbtcloud.report.rendering.content import Content
from dlt_dbtcloud.report.rendering.graph import is_drawn
from dlt_dbtcloud.report.rendering.layout import Edge, Layout, layered

__all__ = ["lineage_views"]


# the most nodes that one view shows, and the number beyond which folders come first
_MAX_NODES, _FEW = 2_500, 150
# members of a folder beyond which it has no view of its own
_MAX_MEMBERS = 1_000
# nodes around those that failed, at most, and as a part of all
_NEAR, _NEAR_PART = 300, 1 / 3
_NAME = 150
_NO_FOLDER = "(no folder)"
# precede the ids of nodes, the positions of tables and the names of groups, which may be alike
_NODE, _TABLE, _GROUP = "node ", "table ", "group "
_Json = Any


def lineage_views(content: Content) -> dict[str, _Json]:
    """Return the views of the lineage in order, and the groups that they show.

    A view has a key, a title, columns, rows, items and edges. An item is a list that begins with
    its column and row: a node, `[..., 0, number]`, a group of nodes, `[..., 1, position]`, or a
    table that dlt loaded, `[..., 2, name, rows]`. An edge is a list of the positions of two items,
    and of the rows at which it passes the columns between them. A group is a list of its name, the
    numbers of its nodes, and the key of its view, if it has one.

    Args:
        content: The nodes of the page.
    """
    lineage = _Lineage(content)
    nodes, drawn = content.graph.nodes, lineage.drawn
    if not drawn:
        return {"views": [], "groups": [], "note": ""}
    folders = {key: nodes[key].folder or _NO_FOLDER for key in drawn}
    packages = {key: nodes[key].package or "" for key in drawn}
    sizes = Counter(folders.values())
    keys = {name: f"folder-{i}" for i, name in enumerate(sizes) if sizes[name] <= _MAX_MEMBERS}
    is_large = len(drawn) > _MAX_NODES
    views = [] if is_large else [lineage.nodes()]
    if len(sizes) > 1 or is_large:
        views += [lineage.grouped("folders", "Folders", folders, keys)]
        views += lineage.folders(folders, keys)
    if len({*packages.values()}) > 1:
        views += [lineage.grouped("packages", "Packages", packages, {})]
    if len(drawn) > _FEW:
        views.sort(key=lambda view: view["key"] != "folders")
        views = [*lineage.failed(), *views]
    note = _note(len(drawn), has_unopened=len(keys) < len(sizes)) if is_large else ""
    return {"views": views, "groups": lineage.groups, "note": note}


def _note(count: int, *, has_unopened: bool) -> str:
    """Return why a large project has no view of all nodes."""
    words = f"{count:,} nodes are too many for one view, so that they are grouped by folder."
    if has_unopened:
        words += f" A folder of more than {_MAX_MEMBERS:,} nodes cannot be opened."
    return words


class _Lineage:
    def __init__(self, content: Content) -> None:
        graph, load = content.graph, content.page.load
        self._content = content
        self._graph = graph
        self._number = content.number
        self._texts = content.texts
        self.groups: list[_Json] = []
        self._positions: dict[tuple[str, str | None], int] = {}
        self.drawn = [key for key, node in graph.nodes.items() if is_drawn(node)]
        kept = {*self.drawn}
        self._edges = [
            (parent, key) for key in self.drawn for parent in graph.parents[key] if parent in kept
        ]
        loaded = load.tables if load else ()
        self._tables = {
            f"{_TABLE}{i}": each for i, each in enumerate(loaded) if kept.intersection(each.sources)
        }
        self._loads = [
            (key, _NODE + source)
            for key, table in self._tables.items()
            for source in table.sources
            if source in kept
        ]

    def nodes(self) -> _Json:
        """Return the view of all nodes."""
        return self._of("nodes", "All nodes", self.drawn)

    def failed(self) -> Iterator[_Json]:
        """Yield a view of the failed nodes and those around them, if any."""
        outcome, worst_test = self._content.outcome, self._content.worst_test
        near = dict.fromkeys(key for key in self.drawn if "bad" in (outcome(key), worst_test(key)))
        if not near:
            return
        drawn, waiting = {*self.drawn}, deque(near)
        limit = min(_NEAR, int(len(drawn) * _NEAR_PART))
        while waiting and len(near) < limit:
            key = waiting.popleft()
            around = [*self._graph.parents[key], *self._graph.children.get(key, ())]
            new = [each for each in around if each in drawn and each not in near]
            near.update(dict.fromkeys(new[: limit - len(near)]))
            waiting.extend(new)
        yield self._of("failed", "Around failures", [key for key in self.drawn if key in near])

    def _of(self, key: str, title: str, shown: Sequence[str]) -> _Json:
        """Return a view of nodes, with the tables that feed them."""
        nodes = dict.fromkeys(_NODE + each for each in shown)
        loads = [edge for edge in self._loads if edge[1] in nodes]
        edges = [(_NODE + a, _NODE + b) for a, b in self._edges]
        kinds = self._graph.nodes
        sources = [_NODE + each for each in shown if kinds[each].resource_type == "source"]
        floors = dict.fromkeys(sources, 1) if loads else {}
        tables = dict.fromkeys(table for table, _ in loads)
        layout = layered([*tables, *nodes], [*loads, *edges], floors)
        return self._view(key, title, layout, self._item)

    def grouped(
        self, key: str, title: str, groups: Mapping[str, str], keys: Mapping[str, str]
    ) -> _Json:
        """Return the view of groups of nodes.

        Args:
            key: The key of the view.
            title: Its title.
            groups: The group of each node.
            keys: The keys of the views of groups.
        """
        members = _members(groups)
        layout = layered([*members], [(groups[a], groups[b]) for a, b in self._edges])
        return self._view(
            key, title, layout, lambda name: self._group(name, members[name], keys.get(name))
        )

    def folders(self, groups: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[_Json]:
        """Yield a view of each folder, with the folders around it collapsed."""
        members = _members(groups)
        edges: dict[str, list[Edge]] = defaultdict(list)
        for a, b in self._edges:
            for name in {groups[a], groups[b]}:
                ends = [
                    _NODE + end if groups[end] == name else _GROUP + groups[end] for end in (a, b)
                ]
                edges[name].append((ends[0], ends[1]))

        def item(key: str) -> list[_Json]:
            if not key.startswith(_GROUP):
                return self._item(key)
            name = key.removeprefix(_GROUP)
            return self._group(name, members[name], keys.get(name))

        for name, view in keys.items():
            inside = members[name]
            own = dict.fromkeys(_NODE + key for key in inside)
            tables = [edge for edge in self._loads if edge[1] in own]
            around = [end for edge in edges[name] for end in edge if end not in own]
            nodes = dict.fromkeys([*(table for table, _ in tables), *around, *own])
            layout = layered([*nodes], [*tables, *edges[name]])
            yield self._view(view, name, layout, item)

    def _item(self, key: str) -> list[_Json]:
        table = self._tables.get(key)
        if table is not None:
            return [2, self._texts.line(table.name, _NAME), table.rows]
        return [0, self._number[key.removeprefix(_NODE)]]

    def _group(self, name: str, members: Sequence[str], view: str | None) -> list[_Json]:
        position = self._positions.setdefault((name, view), len(self.groups))
        if position == len(self.groups):
            numbers = [self._number[member] for member in members]
            self.groups.append([self._texts.line(name, _NAME), numbers, view])
        return [1, position]

    def _view(
        self, key: str, title: str, layout: Layout, item: Callable[[str], list[_Json]]
    ) -> _Json:
        position = {name: i for i, name in enumerate(layout.places)}
        return {
            "key": key,
            "title": self._texts.line(title, _NAME),
            "columns": layout.columns,
            "rows": round(layout.rows, 2),
            "items": [
                [column, round(row, 2), *item(name)]
                for name, (column, row) in layout.places.items()
            ],
            "edges": [
                [position[each.start], position[each.end], *(round(row, 2) for row in each.rows)]
                for each in layout.routes
            ],
        }


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for key, name in groups.items():
        members.setdefault(name, []).append(key)
    return members
