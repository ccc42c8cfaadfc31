"""A finished run is new to a table once, however late it is listed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.typing import Run

SIX = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)


def run(run_id: int, minutes: float = 0) -> Run:
    return Run(id=run_id, finished_at=str(SIX + timedelta(minutes=minutes)))


def test_runs_that_finish_in_the_same_second_are_told_apart() -> None:
    bookmarks = Bookmarks({}, ["a"])
    bookmarks.remember([run(1)])
    assert bookmarks.news(run(1)) == set()
    assert bookmarks.news(run(2)) == {"a"}


def test_a_run_that_is_listed_late_is_not_lost() -> None:
    bookmarks = Bookmarks({}, ["a"])
    bookmarks.remember([run(1, 0), run(3, 9)])
    assert bookmarks.since == SIX + timedelta(minutes=-1)
    assert bookmarks.news(run(2, 4)) == {"a"}
    assert bookmarks.news(run(1, 0)) == set()


def test_what_is_remembered_does_not_grow() -> None:
    state: dict[str, Any] = {}
    for i in range(1000):
        Bookmarks(state, ["a"]).remember([run(i, i)])
    assert len(state["a"]["recent"]) == 11
    assert Bookmarks(state, ["a"]).news(run(5, 5)) == set()


def test_tables_have_bookmarks_of_their_own() -> None:
    state: dict[str, Any] = {}
    Bookmarks(state, ["a"]).remember([run(1)])
    assert Bookmarks(state, ["a", "b"]).news(run(1)) == {"b"}
    assert Bookmarks(state, ["a", "b"], SIX).since == SIX - timedelta(minutes=10)


def test_a_start_counts_until_there_is_a_bookmark() -> None:
    bookmarks = Bookmarks({}, ["a"], SIX)
    assert bookmarks.news(run(1, -1)) == set()
    assert bookmarks.news(run(2, 0)) == {"a"}
    assert bookmarks.news(Run(id=3, finished_at=None)) == set()
