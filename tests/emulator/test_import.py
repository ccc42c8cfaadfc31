"""The emulator needs no dbt, and names the extra to install if a dependency is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _import_without(module: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules[{module!r}] = None; import dlt_dbtcloud.emulator"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_it_can_be_imported_without_dbt() -> None:
    assert _import_without("dbt").returncode == 0


@pytest.mark.parametrize("module", ["jsonschema", "werkzeug"])
def test_a_missing_dependency_is_named_with_its_extra(module: str) -> None:
    message = _import_without(module).stderr.splitlines()[-1]
    assert f"needs {module}: install the `emulator` extra" in message
