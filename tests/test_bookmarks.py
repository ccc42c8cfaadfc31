"""A finished run is new to a table once, however late it is listed, unless it cannot be read."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.typing import Run

SIX = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)


def run(run_id: int, minutes: float = 0) -> Run:
    return Run(id=run_id, finished_at=str(SIX + timedelta(minutes=minutes)))


def test_runs_that_finish_in_the_same_second_are_told_apart() -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember("a", [run(1)])
    assert bookmarks.news(run(1)) == set()
    assert bookmarks.news(run(2)) == {"a"}


def test_a_run_that_is_listed_late_is_not_lost() -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember("a", [run(1, 0), run(3, 9)])
    assert bookmarks.since == SIX + timedelta(minutes=-1)
    assert bookmarks.news(run(2, 4)) == {"a"}
    assert bookmarks.news(run(1, 0)) == set()


def test_what_is_remembered_does_not_grow() -> None:
    state: dict[str, Any] = {}
    for i in range(1000):
        Bookmarks({"a": state}).remember("a", [run(i, i)])
    assert len(state["recent"]) == 11
    assert Bookmarks({"a": state}).news(run(5, 5)) == set()


def test_a_run_of_long_ago_does_not_turn_the_bookmark_back() -> None:
    state: dict[str, Any] = {}
    for minutes in (100, 0):
        Bookmarks({"a": state}).remember("a", [run(minutes, minutes)])
    assert Bookmarks({"a": state}).since == SIX + timedelta(minutes=90)


def test_tables_have_bookmarks_of_their_own() -> None:
    state: dict[str, Any] = {}
    Bookmarks({"a": state}).remember("a", [run(1)])
    both = Bookmarks({"a": state, "b": {}}, SIX)
    assert both.news(run(1)) == {"b"}
    assert both.since == SIX - timedelta(minutes=10)


def test_a_start_counts_until_there_is_a_bookmark() -> None:
    bookmarks = Bookmarks({"a": {}}, SIX)
    assert bookmarks.are_new
    assert bookmarks.news(run(1, -1)) == set()
    assert bookmarks.news(run(2, 0)) == {"a"}
    assert bookmarks.news(Run(id=3, finished_at=None)) == set()


def test_a_start_is_kept_where_a_first_load_finds_no_run() -> None:
    state: dict[str, Any] = {}
    Bookmarks({"a": state}, SIX).remember("a", [])
    assert Bookmarks({"a": state}).since == SIX
    earlier = SIX - timedelta(days=1)
    assert Bookmarks({"a": state}, earlier).since == earlier
    Bookmarks({"a": state}).remember("a", [run(1, 60)])
    assert Bookmarks({"a": state}, earlier).since == SIX + timedelta(minutes=50)


def test_a_run_that_could_not_be_read_is_new_for_five_more_loads() -> None:
    bookmarks = Bookmarks({"a": {}, "b": {}})
    runs = [run(1, 0), run(2, 60)]
    bookmarks.remember("b", runs, {"1": ["a"]})
    for _ in range(5):
        bookmarks.remember("a", runs, {"1": ["a"]})
        assert bookmarks.unread == {"1": {"a"}}
        assert bookmarks.news(run(1, 0)) == {"a"}
    assert bookmarks.is_given_up(1)
    bookmarks.remember("a", runs, {"1": ["a"]})
    assert bookmarks.unread == {}
    assert bookmarks.news(run(1, 0)) == set()


@pytest.mark.parametrize("others", [{}, {"2": ["a"]}])
def test_a_run_that_has_been_read_since_is_forgotten(others: dict[str, list[str]]) -> None:
    bookmarks = Bookmarks({"a": {}})
    bookmarks.remember("a", [run(1)], {"1": ["a"]})
    bookmarks.remember("a", [], others)
    assert bookmarks.unread == {run_id: {"a"} for run_id in others}
