"""A JSON value of the wrong type becomes None or empty."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from dlt_dbtcloud.values import (
    as_boolean,
    as_datetime,
    as_dicts,
    as_integer,
    as_mapping,
    as_number,
    as_seconds,
    as_text,
    as_texts,
)


@pytest.mark.parametrize("value", [None, "1", True, [1], {}, float("nan"), float("inf")])
def test_a_value_that_is_not_a_number_is_none(value: Any) -> None:
    assert (as_number(value), as_integer(value)) == (None, None)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1.0, 1), (2.5, 2), (-1, -1)])
def test_a_number_is_returned(value: float, expected: int) -> None:
    assert (as_number(value), as_integer(value)) == (value, expected)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), (1, None), ("true", None), (None, None)]
)
def test_only_true_and_false_are_booleans(value: Any, expected: bool | None) -> None:
    assert as_boolean(value) is expected


@pytest.mark.parametrize("value", [None, 1, ["a"], {"a": 1}])
def test_a_value_that_is_not_a_string_is_none(value: Any) -> None:
    assert as_text(value) is None


def test_a_string_is_returned() -> None:
    assert [as_text("a"), as_text("")] == ["a", ""]


@pytest.mark.parametrize("value", [None, 7, "a", {"a": {}}, ["a", None, 7]])
def test_a_value_without_objects_is_an_empty_list(value: Any) -> None:
    assert as_dicts(value) == []


def test_the_objects_of_a_list_are_returned() -> None:
    assert as_dicts([{"a": 1}, "b", {}]) == [{"a": 1}, {}]


@pytest.mark.parametrize("value", [None, 7, "a", [{"a": 1}]])
def test_a_value_that_is_not_an_object_is_an_empty_one(value: Any) -> None:
    assert as_mapping(value) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["a", "", None, 7, "b"], ["a", "b"]), ("a", ["a"]), ("", []), (None, []), ({"a": 1}, [])],
)
def test_strings_are_returned_as_a_list(value: Any, expected: list[str]) -> None:
    assert as_texts(value) == expected


SIX = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31 06:00:00.000000+00:00", SIX),
        ("2026-01-31T06:00:00Z", SIX),
        ("2026-01-31T06:00:00.1Z", SIX.replace(microsecond=100_000)),
        ("2026-01-31T06:00:00.123456789Z", SIX.replace(microsecond=123_456)),
        ("2026-01-31T08:00:00+02:00", SIX),
        ("2026-01-31T06:00:00", SIX),
        ("2026-01-31", SIX.replace(hour=0)),
        ("soon", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_a_time(value: object, expected: datetime | None) -> None:
    assert as_datetime(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("00:00:00", 0.0),
        ("01:02:03", 3723.0),
        ("100:00:00.5", 360_000.5),
        ("1 day, 00:00:01", 86_401.0),
        ("2 00:00:00", 172_800.0),
        ("5 minutes", None),
        (None, None),
    ],
)
def test_a_duration(value: object, expected: float | None) -> None:
    assert as_seconds(value) == expected
