"""What feeds what in a dbt project, as its manifest tells, whatever its version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["ManifestJSON", "ancestors", "descendants", "find_node"]

ManifestJSON = Mapping[str, Any]


def find_node(manifest: ManifestJSON, unique_id: str) -> Mapping[str, Any]:
    """Return what a manifest says of a node, or nothing where it does not know it."""
    for section in _sections(manifest):
        node = section.get(unique_id)
        if isinstance(node, Mapping):
            return node
    return {}


def ancestors(manifest: ManifestJSON, unique_id: str) -> set[str]:
    """Return the unique ids of all that a node is made of, down to the sources."""
    return _reached(manifest.get("parent_map") or _parents(manifest), [unique_id])


def descendants(manifest: ManifestJSON, unique_ids: Iterable[str]) -> set[str]:
    """Return the unique ids of all that is made of some nodes."""
    return _reached(manifest.get("child_map") or _children(manifest), unique_ids)


def _reached(edges: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return all that can be reached from some nodes, without them."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        new = set(edges.get(waiting.pop()) or ()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _parents(manifest: ManifestJSON) -> dict[str, list[str]]:
    """Return what each node depends on, from the nodes themselves."""
    return {
        unique_id: list((node.get("depends_on") or {}).get("nodes") or ())
        for section in _sections(manifest)
        for unique_id, node in section.items()
        if isinstance(node, Mapping)
    }


def _children(manifest: ManifestJSON) -> dict[str, list[str]]:
    children: dict[str, list[str]] = defaultdict(list)
    for unique_id, parents in _parents(manifest).items():
        for parent in parents:
            children[parent].append(unique_id)
    return children


def _sections(manifest: ManifestJSON) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a manifest that hold nodes by their unique ids."""
    others = ("metadata", "parent_map", "child_map", "group_map", "disabled", "docs", "macros")
    for name, section in manifest.items():
        if name not in others and isinstance(section, Mapping):
            yield section
