"""Manifests of a project without models."""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.dbt import Manifest

__all__ = ["manifest_of", "source_entry"]


def source_entry(name: str = "orders", **changes: Any) -> dict[str, Any]:
    """Return the source of a table `warehouse.raw.NAME`, with some fields changed."""
    entry: dict[str, Any] = {
        "name": name,
        "identifier": name,
        "source_name": "raw",
        "schema": "raw",
        "database": "warehouse",
        "package_name": "shop",
    }
    return {**entry, **changes}


def manifest_of(*sources: dict[str, Any], **sections: Any) -> Manifest:
    """Return the manifest of a project with some sources."""
    ids = [
        f"source.{each['package_name']}.{each['source_name']}.{each['name']}" for each in sources
    ]
    declared = dict(zip(ids, sources, strict=True))
    return Manifest({"nodes": {}, "sources": declared, **sections})
