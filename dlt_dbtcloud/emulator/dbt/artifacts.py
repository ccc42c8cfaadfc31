"""Files of a step: on disk for real dbt, in memory for a scripted run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator.models import Artifacts


def list_files(artifacts: Artifacts) -> list[str]:
    """Return the sorted paths below `target/`."""
    if not isinstance(artifacts, Path):
        return sorted(artifacts)
    files = (path for path in artifacts.rglob("*") if path.is_file())
    return sorted(path.relative_to(artifacts).as_posix() for path in files)


def find_file(artifacts: Artifacts, name: str) -> bytes | Path | None:
    """Return a file, or None if the step's folder does not contain it."""
    if not isinstance(artifacts, Path):
        return artifacts.get(name)
    if name.endswith("/"):
        return None
    try:
        path = (artifacts / name).resolve()
        return path if path.is_relative_to(artifacts.resolve()) and path.is_file() else None
    except (OSError, ValueError):
        # a path that no file can have, because it is too long or contains a null
        return None


def has_file(artifacts: Artifacts, name: str) -> bool:
    """Return whether a file exists."""
    return find_file(artifacts, name) is not None


def encode(artifacts: Mapping[str, Any]) -> dict[str, bytes]:
    """Encode all values but bytes as JSON."""
    return {
        path: content if isinstance(content, bytes) else json.dumps(content).encode()
        for path, content in artifacts.items()
    }
