"""The timeline shows threads, the critical path, and where the time went."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlt_dbtcloud.report import Execution, Node, PastTime
from dlt_dbtcloud.report.rendering.graph import Graph
from dlt_dbtcloud.report.rendering.timeline import (
    critical_path,
    phases,
    slowest,
    timeline,
)
from tests.support.reports.pages import BEGAN, MART, SEED, STAGED, UNIQUE, shop_page


def run(key: str, began: float | None, took: float, thread: str = "Thread-1") -> Execution:
    return Execution(key, 1, "success", None, began, took, thread)


def test_threads_are_sorted_by_their_numbers() -> None:
    found = timeline([run("a", 1, 1, "Thread-10"), run("b", 0, 1, "Thread-2 (worker)")])
    assert found.threads == ("Thread-2", "Thread-10")
    assert (found.lanes, found.start, found.end) == ((1, 0), 0, 2)


def test_executions_of_a_thread_that_overlap_get_lanes_of_their_own() -> None:
    found = timeline([run("a", 0, 5), run("b", 1, 1), run("c", 2.5, 1), run("d", 6, 1)])
    assert found.threads == ("Thread-1", "Thread-1")
    assert found.lanes == (0, 1, 1, 0)


def test_an_execution_without_a_time_has_no_lane() -> None:
    assert timeline([run("a", None, 0)]).lanes == (None,)
    assert timeline([]).threads == ()


def test_many_overlapping_executions_share_lanes() -> None:
    found = timeline([run(f"n{i}", 0, 5) for i in range(100)])
    assert len(found.threads) < 20


def test_the_critical_path_leads_from_the_last_ends_to_what_it_waited_for() -> None:
    page = shop_page()
    path = critical_path(page.executions, Graph(page.nodes))
    assert [page.executions[i].unique_id for i in path] == [SEED, STAGED, UNIQUE, MART]


def test_each_step_has_its_critical_path() -> None:
    nodes = [Node("a", "a", "model"), Node("b", "b", "model", parents=("a",))]
    of_step = [replace(run("b", 2, 1), step=2), run("a", 0, 1), run("c", 0, 0.5)]
    assert critical_path(of_step, Graph(nodes)) == [1, 0]


def test_the_critical_path_leads_through_nodes_that_are_not_executed() -> None:
    # `middle` is ephemeral, and `other` ended later but is no part of `end`
    nodes = [
        Node("source.a", "a", "source"),
        Node("start", "start", "model", parents=("source.a",)),
        Node("middle", "middle", "model", parents=("start",)),
        Node("test", "test", "test", parents=("start",)),
        Node("other", "other", "model"),
        Node("end", "end", "model", parents=("middle",)),
    ]
    executions = [run("start", 0, 2), run("other", 0, 3), run("test", 2, 0.5), run("end", 3, 1)]
    assert critical_path(executions, Graph(nodes)) == [0, 2, 3]


def test_the_critical_path_of_a_known_graph() -> None:
    # two chains, of which the second determines the end; `d` waits for a thread, not for `c`
    nodes = [
        *(Node("a", "a", "model"), Node("b", "b", "model", parents=("a",))),
        *(Node("c", "c", "model"), Node("d", "d", "model", parents=("c", "b"))),
        Node("e", "e", "model", parents=("d",)),
    ]
    executions = [
        *(run("a", 0, 1), run("c", 0, 4, "Thread-2"), run("b", 1, 4.5)),
        *(run("d", 5.6, 1), run("e", 6.7, 2, "Thread-2")),
    ]
    found = [executions[i].unique_id for i in critical_path(executions, Graph(nodes))]
    assert found == ["a", "b", "d", "e"]


def test_nodes_of_no_duration_in_a_cycle_end_the_path() -> None:
    nodes = [Node("a", "a", "model", parents=("b",)), Node("b", "b", "model", parents=("a",))]
    assert len(critical_path([run("a", 1, 0), run("b", 1, 0)], Graph(nodes))) == 1


def test_a_run_without_executions_has_no_path() -> None:
    assert critical_path([], Graph([])) == []


def test_the_phases_of_a_run_add_up_to_its_duration() -> None:
    found = phases(shop_page())
    assert [(each.kind, each.name, each.seconds) for each in found] == [
        ("queue", "Queue", 4.0),
        ("setup", "Set-up", 3.0),
        ("step", "dbt seed", 4.0),
        ("step", "dbt build", 8.0),
        ("rest", "Between steps", 1.0),
    ]
    assert sum(each.seconds for each in found) == pytest.approx(20.0)


def test_the_phases_of_a_queued_run_are_its_queue() -> None:
    page = shop_page()
    head = replace(page.run, started_at=None, finished_at=None)
    found = phases(replace(page, run=head, steps=()))
    assert [(each.kind, each.seconds) for each in found] == [("queue", page.made_at - BEGAN)]


def test_the_slowest_come_first_with_their_medians() -> None:
    executions = (*shop_page().executions, replace(run("skipped", 0, 99), status="skipped"))
    found = slowest(executions, {STAGED: PastTime(1.0, 3)}, 2)
    assert [(each.execution.unique_id, each.past) for each in found] == [
        (STAGED, PastTime(1.0, 3)),
        (MART, None),
    ]


def test_a_node_of_several_steps_is_slow_once() -> None:
    executions = [run("a", 0, 1), replace(run("a", 2, 3), step=2), run("b", 1, 2)]
    found = slowest(executions, {})
    assert [(each.execution.unique_id, each.index) for each in found] == [("a", 1), ("b", 2)]
