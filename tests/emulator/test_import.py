"""Imports of the emulator: optional dependencies, and modules that only import lower ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import run
from tests.test_architecture import ROOT, imports

# lowest first
MODULES = (
    "times logs models ids errors defaults variables state dbt scheduler "
    "api pages faults http server __init__"
).split()


def _import_without(module: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules[{module!r}] = None; import dlt_dbtcloud.emulator"
    return run([sys.executable, "-c", code])


def test_it_can_be_imported_without_dbt() -> None:
    assert _import_without("dbt").returncode == 0


@pytest.mark.parametrize("module", ["jsonschema", "werkzeug"])
def test_a_missing_dependency_is_named_with_its_extra(module: str) -> None:
    message = _import_without(module).stderr.splitlines()[-1]
    assert f"needs {module}: install the `emulator` extra" in message


def test_modules_import_only_lower_ones() -> None:
    for path in (ROOT / "emulator").rglob("*.py"):
        position = MODULES.index(path.relative_to(ROOT / "emulator").parts[0].removesuffix(".py"))
        for module in imports(path):
            if module.startswith("emulator."):
                used = module.split(".")[1]
                assert used in MODULES[: position + 1], f"{path} imports {module}"
