"""The cause of a run names the load, ends in a key, and fits the API's limit."""

from __future__ import annotations

import re

import pytest

from dlt_dbtcloud.cause import (
    bound_key,
    bound_load,
    cause_with_key,
    has_cause,
    has_key,
    may_have_cause,
    new_key,
    retried_run,
    retry_cause,
)
from dlt_dbtcloud.typing import Run

LOAD = ("flights", "1732150000.123")


def test_a_cause_ends_in_its_key() -> None:
    assert cause_with_key("Triggered via API", "3f9c2ab41d07") == (
        "Triggered via API [dlt:3f9c2ab41d07]"
    )


def test_a_bound_cause_names_pipeline_and_load() -> None:
    assert cause_with_key("Triggered via API", "3f9c2ab41d07", LOAD) == (
        "Triggered via API: dlt pipeline flights, load 1732150000.123 [dlt:3f9c2ab41d07]"
    )


@pytest.mark.parametrize("length", [1, 200, 236, 237, 255, 1000])
@pytest.mark.parametrize("load", [None, LOAD])
def test_a_cause_never_exceeds_the_apis_limit(length: int, load: tuple[str, str] | None) -> None:
    cause = cause_with_key("x" * length, "3f9c2ab41d07", load)
    assert len(cause) <= 255
    assert cause.startswith("x" * min(length, 190 if load else 236))
    assert cause.endswith(" [dlt:3f9c2ab41d07]")
    assert ("load 1732150000.123" in cause) == bool(load)


def test_a_long_load_name_leaves_room_for_words() -> None:
    cause = cause_with_key("x" * 300, "3f9c2ab41d07", ("y" * 200, "1732150000.123"))
    assert cause == "x" * 236 + " [dlt:3f9c2ab41d07]"


def test_each_call_has_its_own_key() -> None:
    assert re.fullmatch("[0-9a-f]{12}", new_key())
    assert len({new_key() for _ in range(100)}) == 100


def test_the_key_of_a_load_is_the_same_everywhere() -> None:
    body = {"cause": "a", "threads_override": 4, "git_sha": "abc"}
    reordered = {"git_sha": "abc", "threads_override": 4, "cause": "another"}
    assert bound_key(LOAD, "7", body) == bound_key(LOAD, "7", reordered) == "892074672c7c"


@pytest.mark.parametrize(
    ("load", "job", "body"),
    [
        (("planes", "1732150000.123"), "7", {"cause": "a"}),
        (("flights", "1732150000.124"), "7", {"cause": "a"}),
        (LOAD, "8", {"cause": "a"}),
        (LOAD, "7", {"cause": "a", "schema_override": "s"}),
    ],
)
def test_another_load_job_or_override_has_another_key(
    load: tuple[str, str], job: str, body: dict[str, str]
) -> None:
    assert bound_key(load, job, body) != bound_key(LOAD, "7", {"cause": "a"})


KEY = "3f9c2ab41d07"
BOUND = "Nightly: dlt pipeline flights, load 1732150000.123 [dlt:3f9c2ab41d07]"


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("x [dlt:3f9c2ab41d07]", True),
        ("[dlt:3f9c2ab41d07]", True),
        ("x [dlt:000000000000]", False),
        ("redo of [dlt:3f9c2ab41d07] by hand", False),
        ("x[dlt:3f9c2ab41d07]", False),
        ("x: retry of run 5 [dlt:3f9c2ab41d07]", False),
        ("x [dlt:3f9c2ab41d0", False),
        (None, False),
    ],
)
def test_a_run_is_recognised_by_the_key_at_the_end_of_its_cause(
    cause: str | None, expected: bool
) -> None:
    assert has_key(caused(cause), KEY) is expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (BOUND, True),
        (cause_with_key("x" * 300, KEY, LOAD), True),
        (cause_with_key("", KEY, LOAD), True),
        ("redo of [dlt:3f9c2ab41d07]", False),
        (BOUND.replace("flights", "planes"), False),
        (BOUND + ", again", False),
    ],
)
def test_the_load_precedes_the_key_of_a_bound_run(cause: str, expected: bool) -> None:
    assert has_key(caused(cause), KEY, LOAD) is expected


def test_a_load_whose_name_was_too_long_is_recognised_by_its_key() -> None:
    load = ("y" * 200, "1732150000.123")
    assert has_key(caused(cause_with_key("x", KEY, load)), KEY, load)


def test_a_cause_is_compared_without_its_spacing() -> None:
    assert has_cause(caused("a  test [dlt:3f9c2ab41d07] "), "a test [dlt:3f9c2ab41d07]")
    assert not has_cause(caused(f"redo of {BOUND}"), BOUND)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (None, True),
        (BOUND[:-1], True),
        (BOUND[:30], True),
        ("Night", True),
        (f"redo of {BOUND}", True),
        ("Nightly", False),
        (BOUND, False),
        (f"{BOUND} by hand", False),
        ("By hand", False),
    ],
)
def test_a_cause_that_is_not_shown_may_be_any(cause: str | None, expected: bool) -> None:
    assert may_have_cause(caused(cause), BOUND) is expected


@pytest.mark.parametrize("number", ["8" * 30, "9" * 200])
def test_a_number_that_is_not_an_id_is_not_a_retried_run(number: str) -> None:
    assert (
        retried_run(Run(trigger={"cause": f"Rerun: retry of run {number} [dlt:{'0' * 12}]"}))
        is None
    )
    assert retried_run({"retrying_run_id": number}) is None  # type: ignore[typeddict-item]  # odd


def caused(cause: str | None) -> Run:
    return Run(id=7, trigger={"cause": cause} if cause else None)


@pytest.mark.parametrize("words", ["Triggered via API", "x" * 300, "a: dlt pipeline b, load 1"])
def test_a_load_is_read_back_from_a_cause(words: str) -> None:
    cause = cause_with_key(words, "3f9c2ab41d07", LOAD)
    expected = ("flights", "1732150000.123", "3f9c2ab41d07")
    assert bound_load(caused(cause)) == expected
    assert bound_load(caused(retry_cause(caused(cause)))) == expected


@pytest.mark.parametrize("cause", [None, "By hand", "By hand [dlt:3f9c2ab41d07]"])
def test_a_run_without_a_load_is_bound_to_none(cause: str | None) -> None:
    assert bound_load(caused(cause)) is None
