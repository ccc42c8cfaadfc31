"""The log of a step names the nodes that began and ended."""

from __future__ import annotations

import json

import pytest

from dlt_dbtcloud.emulator.pages.project import executions_of, nodes_of
from dlt_dbtcloud.report import Execution, Node, PastTime, logged_executions, past_times
from dlt_dbtcloud.report.page import outcome_of
from dlt_dbtcloud.report.rendering.timeline import timeline
from tests.support.dbt.recordings import CORE, FUSION, load

RUNNING = """
22:17:00  Running with dbt=1.11.16
22:17:12  1 of 3 START sql view model analytics.stg ............................ [RUN]
22:17:13  1 of 3 OK created sql view model analytics.stg ....................... [OK in 0.75s]
22:17:13  2 of 3 START test a_test_of_which_the_name_is_long ................... [RUN]
22:17:14  2 of 3 WARN 9 a_test_of_which_the_name_is_long ....................... [WARN 9 in 0.14s]
22:17:14  1 of 5 PASS freshness of raw.mart ..................................... [PASS in 0.03s]
22:17:15  3 of 3 START sql table model analytics.mart .......................... [RUN]
"""


def test_nodes_run_until_they_end() -> None:
    nodes = [
        Node("model.shop.stg", "stg", "model"),
        Node(
            "test.shop.a_test_of_which_the_name_is_long.1",
            "a_test_of_which_the_name_is_long",
            "test",
        ),
        Node("model.shop.mart_v2", "mart_v2", "model", relation='"db"."analytics"."mart"'),
    ]
    found = logged_executions(RUNNING, 4, 1000.0, 1020.0, nodes)
    assert [(each.unique_id, each.status, each.started_at, each.seconds) for each in found] == [
        ("model.shop.stg", "success", 1012.0, 0.75),
        ("test.shop.a_test_of_which_the_name_is_long.1", "warn", 1013.0, 0.14),
        ("model.shop.mart_v2", "running", 1015.0, 5.0),
    ]


def test_nodes_of_an_unknown_project_have_their_names() -> None:
    found = logged_executions(RUNNING, 4, 1000.0, 1020.0, [])
    assert [each.unique_id for each in found] == [
        *("model.log.stg", "test.log.a_test_of_which_the_name_is_long", "model.log.mart"),
    ]


def test_a_log_may_cross_midnight() -> None:
    log = "23:59:59  Running with dbt=1\n00:00:04  1 of 1 START seed file a.b ...... [RUN]"
    (found,) = logged_executions(log, 1, 500.0, 506.0, [])
    assert (found.started_at, found.seconds) == (505.0, 1.0)


@pytest.mark.parametrize(("name", "engine"), [("failed_model", CORE), ("failures", FUSION)])
def test_the_log_agrees_with_the_results(name: str, engine: str) -> None:
    step = load(name, engine)[0]
    manifest = step["artifacts"]["manifest.json"]
    results = json.loads(json.dumps(step["artifacts"]["run_results.json"]))
    nodes = nodes_of(manifest, {})
    logged = logged_executions("\n".join(step["log"]), 1, 0.0, 9.0, nodes)
    outcomes = {each.unique_id: outcome_of(each.status) for each in logged}
    for each in executions_of(results, 1):
        if each.unique_id in outcomes:
            assert outcomes[each.unique_id] == outcome_of(each.status), each
    expected = 80 if engine == CORE else 9
    assert len(outcomes.keys() & {each.unique_id for each in executions_of(results, 1)}) >= expected


def test_other_lines_are_not_nodes() -> None:
    log = "\x1b[32mDone.\x1b[0m\n22:17:12  Finished running 3 nodes in 1s.\nx [RUN]\n" + "." * 9000
    assert logged_executions(log, 1, 0.0, 1.0, []) == []


def test_hooks_and_lines_without_words_are_not_nodes() -> None:
    log = """
22:17:12  1 of 1 START hook: shop.on-run-start.0 ................................ [RUN]
22:17:12  1 of 1 OK hook: shop.on-run-start.0 ................................... [OK in 0.05s]
22:17:12  1 of 1     ............................................................ [RUN]
22:17:12  1 of 1 START model a.b ................................................ [ ]
22:17:12  1 of 2 START model a.b\x1b[0m .......................................... [RUN] more
"""
    assert logged_executions(log, 1, 0.0, 1.0, []) == []


def test_a_debug_log_has_threads() -> None:
    log = """
22:17:12.330440 [info ] [Thread-1 (]: 1 of 2 START sql view model a.stg ........ [RUN]
22:17:13.220630 [info ] [Thread-1 (]: 1 of 2 OK created sql view model a.stg ... [OK in 0.87s]
22:17:13.221886 [debug] [Thread-1 (]: Began running node model.shop.mart
22:17:13.221990 [info ] [Thread-2 (]: 2 of 2 START sql view model a.mart ........ [RUN]
"""
    found = logged_executions(log, 1, 100.0, 103.0, [])
    assert [(each.unique_id, each.thread, each.started_at, each.seconds) for each in found] == [
        ("model.log.stg", "Thread-1 (", 100.0, 0.87),
        ("model.log.mart", "Thread-2 (", 101.0, 2.0),
    ]
    assert timeline(found).threads == ("Thread-1", "Thread-2")


def test_nodes_that_a_finished_step_left_are_not_running() -> None:
    found = logged_executions(RUNNING, 4, 1000.0, 1020.0, [], is_running=False)
    assert [each.status for each in found] == ["success", "warn", "not finished"]
    assert outcome_of("not finished") == "unknown"


def test_durations_of_dbt_fusion_have_units() -> None:
    log = (
        " Succeeded [  0.13s] seed  marts.sorts (table)\n    Failed [ 1m 2.5s] model marts.a (view)"
    )
    log += "\n Passed [ 250ms] test  marts.unique"
    found = logged_executions(log, 1, 0.0, 1.0, [])
    assert [(each.status, each.seconds) for each in found] == [
        *(("success", 0.13), ("error", 62.5), ("pass", 0.25)),
    ]


def test_medians_count_the_longest_execution_of_each_run() -> None:
    def run(*seconds: float, status: str = "success") -> list[Execution]:
        return [Execution("a", i, status, seconds=each) for i, each in enumerate(seconds)]

    runs = [run(1.0, 3.0), run(5.0), run(0.0), run(90.0, status="error"), run(4.0, status="pass")]
    assert past_times(runs) == {"a": PastTime(4.0, 3)}
    assert past_times([]) == {}
