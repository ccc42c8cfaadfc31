"""Each finished run is loaded once, whenever it finishes and however often results are loaded."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import DBTCloudClientV2, dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of, lean_run
from dlt_dbtcloud.source.incremental import Bookmarks, NewRun, finished_runs
from dlt_dbtcloud.typing import Run
from tests.support.dbt.results import extracted, finished_run, nightly


def test_runs_of_three_jobs_are_loaded_once_in_three_loads(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    jobs = [nightly(cloud) for _ in range(3)]
    slow = nightly(cloud, duration=None)
    unfinished = id_of(run_dbt_cloud_job(job_id=slow, wait_for_outcome=False))
    expected: set[int] = set()
    runs: list[int] = []
    results: list[int] = []
    for load, number in enumerate((3, 3, 1)):
        expected |= {finished_run(cloud, jobs[i % 3]) for i in range(number)}
        if load == 2:
            cloud.finish_run(unfinished)
            expected.add(unfinished)
        before = len(cloud.requests)
        tables = extracted(pipeline)
        new = number + (load == 2)
        # one page of runs, and two files of each new run
        assert len(cloud.requests) - before == 1 + 2 * new
        runs += [row["run_id"] for row in tables["dbt_runs"]]
        results += [row["run_id"] for row in tables["dbt_node_results"]]
        assert sorted(runs) == sorted(expected)
        assert len(tables["dbt_nodes"]) == 4
    assert len(expected) == 8
    assert Counter(results) == dict.fromkeys(expected, 2)


def test_jobs_and_tables_have_separate_bookmarks(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    one, other = nightly(cloud), nightly(cloud)
    first, second = finished_run(cloud, one), finished_run(cloud, other)
    found = [
        extracted(pipeline, source)
        for source in (
            dbt_cloud_results(job_id=str(other)).with_resources("dbt_runs"),
            dbt_cloud_results(job_id=other),
            dbt_cloud_results(job_id=one),
        )
    ]
    for table, runs in {
        "dbt_runs": [{second}, set(), {first}],
        "dbt_node_results": [set(), {second}, {first}],
    }.items():
        assert [{row["run_id"] for row in tables[table]} for tables in found] == runs


def test_a_start_date_limits_the_first_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = nightly(cloud)
    finished_run(cloud, job)
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=23)
    source = dbt_cloud_results(job_id=job, start_date=tomorrow)
    assert extracted(pipeline, source)["dbt_runs"] == []
    source = dbt_cloud_results(job_id=job, start_date="2026-01-31")
    assert len(extracted(pipeline, source)["dbt_runs"]) == 1
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "1")
    source = dbt_cloud_results(start_date="2026-01-31").with_resources("dbt_runs")
    assert len(extracted(pipeline, source)["dbt_runs"]) == 1
    with pytest.raises(ValueError, match="`start_date='soon'` is not a date"):
        dbt_cloud_results(start_date="soon")
    with pytest.raises(ValueError, match="`start_date=20260131` is not a date"):
        dbt_cloud_results(start_date=20260131)  # type: ignore[arg-type]  # the mistake


def test_runs_are_listed_by_naive_times_in_utc(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    start = datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=2)))
    finished_runs(client, None, Bookmarks({"dbt_runs": {}}, start))
    (listing,) = cloud.requests
    since, until = json.loads(listing.query["finished_at__range"][0])
    assert since == "2026-01-31T06:00:00"
    assert datetime.fromisoformat(until).tzinfo is None


SIX = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)


def run(run_id: int, minutes: float = 0) -> Run:
    return Run(id=run_id, finished_at=str(SIX + timedelta(minutes=minutes)))


def test_runs_that_finish_in_the_same_second_are_all_new() -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember([run(1)])
    assert bookmarks.new_tables(run(1)) == set()
    assert bookmarks.new_tables(run(2)) == {"a"}


def test_a_run_that_is_listed_late_is_not_lost() -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember([run(1, 0), run(3, 9)])
    assert bookmarks.since == SIX + timedelta(minutes=-1)
    assert bookmarks.new_tables(run(2, 4)) == {"a"}
    assert bookmarks.new_tables(run(1, 0)) == set()


def test_bookmarks_do_not_grow() -> None:
    state: dict[str, Any] = {}
    for i in range(1000):
        Bookmarks({"a": state}).remember([run(i, i)])
    assert len(state["recent"]) == 11
    assert Bookmarks({"a": state}).new_tables(run(5, 5)) == set()


def test_an_old_run_does_not_move_the_bookmark_back() -> None:
    state: dict[str, Any] = {}
    for minutes in (100, 0):
        Bookmarks({"a": state}).remember([run(minutes, minutes)])
    assert Bookmarks({"a": state}).since == SIX + timedelta(minutes=90)


def test_a_new_table_lacks_the_runs_of_the_others() -> None:
    state: dict[str, Any] = {}
    Bookmarks({"a": state}).remember([run(1)])
    both = Bookmarks({"a": state, "b": {}}, SIX)
    assert both.new_tables(run(1)) == {"b"}
    assert both.since == SIX - timedelta(minutes=10)


def test_a_start_counts_until_there_is_a_bookmark() -> None:
    bookmarks = Bookmarks({"a": {}}, SIX)
    assert bookmarks.are_empty
    assert bookmarks.new_tables(run(1, -1)) == set()
    assert bookmarks.new_tables(run(2, 0)) == {"a"}
    assert bookmarks.new_tables(Run(id=3, finished_at=None)) == set()


def test_a_start_is_kept_if_the_first_load_finds_no_run() -> None:
    state: dict[str, Any] = {}
    Bookmarks({"a": state}, SIX).remember([])
    assert Bookmarks({"a": state}).since == SIX
    earlier = SIX - timedelta(days=1)
    assert Bookmarks({"a": state}, earlier).since == earlier
    Bookmarks({"a": state}).remember([run(1, 60)])
    assert Bookmarks({"a": state}, earlier).since == SIX + timedelta(minutes=50)


def test_an_unreadable_run_is_new_to_five_more_loads() -> None:
    bookmarks = Bookmarks({"a": {}, "b": {}})
    runs = [run(1, 0), run(2, 60)]
    for _ in range(5):
        bookmarks.remember(runs, {"1": ["a"]})
        assert bookmarks.unread == {"1": {"a"}}
        assert bookmarks.new_tables(run(1, 0)) == {"a"}
    assert bookmarks.is_last_attempt(1)
    bookmarks.remember(runs, {"1": ["a"]})
    assert bookmarks.unread == {}
    assert bookmarks.new_tables(run(1, 0)) == set()


@pytest.mark.parametrize("others", [{}, {"2": ["a"]}])
def test_a_run_that_has_been_read_since_is_not_read_again(others: dict[str, list[str]]) -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember([run(1)], {"1": ["a"]})
    bookmarks.remember([], others)
    assert bookmarks.unread == {run_id: {"a"} for run_id in others}


def test_only_failed_steps_keep_the_end_of_their_log() -> None:
    log = "\n".join(map(str, range(1000)))
    steps = [{"status": status, "logs": log, "debug_logs": log} for status in (10, 20)]
    run: Any = {"id": 1, "run_steps": steps, "job": {"name": "Nightly", "settings": {}}}
    done, failed = lean_run(run)["run_steps"]
    assert done == {"status": 10}
    assert (failed["logs"] or "").split("\n") == [*map(str, range(500, 1000))]
    assert lean_run(run)["job"] == {"name": "Nightly"}


@pytest.mark.parametrize("steps", [None, [None], [5, "a", [{}]], {"a": 1}, "steps"])
def test_unexpected_steps_are_dropped(steps: Any) -> None:
    run: Any = {"id": 1, "run_steps": steps, "retrying_run_id": "x", "trigger": None, "job": None}
    assert lean_run(run)["run_steps"] == []
    assert retried_run(run) is None


@pytest.mark.parametrize("odd", [{"a": 1}, [1], True])
def test_unexpected_fields_of_a_step_are_dropped(odd: Any) -> None:
    step = {"status": 20, "index": odd, "name": odd, "logs": odd}
    run: Any = {"id": 1, "run_steps": [step, {"index": 4, "status": odd}], "job": odd}
    assert lean_run(run)["run_steps"] == [
        {"status": 20, "index": None, "name": None, "logs": ""},
        {"index": 4, "status": None},
    ]


def test_an_unreadable_run_from_long_ago_comes_last(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    state: dict[str, Any] = {"finished_at": "2026-01-31T06:00:00+00:00", "unread": {"7": 5}}
    newest, older = finished_runs(client, None, Bookmarks({"dbt_nodes": state}))
    assert newest.run["id"] == run_id
    assert older == NewRun(Run(id=7, is_complete=True), frozenset({"dbt_nodes"}))
    assert [request.path.rpartition("/runs/")[2] for request in cloud.requests[-1:]] == [""]
