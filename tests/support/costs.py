"""Plugin of pytest that reports the CPU seconds of the tests by kind: `make costs`."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import pytest
from dlt.pipeline.pipeline import Pipeline

from tests.support.processes import forks

_COSTLIEST = 25
_KINDS = {
    "start": "start of pytest, and collection",
    "own": "tests themselves",
    "run": "`pipeline.run`",
    "children": "child processes of tests without real dbt",
    "forks": "processes forked for tests",
    "dbt": "child processes of tests with real dbt",
}


class Costs:
    """CPU seconds of this process and its children, by kind and by test."""

    def __init__(self) -> None:
        self._kinds: dict[str, float] = dict.fromkeys(_KINDS, 0.0)
        self._tests: dict[str, float] = {}
        self._runs = 0
        self._run = 0.0
        self._is_running = False

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """Measure `pipeline.run` with the extraction, normalization and load in it."""
        run, costs = Pipeline.run, self

        def measured(self: Pipeline, *args: Any, **options: Any) -> Any:
            if costs._is_running:
                return run(self, *args, **options)
            began, costs._is_running = time.process_time(), True
            try:
                return run(self, *args, **options)
            finally:
                costs._is_running = False
                costs._run += time.process_time() - began
                costs._runs += 1

        Pipeline.run = measured  # type: ignore[method-assign]  # measures all runs

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        self._kinds["start"] += time.process_time()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        own, run, children = time.process_time(), self._run, _children()
        result = yield
        own, run, children = (
            time.process_time() - own,
            self._run - run,
            _children() - children,
        )
        self._kinds["own"] += own - run
        self._kinds["run"] += run
        is_dbt = item.get_closest_marker("dbt") or item.get_closest_marker("fusion")
        self._kinds["dbt" if is_dbt else "children"] += children
        self._tests[item.nodeid] = own + children
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        before = _children()
        forks.stop()
        self._kinds["forks"] += _children() - before
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["costs"] = [self._kinds, self._tests, self._runs]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the seconds that a worker of xdist has measured."""
        kinds, tests, runs = getattr(node, "workeroutput", {}).get("costs", ({}, {}, 0))
        for kind, seconds in kinds.items():
            self._kinds[kind] += seconds
        self._tests.update(tests)
        self._runs += runs

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("CPU seconds")
        for kind, meaning in _KINDS.items():
            calls = f" in {self._runs} calls" if kind == "run" else ""
            terminalreporter.line(f"{self._kinds[kind]:8.1f}  {meaning}{calls}")
        terminalreporter.line(f"{sum(self._kinds.values()):8.1f}  in all")
        terminalreporter.section("costliest tests")
        tests = sorted(self._tests.items(), key=lambda test: test[1], reverse=True)
        for test, seconds in tests[:_COSTLIEST]:
            terminalreporter.line(f"{seconds:8.2f}  {test}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs())


def _children() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system
