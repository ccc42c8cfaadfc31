"""The nodes of a project for a page, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping

from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.report.page import Column, Node

__all__ = ["project_nodes"]


def project_nodes(manifest: Manifest, codes: Mapping[str, str]) -> tuple[Node, ...]:
    """Return the nodes of a project.

    Args:
        manifest: The manifest, with columns of a catalog if there is one.
        codes: The compiled code of nodes, by their ids.
    """
    return tuple(_node(manifest, key, codes.get(key)) for key in manifest.unique_ids)


def _node(manifest: Manifest, unique_id: str, code: str | None) -> Node:
    node = manifest.node(unique_id)
    attached = manifest.entry(unique_id).attached_node
    parents = manifest.dependencies(unique_id) or ([attached] if attached else [])
    return Node(
        unique_id=unique_id,
        # as dbt calls a version of a model
        name=node["name"] if node["version"] is None else f"{node['name']}.v{node['version']}",
        resource_type=node["resource_type"],
        package=node["package_name"],
        path=node["path"],
        folder=_folder(manifest, unique_id, node["path"]),
        parents=tuple(parents),
        description=node["description"],
        relation=node["relation_name"],
        materialized=node["materialized"],
        columns=tuple(Column(c["name"], c["type"], c["description"]) for c in node["columns"]),
        code=code,
        owners=tuple(node["owners"]),
        tags=tuple(node["tags"]),
    )


def _folder(manifest: Manifest, unique_id: str, path: str | None) -> str | None:
    """Return the folder of a node's file, or the name of a source."""
    source = manifest.entry(unique_id).source_name
    if source:
        return f"source {source}"
    return (path.replace("\\", "/").rpartition("/")[0] or ".") if path else None
