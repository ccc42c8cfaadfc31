"""The emulator is there without dbt, and says what to install where werkzeug is missing."""

from __future__ import annotations

import subprocess
import sys


def _import_without(module: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules[{module!r}] = None; import dlt_dbtcloud.emulator"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_it_does_without_dbt() -> None:
    assert _import_without("dbt").returncode == 0


def test_it_says_what_is_missing() -> None:
    done = _import_without("werkzeug")
    assert "install the `emulator` extra" in done.stderr.splitlines()[-1]
