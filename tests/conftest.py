"""Set-up of the processes that run tests, and the order of the tests.

The process that starts the workers imports no fixtures, as dlt takes long to import.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
from collections.abc import Sequence

import pytest

from tests.support.clock import DBT_PATIENCE, PATIENCE
from tests.support.processes import forks
from tests.support.processes.children import start_guard
from tests.support.temporary import keep_in_memory

pytest_plugins = ["pytester", "tests.support.processes.timer"]

# workers beyond the number of cores
SPARE_WORKERS = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make record` and `make compare`."""
    parser.addoption("--record", action="store_true", help="run dbt and record it")
    parser.addoption("--compare", action="store_true", help="run dbt and compare its recordings")


def pytest_xdist_auto_num_workers() -> int:
    """Start more workers than there are cores, as many tests wait for sockets and processes."""
    return (os.cpu_count() or 1) + SPARE_WORKERS


def pytest_configure(config: pytest.Config) -> None:
    """End all child processes with this process, and this process with its tests."""
    if not config.pluginmanager.has_plugin("dlt-dbtcloud"):
        raise pytest.UsageError("The environment is older than pyproject.toml: `make .venv/.dev`.")
    # what is imported and collected is no garbage, and there is much of it
    gc.disable()
    keep_in_memory()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell ignores it in background jobs; dbt would inherit that, and not be interrupted
        signal.signal(signal.SIGINT, signal.default_int_handler)
    guard = start_guard()
    config.add_cleanup(forks.stop)
    config.add_cleanup(lambda: guard.communicate(timeout=PATIENCE) and None)
    config.add_cleanup(lambda: faulthandler.dump_traceback_later(PATIENCE, exit=True))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the fixtures, unless this process starts the workers; warnings are errors by now."""
    config = session.config
    if config.getoption("dist", "no") == "no" or config.option.collectonly:
        config.pluginmanager.import_plugin("tests.fixtures")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests, and let each worker begin with long ones.

    The tests of dbt Fusion are only run by `-m fusion`, as it has to be installed first.
    """
    if "fusion" not in config.option.markexpr:
        unselected = [item for item in items if item.get_closest_marker("fusion")]
        items[:] = [item for item in items if not item.get_closest_marker("fusion")]
        config.hook.pytest_deselected(items=unselected)
    if config.getoption("record") or config.getoption("compare"):
        items[:] = [item for item in items if _is_recorded(item)]
    for item in items:
        if item.get_closest_marker("dbt") or item.get_closest_marker("fusion"):
            item.add_marker(pytest.mark.timeout(2 * DBT_PATIENCE))

    items[:] = _long_first(items)


def _long_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Begin both halves with the long tests, and keep those together that share a slow fixture.

    A worker begins in the middle, and who has finished takes from the end of another. So one worker
    makes that fixture, and none is left with a long test at the end.
    """

    def fixtures(item: pytest.Item) -> set[str]:
        return {"chromium", "loaded", "orchard"}.intersection(getattr(item, "fixturenames", ()))

    def is_forking(item: pytest.Item) -> bool:
        return "forking" in getattr(item, "fixturenames", ())

    def is_long(item: pytest.Item) -> bool:
        is_marked = any(item.get_closest_marker(name) for name in ("dbt", "fusion"))
        return is_marked or is_forking(item)

    shared = sorted(filter(fixtures, items), key=lambda item: sorted(fixtures(item)))
    others = [item for item in items if not fixtures(item)]
    long = sorted(filter(is_long, others), key=is_forking, reverse=True)
    short = [item for item in others if not is_long(item)]
    middle = max(0, len(items) // 2 - len(shared))
    return [*shared, *short[:middle], *long, *short[middle:]]


def _is_recorded(item: pytest.Item) -> bool:
    """Whether a test replays recordings, which it makes or compares with an option."""
    replays = {"recorded", "answers"} & {*getattr(item, "fixturenames", ())}
    return bool(replays) and item.get_closest_marker("dbt") is None


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
