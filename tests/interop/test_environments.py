"""The Python of each client's environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.environments import find_python


def test_this_python_is_preferred() -> None:
    assert find_python(">=3.10") == Path(sys.executable)


def test_a_client_is_left_out_if_no_python_supports_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PATH", "PYENV_ROOT"):
        monkeypatch.setenv(name, str(tmp_path))
    assert find_python(">=99") is None
