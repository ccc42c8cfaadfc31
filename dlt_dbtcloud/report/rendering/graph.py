"""The graph of a project: the ancestors of nodes, and the nodes that a failure skips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from dlt_dbtcloud.report.page import Node

__all__ = ["TESTS", "Graph", "is_drawn"]


TESTS = frozenset({"test", "unit_test"})
# entries that are no step from the tables to the reports
_HIDDEN = TESTS | {"macro", "operation", "analysis", "doc", "group", "sql_operation", "rpc"}


class Graph:
    """The nodes of a project and their dependencies; unknown parents are dropped.

    Args:
        nodes: The nodes.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.unique_id: node for node in nodes}
        known = self.nodes.keys()
        self.parents: Mapping[str, Sequence[str]] = {
            key: [*dict.fromkeys(p for p in node.parents if p in known and p != key)]
            for key, node in self.nodes.items()
        }
        children: dict[str, list[str]] = defaultdict(list)
        for key, parents in self.parents.items():
            for parent in parents:
                children[parent].append(key)
        self.children: Mapping[str, Sequence[str]] = children

    def ancestors(self, unique_id: str) -> set[str]:
        """Return the ids of all nodes that a node is made of."""
        return _reachable(self.parents, unique_id)

    def descendants(self, unique_id: str) -> set[str]:
        """Return the ids of all nodes that are made of a node."""
        return _reachable(self.children, unique_id)

    def sources(self, unique_id: str) -> list[str]:
        """Return the ids of the sources that feed a node, sorted."""
        found = {unique_id, *self.ancestors(unique_id)}
        return sorted(key for key in found if self._type(key) == "source")

    def is_test(self, unique_id: str) -> bool:
        """Return whether a node is a test."""
        return self._type(unique_id) in TESTS

    def tests(self, unique_id: str) -> list[str]:
        """Return the ids of the tests of a node."""
        return [key for key in self.children.get(unique_id, ()) if self.is_test(key)]

    def blocked_by(self, unique_id: str) -> set[str]:
        """Return the ids of the nodes that `dbt build` skips if a node fails.

        A test blocks the common descendants of all nodes that it depends on. A unit test also
        blocks the node that it tests.
        """
        if not self.is_test(unique_id):
            return self.descendants(unique_id)
        tested = self.parents.get(unique_id, ())
        below = [self.descendants(parent) for parent in tested]
        itself = {*tested} if self._type(unique_id) == "unit_test" else set()
        common = set.intersection(*below) if below else set()
        return (common | itself) - {unique_id}

    def awaited(self, unique_id: str, executed: Container[str]) -> list[str]:
        """Return the ids of executed nodes for which `dbt build` waits before a node.

        Nodes that are not executed, such as ephemeral models, make it wait for those before them.
        A node that is not a test also waits for the tests of the nodes that it is made of.

        Args:
            unique_id: The node.
            executed: The ids of the nodes that are executed.
        """
        before: set[str] = set()
        waiting = [unique_id]
        while waiting:
            new = {*self.parents.get(waiting.pop(), ())} - before
            before |= new
            waiting.extend(key for key in new if key not in executed)
        before.discard(unique_id)
        found = {key for key in before if key in executed}
        tests = {test for key in before for test in self.tests(key) if test in executed}
        if tests and not self.is_test(unique_id):
            above = self.ancestors(unique_id)
            found |= {test for test in tests if above.issuperset(self.parents[test])}
        return sorted(found)

    def _type(self, unique_id: str) -> str:
        node = self.nodes.get(unique_id)
        return node.resource_type if node else ""


def is_drawn(node: Node) -> bool:
    """Return whether the lineage shows a node; tests belong to the nodes that they test."""
    return node.resource_type not in _HIDDEN


def _reachable(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Return all that can be reached from a node, without the node itself."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(edges.get(waiting.pop(), ())) - reached
        reached |= new
        waiting.extend(new)
    return reached - {start}
