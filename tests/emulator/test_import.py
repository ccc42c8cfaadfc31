"""Imports of the emulator: optional dependencies, and modules that only import lower ones."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

import dlt_dbtcloud.emulator
from tests.test_architecture import ROOT, imports

# lowest first
MODULES = (
    "times logs models ids errors defaults variables state dbt scheduler "
    "api pages faults http server __init__"
).split()


def _import_without(monkeypatch: pytest.MonkeyPatch, module: str) -> object:
    """Import the emulator once more, which the end of the test forgets."""
    package = dlt_dbtcloud.emulator
    for name in [each for each in sys.modules if each.startswith(package.__name__)]:
        monkeypatch.delitem(sys.modules, name)
    # the import replaces it
    monkeypatch.setattr(dlt_dbtcloud, "emulator", package)
    monkeypatch.setitem(sys.modules, module, None)
    return import_module(package.__name__)


def test_it_can_be_imported_without_dbt(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dlt_dbtcloud.emulator
    assert _import_without(monkeypatch, "dbt") is not before


@pytest.mark.parametrize("module", ["jsonschema", "werkzeug"])
def test_a_missing_dependency_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    with pytest.raises(ImportError, match=f"needs {module}: install the `emulator` extra"):
        _import_without(monkeypatch, module)


def test_modules_import_only_lower_ones() -> None:
    for path in (ROOT / "emulator").rglob("*.py"):
        position = MODULES.index(path.relative_to(ROOT / "emulator").parts[0].removesuffix(".py"))
        for module in imports(path):
            if module.startswith("emulator."):
                used = module.split(".")[1]
                assert used in MODULES[: position + 1], f"{path} imports {module}"
