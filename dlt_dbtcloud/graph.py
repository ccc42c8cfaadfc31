"""What feeds what in a dbt project, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ancestors", "descendants", "find_node"]

_COLLECTIONS = (
    "nodes",
    "unit_tests",
    "sources",
    "exposures",
    "metrics",
    "semantic_models",
    "saved_queries",
)

Manifest = Mapping[str, Any]


def find_node(manifest: Manifest, unique_id: str) -> Mapping[str, Any]:
    """Return what a manifest says of a node, or nothing where it does not know it."""
    for collection in _COLLECTIONS:
        node = _mapping(manifest.get(collection)).get(unique_id)
        if isinstance(node, Mapping):
            return node
    return {}


def ancestors(manifest: Manifest, unique_id: str) -> set[str]:
    """Return the ids of all that a node is made of, down to the sources."""
    return _reached(_parents(manifest), unique_id)


def descendants(manifest: Manifest, unique_id: str) -> set[str]:
    """Return the ids of all that is made of a node."""
    children = _mapping(manifest.get("child_map"))
    return _reached(children or _inverted(_parents(manifest)), unique_id)


def _parents(manifest: Manifest) -> Mapping[str, Any]:
    told = _mapping(manifest.get("parent_map"))
    return told or {
        unique_id: _mapping(node.get("depends_on")).get("nodes") or []
        for collection in _COLLECTIONS
        for unique_id, node in _mapping(manifest.get(collection)).items()
        if isinstance(node, Mapping)
    }


def _inverted(parents: Mapping[str, Any]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for child, its_parents in parents.items():
        for parent in its_parents:
            children.setdefault(parent, []).append(child)
    return children


def _reached(edges: Mapping[str, Any], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(edges.get(waiting.pop()) or []) - found
        found |= new
        waiting.extend(new)
    return found - {start}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
