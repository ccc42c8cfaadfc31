"""The files that a step leaves: on disk for real dbt, in memory for a scripted run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator.commands import subcommand
from dlt_dbtcloud.emulator.models import Artifacts, PlannedStep, now

# what writes no run_results.json, besides the freshness of sources
WITHOUT_RESULTS = frozenset({"deps", "debug", "list", "ls", "parse", "source"})


def list_files(artifacts: Artifacts) -> list[str]:
    """List the files by their path below `target/`."""
    if not isinstance(artifacts, Path):
        return sorted(artifacts)
    files = (path for path in artifacts.rglob("*") if path.is_file())
    return sorted(path.relative_to(artifacts).as_posix() for path in files)


def find_file(artifacts: Artifacts, name: str) -> bytes | Path | None:
    """Find a file; a path that leads out of the step's folder finds nothing."""
    if not isinstance(artifacts, Path):
        return artifacts.get(name)
    if "\0" in name or name.endswith("/"):
        return None
    path = (artifacts / name).resolve()
    return path if path.is_relative_to(artifacts.resolve()) and path.is_file() else None


def has_file(artifacts: Artifacts, name: str) -> bool:
    """Say whether a file is there."""
    return find_file(artifacts, name) is not None


def encode(artifacts: Mapping[str, Any]) -> dict[str, bytes]:
    """Take bytes as they are, and everything else as JSON."""
    return {
        path: content if isinstance(content, bytes) else json.dumps(content).encode()
        for path, content in artifacts.items()
    }


def scripted_artifacts(planned: PlannedStep, dbt_version: str | None) -> dict[str, bytes]:
    """Write what dbt would leave if the project had no nodes."""
    which = subcommand(planned.arguments)
    if which is None or which in ("deps", "debug"):
        return {}
    metadata: dict[str, Any] = {
        "dbt_version": dbt_version,
        "generated_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "invocation_id": str(uuid.uuid4()),
        "env": {},
    }
    names = ["manifest.json"]
    if which not in WITHOUT_RESULTS:
        names.append("run_results.json")
    if which == "docs":
        names.append("catalog.json")
    return encode({name: _empty(name, which, metadata) for name in names})


def _empty(name: str, which: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind, version, body = _EMPTY[name]
    schema = f"https://schemas.getdbt.com/dbt/{kind}/v{version}.json"
    args = {"args": {"which": which}} if kind == "run-results" else {}
    return {"metadata": {"dbt_schema_version": schema, **metadata}, **body, **args}


_EMPTY: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    "manifest.json": (
        "manifest",
        12,
        {"nodes": {}, "sources": {}, "macros": {}, "parent_map": {}, "child_map": {}},
    ),
    "run_results.json": ("run-results", 6, {"results": [], "elapsed_time": 0.0}),
    "catalog.json": ("catalog", 1, {"nodes": {}, "sources": {}, "errors": None}),
}
