"""Plugin of pytest that ends a process whose test is stuck in any phase, and prints all stacks.

The timers of pytest's faulthandler and of pytest-timeout stop when a test fails. A teardown after
a failure could then hang forever. They also start a thread per test.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Generator

import pytest

from tests.support.clock import PATIENCE


def pytest_configure() -> None:
    """Print all stacks to the uncaptured standard error when the timer ends."""
    assert sys.__stderr__ is not None
    errors = os.dup(sys.__stderr__.fileno())
    # the signal's default, which follows, is to end the process
    faulthandler.register(signal.SIGALRM, file=errors, chain=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    marker = item.get_closest_marker("timeout")
    signal.setitimer(signal.ITIMER_REAL, marker.args[0] if marker else 2 * PATIENCE)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_enter_pdb() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
