"""Plugin of pytest that ends a process whose test is stuck in any phase, and prints all stacks.

pytest alone ends no fixture that hangs after a failure, as it stops its timer for debuggers.
"""

from __future__ import annotations

import faulthandler
import os
import sys

import pytest

_ERRORS = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the standard error output, which is captured while a test runs."""
    assert sys.__stderr__ is not None
    config.stash[_ERRORS] = os.dup(sys.__stderr__.fileno())


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("timeout"):
        _start(item)


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    if isinstance(node, pytest.Item) and not node.config.getoption("usepdb"):
        _start(node)


def _start(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker else float(item.config.getini("faulthandler_timeout"))
    if seconds > 0:
        faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_ERRORS])
