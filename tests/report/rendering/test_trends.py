"""The page of a job shows what is slow, slowing, flaky and not fresh, and what was saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlt_dbtcloud.report.rendering.pages import render_trend
from dlt_dbtcloud.report.rendering.trends import Saving, flaky_tests, saving, slow_nodes
from dlt_dbtcloud.report.trend import NodeTime, SourceAge, Trend, TrendRun
from tests.report.rendering.test_pages import Document

BEGAN = 1_790_000_000.0


def node(run: int, name: str, status: str, seconds: float = 0.0, kind: str = "model") -> NodeTime:
    return NodeTime(run, f"{kind}.shop.{name}", name, kind, status, seconds)


def trend(*nodes: NodeTime, runs: int = 6) -> Trend:
    return Trend(
        *(7, 30, BEGAN, "dbt Cloud's API", "Nightly"),
        runs=tuple(
            TrendRun(i, "Success" if i % 3 else "Error", BEGAN + 86_400 * i, 60.0 + i)
            for i in range(runs)
        ),
        nodes=nodes,
    )


def test_the_slowest_nodes_come_first_without_tests_and_failures() -> None:
    nodes = [
        node(1, "fast", "success", 1),
        node(1, "slow", "success", 9),
        node(2, "slow", "error", 99),
    ]
    tests = [node(1, "test", "pass", 50, "test")]
    found = slow_nodes(trend(*nodes, *tests))
    assert [(each.name, each.median) for each in found] == [("slow", 9), ("fast", 1)]


def test_a_node_is_slowing_if_its_newer_half_is_slower() -> None:
    steady = [node(i, "steady", "success", 5.0) for i in range(6)]
    slowing = [node(i, "slowing", "success", 1.0 + i) for i in range(6)]
    few = [node(i, "few", "success", 1.0 + 9 * i) for i in range(3)]
    found = {each.name: each.is_slowing for each in slow_nodes(trend(*steady, *slowing, *few))}
    assert found == {"steady": False, "slowing": True, "few": False}


@pytest.mark.parametrize(("runs", "is_compared"), [(0, False), (3, False), (4, True)])
def test_a_few_times_are_not_compared(runs: int, is_compared: bool) -> None:
    steady = [node(i, "steady", "success", 5.0) for i in range(runs)]
    text = Document(render_trend(trend(*steady))).text
    assert ("No node has become clearly slower." in text) is is_compared
    assert ("are compared after four successful runs" in text) is not is_compared


def test_a_node_that_a_run_executes_twice_counts_once() -> None:
    (found,) = slow_nodes(trend(node(1, "a", "success", 3), node(1, "a", "success", 5)))
    assert found.times == (5,)


def test_a_flaky_test_failed_and_passed_later() -> None:
    def test(name: str, *statuses: str) -> list[NodeTime]:
        return [node(i, name, status, kind="test") for i, status in enumerate(statuses)]

    found = flaky_tests(
        trend(
            *test("flaky", "pass", "fail", "pass", "fail"),
            *test("mended", "fail", "pass"),
            *test("broken", "pass", "fail", "fail"),
            *test("good", "pass", "warn", "pass"),
            *test("skipped", "pass", "skipped", "pass"),
        )
    )
    assert [(each.name, each.changes) for each in found] == [("flaky", 3), ("mended", 1)]


def test_narrowed_runs_are_compared_with_whole_ones() -> None:
    runs = [
        TrendRun(1, "Success", BEGAN, 100.0),
        TrendRun(2, "Success", BEGAN, 300.0),
        TrendRun(3, "Success", BEGAN, 40.0, kind="narrowed"),
        TrendRun(5, "Success", BEGAN, 2.0, kind="other"),
        TrendRun(4, "Error", BEGAN, 1.0, kind="narrowed"),
    ]
    assert saving(runs) == Saving(160.0, 1, 2)
    assert saving(runs[:2]) is None


def test_the_page_shows_all_parts_without_scripts() -> None:
    sources = (SourceAge(5, "source.shop.raw.orders", "warn", 90_000.0),)
    made = trend(
        *[node(i, "slowing", "success", 1.0 + i) for i in range(6)],
        *[node(i, "flaky", "pass" if i % 2 else "fail", kind="test") for i in range(6)],
    )
    document = Document(render_trend(replace(made, sources=sources, problems=("gone",))))
    for words in ("Nightly", "6 runs", "2 failed", "slowing", "flaky", "1 d 1 h", "1 of 1", "gone"):
        assert words in document.text
    assert not [tag for tag, _ in document.tags if tag == "script"]
    assert "script-src 'none'" in document.policy
    assert sum(tag == "rect" for tag, _ in document.tags) >= 6


def test_hostile_names_are_text() -> None:
    bad = "<script>alert(1)</script>\u202e\x00"
    made = replace(
        trend(node(1, bad, "success", 3)),
        job=bad,
        origin=bad,
        problems=(bad,),
        sources=(SourceAge(1, f"source.{bad}", bad, 1.0),),
        runs=(TrendRun(1, bad, BEGAN, 1.0, "javascript:alert(1)"),),
    )
    text = render_trend(made)
    assert "<script" not in text
    assert "javascript:" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("count", [0, 1, 500])
def test_any_number_of_runs_has_a_page(count: int) -> None:
    document = Document(render_trend(trend(runs=count)))
    bars = [a for tag, a in document.tags if tag == "rect" and "run" in (a["class"] or "").split()]
    assert len(bars) == min(count, 200)
    assert all(0 <= float((bar["x"] or "").removesuffix("%")) < 100 for bar in bars)


@pytest.mark.parametrize(
    ("longest", "levels"),
    [(0.0, ("0.10 s", "0.05 s")), (61.0, ("1 min 30 s", "45.0 s")), (5_000.0, ("1 h 30 min",))],
)
def test_the_scale_of_runs_ends_at_a_round_duration(
    longest: float, levels: tuple[str, ...]
) -> None:
    run = TrendRun(1, "Success", BEGAN, longest)
    text = Document(render_trend(replace(trend(), runs=(run,)))).text
    for level in levels:
        assert level in text
