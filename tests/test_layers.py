"""Imports point down the layers, and importing costs nothing that is not used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dlt_dbtcloud

PACKAGE = Path(dlt_dbtcloud.__file__).parent
LAYERS = [
    {"clock", "contents", "typing", "quoting", "options", "moments", "guards"},
    {"naming", "shapes"},
    {"exceptions"},
    {"validation", "envelope", "graph", "steps", "manifest", "commands"},
    {"transport", "sources", "outcomes", "facets", "ends", "outages", "columns"},
    {"client", "configuration", "loads", "assets", "datasets", "selection", "bookmarks", "pacing"},
    {"keys", "overrides", "tables", "waiting", "lineage", "openlineage", "narrowing", "stored"},
    {"adoption", "cancelling", "artifacts", "relations", "listing", "rows", "versions"},
    {"once", "abandoning", "results"},
    {"triggering", "retrying", "failures", "noderows", "problems", "unread"},
    {"starting", "postmortem", "reader"},
    {"recovery", "reporting", "extraction"},
    {"running"},
    {"helpers", "materializing", "source"},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}


def imports_of(path: Path) -> set[str]:
    """Return the modules of this package that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dlt_dbtcloud"):
            found.add((node.module or "").removeprefix("dlt_dbtcloud").strip("."))
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
        if isinstance(node, ast.Import):
            found |= {a.name[13:] for a in node.names if a.name.startswith("dlt_dbtcloud.")}
    return found


def test_every_module_has_its_layer() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == set(RANK)


@pytest.mark.parametrize("module", sorted(RANK))
def test_imports_point_down(module: str) -> None:
    for imported in imports_of(PACKAGE / f"{module}.py"):
        assert RANK[imported] < RANK[module], f"{module} imports {imported}"


def test_the_emulator_knows_nothing_of_the_client() -> None:
    for path in (PACKAGE / "emulator").glob("**/*.py"):
        for imported in imports_of(path):
            assert imported == "typing" or imported.startswith("emulator"), f"{path}: {imported}"


def test_the_package_does_not_import_the_emulator_or_its_libraries() -> None:
    code = "import sys, dlt_dbtcloud; print(*sys.modules, sep='\\n')"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "dlt_dbtcloud.helpers" in modules
    assert not {"werkzeug", "dbt", "duckdb", "dlt_dbtcloud.emulator"} & set(modules)
