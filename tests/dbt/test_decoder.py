"""A JSON file loses only the parts that cannot be read, which are named by their JSON paths."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dlt_dbtcloud.dbt.decoder import Decoder, NotAnObjectError, Unread


class Part(msgspec.Struct, frozen=True):
    text: str | None = None
    number: int | float | None = None
    anything: Any = None


class Required(msgspec.Struct, frozen=True):
    name: str


def test_entries_and_results_are_read_one_by_one() -> None:
    content = b'{"nodes": {"a": {"text": "x"}, "b": {"text": 5}, "c": null}, "results": ['
    decoder = Decoder(content + b'{"text": "y"}, {"unique_id": "model.a.b", "number": "7"}, 8]}')
    assert decoder.entries("nodes", Part) == {"a": Part("x")}
    assert decoder.results(Part) == (Part("y"),)
    assert decoder.unread == [
        Unread('$.nodes["b"].text', "b"),
        Unread('$.nodes["c"]', "c"),
        Unread("$.results[1].number", "model.a.b"),
        Unread("$.results[2]"),
    ]


def test_a_missing_field_is_named() -> None:
    decoder = Decoder(b'{"results": [{}]}')
    assert decoder.results(Required) == ()
    assert decoder.unread == [Unread("$.results[0].name")]


def test_a_path_has_the_key_as_json() -> None:
    decoder = Decoder('{"nodes": {"a\\"é": 1}}'.encode())
    assert decoder.entries("nodes", Part) == {}
    assert str(decoder.unread[0]) == '`$.nodes["a\\"é"]`'


@pytest.mark.parametrize("content", [b"{}", b'{"nodes": null}'])
def test_a_section_may_be_missing(content: bytes) -> None:
    decoder = Decoder(content)
    assert decoder.entries("nodes", Part) is None
    assert decoder.unread == []


def test_missing_results_are_named() -> None:
    decoder = Decoder(b"{}")
    assert decoder.results(Part) == ()
    assert decoder.unread == [Unread("$.results")]


def test_json_as_python_writes_it_is_read() -> None:
    for written, read in [
        (b'{"number": NaN}', Part()),
        (b'{"number": -Infinity}', Part()),
        (b'{"number": 1e999}', Part()),
        (b'{"text": "\\ud800"}', Part("?")),
        (b'{"text": "\xff"}', Part("\ufffd")),
        (b'{"anything": {"a": [NaN, 1e999]}}', Part(anything={"a": [None, None]})),
        (b'{"anything": ' + b"9" * 5000 + b"}", Part()),
        # of fields that are skipped
        (b'{"text": "x", "other": NaN}', Part("x")),
        (b'{"text": "x", "other": "\\ud800"}', Part("x")),
        (b'{"text": "x", "other": 1e999}', Part("x")),
        (b'{"text": "x", "other": "\xff"}', Part("x")),
    ]:
        decoder = Decoder(b'{"nodes": {"a": ' + written + b', "b": {"text": "kept"}}}')
        assert decoder.entries("nodes", Part) == {"a": read, "b": Part("kept")}
        assert decoder.unread == []


@pytest.mark.parametrize("content", [b"[]", b"5", b'"x"', b"null"])
def test_another_json_value_is_an_error(content: bytes) -> None:
    with pytest.raises(NotAnObjectError):
        Decoder(content)


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"nodes": {"a": ', b"{} {}"])
def test_anything_but_json_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        Decoder(content)


def test_a_part_that_is_nested_too_deeply_is_lost_alone() -> None:
    deep = b"[" * 900 + b"]" * 900
    nodes = b'{"a": {"anything": ' + deep + b'}, "b": {"text": ' + deep + b"}}"
    decoder = Decoder(b'{"nodes": ' + nodes + b"}")
    assert [*(decoder.entries("nodes", Part) or ())] == ["a"]
    assert decoder.unread == [Unread('$.nodes["b"].text', "b")]
    with pytest.raises(ValueError, match="not JSON"):
        Decoder(b'{"nodes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
