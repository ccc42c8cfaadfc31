"""Progress is shown in a log, in a terminal of any width, and by dlt's collectors."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from dlt.common.runtime.collector import DictCollector, LogCollector

from dlt_dbtcloud.configuration import Collector
from dlt_dbtcloud.runs.progress.displays import (
    CollectorDisplay,
    Counter,
    Frame,
    LineDisplay,
    TerminalDisplay,
    fitted,
)
from tests.support.processes.terminal import terminal

PARTS = ("running 2m 05s", "~3m left", "40/82 nodes", "1 failed", "step 1/2: dbt build --select a+")


def frame(key: object = 1, *lines: str, parts: Sequence[str] = PARTS, **fields: Any) -> Frame:
    return Frame("dbt Cloud run 7", lines, tuple(parts), key, **fields)


class Recorder(Collector):
    """A collector that records what it gets."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def update(self, name: str, inc: int = 1, total: Any = None, *_: Any, **more: Any) -> None:
        self.log.append((name, inc, total, more["message"], more["label"]))

    def _start(self, step: str) -> None:
        self.log.append(step)

    def _stop(self) -> None:
        self.log.append("stopped")


def test_a_line_is_written_per_change_and_minute() -> None:
    stream = io.StringIO()
    display = LineDisplay(stream)
    shown = {}
    for now in range(200):
        display.show(frame(now >= 100, *(["FAIL 1 a"] if now == 30 else [])), now)
        shown[now] = stream.getvalue()
    written = [now for before, now in pairwise([-1, *shown]) if shown[now] != shown.get(before)]
    assert written == [0, 30, 90, 100, 160]
    assert stream.getvalue().splitlines()[:2] == [
        f"dbt Cloud run 7: {', '.join(PARTS)}",
        "FAIL 1 a",
    ]


def test_a_line_display_is_due_when_a_minute_has_passed() -> None:
    display = LineDisplay(io.StringIO())
    assert display.due(5) == 0
    display.show(frame(), 5)
    assert (display.due(5), display.due(45), display.due(100)) == (60, 20, 0)


def test_characters_that_a_stream_cannot_encode_are_replaced() -> None:
    data = io.BytesIO()
    display = LineDisplay(io.TextIOWrapper(data, "ascii"))
    display.show(frame(1, "Täglich 日報"), 0)
    assert data.getvalue().startswith(b"T?glich ??\n")


def test_a_line_fits_into_the_terminal() -> None:
    cases: list[tuple[int, str]] = [
        (200, ", ".join(PARTS)),
        (75, "running 2m 05s, ~3m left, 40/82 nodes, 1 failed, step 1/2: dbt build --s..."),
        (40, "running 2m 05s, ~3m left, 40/82 nodes"),
        (10, "running 2m"),
        (0, ""),
    ]
    for columns, expected in cases:
        assert fitted(PARTS, columns) == expected
        assert len(expected) <= columns


def test_wide_characters_take_two_columns() -> None:
    assert fitted(["日報日報"], 5) == "日報"
    assert fitted(["日報", "日報"], 9) == "日報"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_last_line_of_a_terminal_is_replaced(columns: int) -> None:
    with terminal(columns) as screen:
        display = TerminalDisplay(screen.stream)
        display.show(frame(1, "run 7: https://cloud"), 0)
        display.show(frame(1, parts=["running 3s"]), 1)
        display.show(frame(1, "FAIL 1 a", parts=["running 4s"]), 2)
        display.show(frame(1, "success after 5s", is_over=True), 3)
        display.close()
        frames = [lines for lines in screen.frames if lines[-1]]
    above = ["run 7: https://cloud"]
    assert frames == [
        [*above, fitted(PARTS, columns - 1)],
        [*above, "running 3s"],
        [*above, "FAIL 1 a", "running 4s"],
    ]


def test_a_terminal_is_cleared_at_the_end() -> None:
    with terminal(80) as screen:
        display = TerminalDisplay(screen.stream)
        display.show(frame(), 0)
        display.close()
        display.close()
        print("Done.", file=screen.stream, flush=True)
        print("\r", end="", file=screen.stream, flush=True)
        assert screen.frames[-1] == ["Done.", ""]


def test_a_collector_gets_counters_with_their_totals_once() -> None:
    recorder, stream = Recorder(), io.StringIO()
    display = CollectorDisplay(recorder, stream)
    steps, nodes = Counter("Steps", 0, 2), Counter("Nodes", 3, 82, "1")
    display.show(frame(1, "link"), 0)
    display.show(frame(1, counters=(steps,)), 1)
    display.show(frame(2, counters=(Counter("Steps", 1, 2), nodes)), 2)
    display.show(frame(2, counters=(Counter("Steps", 1, 2), nodes)), 3)
    display.show(frame(2, "FAIL", counters=(Counter("Steps", 1, 2), nodes)), 62)
    assert stream.getvalue() == "link\n"
    display.close()
    message = ", ".join(PARTS)
    assert recorder.log == [
        "dbt Cloud",
        ("Steps", 0, 2, message, None),
        ("Steps", 1, None, message, None),
        ("Nodes", 3, 82, None, "1"),
        ("Steps", 0, None, message, None),
        ("Nodes", 0, None, None, "1"),
        "stopped",
    ]
    assert stream.getvalue() == "link\nFAIL\n"


def test_a_collector_is_started_again_for_the_next_wait() -> None:
    recorder = Recorder()
    display = CollectorDisplay(recorder, io.StringIO())
    for _ in range(2):
        display.show(frame(counters=(Counter("Steps", 1, 2),)), 0)
        display.close()
    wait = ["dbt Cloud", ("Steps", 1, 2, ", ".join(PARTS), None), "stopped"]
    assert recorder.log == wait * 2


def test_a_log_of_dlt_has_no_block_per_check() -> None:
    stream = io.StringIO()
    collector = LogCollector(log_period=0.0, logger=stream, dump_system_stats=False)
    display = CollectorDisplay(collector, io.StringIO())
    for done in range(50):
        nodes = Counter("Nodes", done, 82)
        display.show(frame(1, counters=(Counter("Steps", 0, 2), nodes)), done)
    display.close()
    assert stream.getvalue().count("- dbt Cloud -") == 2
    assert "Steps: 0/2 (0.0%)" in stream.getvalue()


def test_a_collector_that_counts_works() -> None:
    collector = DictCollector()
    display = CollectorDisplay(collector, io.StringIO())
    display.show(frame(counters=(Counter("Steps", 1, 2),)), 0)
    assert collector.counters == {"Steps": 1}
    display.close()
