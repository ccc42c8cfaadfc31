"""A command line in process, and a failed run to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from dlt_dbtcloud.cli.main import main


@dataclass(frozen=True)
class Done:
    """The outcome of a command line.

    Args:
        status: The exit status.
        out: Its standard output.
        err: Its standard error.
    """

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on standard output, which has nothing else."""
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a function that executes a command line in process."""

    def execute(*words: object) -> Done:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Done(status, *capsys.readouterr())

    return execute


@pytest.fixture(autouse=True)
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the terminal of the developer."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
