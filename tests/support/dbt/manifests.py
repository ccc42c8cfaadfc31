"""Artifacts from Python values, and manifests of a project without models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dlt_dbtcloud.dbt import (
    Catalog,
    FreshnessResult,
    Manifest,
    Result,
    Results,
    decode_catalog,
    decode_manifest,
    decode_run_results,
    decode_sources,
)

__all__ = [
    "core_1_5",
    "manifest_of",
    "read_freshness",
    "read_manifest",
    "read_results",
    "source_entry",
]


def core_1_5() -> dict[str, Any]:
    """Return the artifacts that dbt Core 1.5.11 wrote for an orchard, without macros and code."""
    file = Path(__file__).parents[2] / "recordings" / "core-1.5" / "orchard.json"
    artifacts: dict[str, Any] = json.loads(file.read_text())
    return artifacts


def read_manifest(content: Any, catalog: Any = None, *, keeps_code: bool = False) -> Manifest:
    """Return the manifest of a value, with the columns of a catalog."""
    built = Catalog() if catalog is None else decode_catalog(_encoded(catalog))
    return Manifest(decode_manifest(_encoded(content), keeps_code=keeps_code), built)


def read_results(content: Any, *, keeps_code: bool = False) -> Results[Result]:
    """Return the results of a value."""
    return decode_run_results(_encoded(content), keeps_code=keeps_code)


def read_freshness(content: Any) -> Results[FreshnessResult]:
    """Return the freshness of sources of a value."""
    return decode_sources(_encoded(content))


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
    return read_manifest({"nodes": {}, "sources": declared, **sections})


def _encoded(content: Any) -> bytes:
    return json.dumps(content).encode()
