"""Checks are placed where a run usually ends, in addition to the regular ones."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise, product

from dlt_dbtcloud.runs.schedule import Expected, Window, next_check, regular_pause, usual_ends

CHANCE = random.Random(7)
HISTORIES = {
    "one": [600.0],
    "steady": [600.0, 610, 590],
    "bimodal": [60.0, 60, 600, 600],
    "spread": [5.0, 80, 300, 900],
    "even": [30.0 * number for number in range(20)],
    "normal": [CHANCE.gauss(600, 10) for _ in range(20)],
}


def checks(end: float, past: Sequence[float], wait: float = 10, queued: float = 0) -> list[float]:
    """Return the ages of a run at its checks, until its end is noticed."""
    windows, age, due, ages = usual_ends(tuple(past), wait), 0.0, None, []
    while age < end:
        running = age - queued if age >= queued else None
        pause, due = next_check(age, due, wait, [Expected(running, windows)])
        age += pause
        ages.append(age)
    return ages


def delay(end: float, past: Sequence[float], wait: float = 10) -> float:
    return checks(end, past, wait)[-1] - end


def test_an_end_is_noticed_within_a_tenth_of_the_duration_with_few_checks() -> None:
    for length in [3, 10, 30, 100, 250]:
        assert delay(length, ()) <= length / 10 + 1
        assert len(checks(length, ())) <= length / 10 + 20


def test_the_end_of_a_usual_run_is_noticed_within_two_seconds() -> None:
    cases: list[tuple[float, float]] = [
        (45, 0),
        (130, 1),
        *product([4, 45, 130, 600, 3607], [10, 60]),
    ]
    for usual, wait in cases:
        past = [usual - 1, usual, usual + 0.5, usual + 1, usual * 3]
        # no check depends on an end that is still to come
        ages = checks(usual + 1, past, wait)
        for end in (usual + step / 10 for step in range(-10, 11)):
            assert ages[bisect_left(ages, end)] - end <= 1.5


def test_an_unusual_end_is_noticed_as_soon_as_without_history() -> None:
    cases: list[tuple[list[float], float]] = [
        (HISTORIES["bimodal"], 0),
        (HISTORIES["spread"], 1),
        *product(HISTORIES.values(), [10, 60]),
    ]
    for past, wait in cases:
        windows = usual_ends(tuple(past), wait)
        regular, placed = checks(1500, (), wait), checks(1500, past, wait)
        for age in regular:
            if not any(window.begins <= age <= window.ends for window in windows):
                next_placed = placed[bisect_left(placed, age - 1e-6)]
                assert next_placed - age < 1e-6
        for before, after in pairwise([0.0, *placed]):
            assert after - before <= max(1.5, regular_pause(before, wait)) + 1e-9


def test_a_usual_run_takes_few_more_checks_than_without_history() -> None:
    for past in [[600.0] * 20, [597.0, 603] * 10, [60.0] * 10 + [600] * 10]:
        for end in {*past}:
            assert len(checks(end, past)) <= len(checks(end, ())) + 8
            # as prompt as a check every two seconds
            assert len(checks(end, past)) < end / 2


def test_a_steady_job_takes_at_most_two_more_checks() -> None:
    for end in range(95, 3600, 97):
        assert len(checks(end, [end] * 20)) <= len(checks(end, ())) + 2


def test_without_history_the_pauses_are_regular() -> None:
    assert usual_ends((), 10) == ()
    ages = [*map(math.floor, checks(30, ()))]
    assert ages == [1, 2, 3, 4, 6, 7, 9, 11, 13, 15, 18, 21, 24, 27, 31]


def test_both_modes_of_a_bimodal_job_have_windows() -> None:
    past = (60, 61, 62, 600, 601, 602, 603)
    assert usual_ends(past, 10) == (Window(59, 63), Window(599, 604))
    assert max(delay(end, past) for end in past) <= 1.5


def test_an_exception_in_the_history_has_no_window() -> None:
    assert usual_ends((*[600] * 19, 1800), 10) == (Window(599, 601),)


def test_durations_without_anything_in_common_have_no_windows() -> None:
    assert usual_ends(tuple(100.0 * number for number in range(1, 21)), 10) == ()


def test_windows_are_not_needed_if_all_checks_are_as_close() -> None:
    for wait in [0, 1, 1.5]:
        assert usual_ends((600.0,) * 20, wait) == ()
        assert usual_ends((3.0,) * 20, 10) == ()


def test_the_windows_of_a_long_job_are_longer() -> None:
    past = tuple(random.Random(number).gauss(7200, 20) for number in range(20))
    (window,) = usual_ends(past, 10)
    assert 50 < window.ends - window.begins <= 108
    assert len(checks(7200, past)) <= 1.1 * len(checks(7200, ()))


def test_a_queued_run_is_checked_regularly_until_it_has_started() -> None:
    ages = checks(300, [100], queued=200)
    assert [age for age in ages if age < 200] == [age for age in checks(199, ()) if age < 200]
    assert ages[-1] - 300 <= 1.5


def test_several_runs_are_checked_in_the_window_of_any() -> None:
    runs = [Expected(100, [Window(99, 101)]), Expected(100, ()), Expected(None, [Window(1, 9)])]
    assert next_check(100, 105, 10, runs) == (1.5, 105)
    assert next_check(100, 105, 10, runs[1:]) == (5, 105)


def test_regular_checks_that_were_missed_in_an_outage_are_skipped() -> None:
    assert next_check(1003, 500, 10, [Expected(1003, [Window(1999, 2001)])]) == (7, 1010)
