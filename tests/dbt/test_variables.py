"""Variables are merged into `--vars` so that both engines of dbt read the same values."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest

from dlt_dbtcloud.dbt.variables import VariablesError, merged_vars

# it has no types
yaml: Any = import_module("yaml")

ADDED = {"load_id": "1764223200.5"}
WRITTEN = '"load_id": "1764223200.5"'


def test_the_commands_own_variables_are_kept() -> None:
    for own, merged in [
        (None, f"{{{WRITTEN}}}"),
        ("", f"{{{WRITTEN}}}"),
        ("null", f"{{{WRITTEN}}}"),
        ("{}", f"{{{WRITTEN}}}"),
        ("region: eu", f'{{"region": "eu", {WRITTEN}}}'),
        ('{"a": 1, "b": "2018", "c": [1.5, true, null]}', None),
        ("load_id: old\na: b", f'{{"a": "b", {WRITTEN}}}'),
        # the engines read these differently, or not as JSON
        ("{a: yes, b: 1e5, c: 0o17, d: 2018-01-01}", None),
        ("a:\nb: ''\nc: |\n  x\n  y\n", f'{{"a": null, "b": "", "c": "x\\ny\\n", {WRITTEN}}}'),
        ("a: &x {b: [c, {d: e}]}\nf: *x\ng: {<<: *x}", None),
        ("1: a", f'{{1: "a", {WRITTEN}}}'),
    ]:
        text = merged_vars(own, ADDED)
        assert yaml.safe_load(text) == {**(yaml.safe_load(own or "") or {}), **ADDED}
        assert "\n" not in text
        if merged is not None:
            assert text == merged


def test_what_the_engines_read_differently_stays_as_it_was_written() -> None:
    own = "{a: yes, b: 1e5, c: 0o17, d: 2018-01-01}"
    assert merged_vars(own, {"e": 1}) == '{"a": yes, "b": 1e5, "c": 0o17, "d": 2018-01-01, "e": 1}'


def test_a_value_has_one_meaning() -> None:
    for value in [
        *("0o17", "1e5", "yes", "null", "2018-01-01", "", " ", "a: b", "#", "{{ x }}"),
        *("it's", 'say "x"', "\\n$HOME`!", "a\nb\tc", "ü 😀 \u2028\x85\x7f\ufeff"),
        *(None, True, 0, -1.5, 1e16, 1e-7, 10**20),
        *([], {}, ["a", ["b"]], {"a b": {"c": None}}),
        "x" * 500,
    ]:
        text = merged_vars("{}", {"v": value})
        assert yaml.safe_load(text) == {"v": value}
        assert "\n" not in text
        if isinstance(value, str) and value.isascii():
            assert json.loads(text) == {"v": value}


def test_other_texts_cannot_be_merged() -> None:
    for own in ["a", "a:1", "3", "[1]", "{a", "&x {a: *x}"]:
        with pytest.raises(VariablesError) as caught:
            merged_vars(own, ADDED)
        assert str(caught.value).startswith(("are not", "contain"))
