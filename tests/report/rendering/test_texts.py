"""Foreign texts are redacted before they are cut, and no character of them acts."""

from __future__ import annotations

import hashlib

import pytest

from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.report.rendering.texts import Texts


@pytest.fixture
def texts() -> Texts:
    return Texts()


def test_short_texts_stay(texts: Texts) -> None:
    assert texts.line("model  a\nb") == "model a b"
    assert texts.block("a\n  b", 10) == "a\n  b"
    assert texts.tail("a\nb", 10) == "a\nb"
    assert [texts.line(None), texts.block(None, 9), texts.tail("", 9)] == ["", "", ""]


def test_a_line_is_cut_with_a_mark(texts: Texts) -> None:
    assert texts.line("x" * 50, 10) == "x" * 9 + "…"
    assert texts.line("x" * 10, 10) == "x" * 10


def test_the_same_text_may_have_two_lengths(texts: Texts) -> None:
    assert [len(texts.line("y" * 90, limit)) for limit in (100, 10, 100)] == [90, 10, 90]


@pytest.mark.parametrize("length", [150, 5_000, 10_000_000])
def test_a_block_notes_how_much_was_cut(texts: Texts, length: int) -> None:
    cut = texts.block("x" * length, 100)
    assert cut == "x" * 100 + f"\n… {length - 100:,} more characters were cut"


def test_a_tail_begins_with_a_whole_line(texts: Texts) -> None:
    log = "\n".join(f"line {i}" for i in range(100_000))
    note, first, *_, last = texts.tail(log, 200).split("\n")
    assert "characters were cut" in note
    assert first.startswith("line ")
    assert last == "line 99999"


def test_a_secret_at_the_cut_does_not_show() -> None:
    for at in range(80, 101, 4):
        texts = Texts(lambda text: redact(text, "s3cr3t-t0ken"))
        text = "x" * at + "s3cr3t-t0ken" + "y" * 10_000
        assert "s3c" not in texts.block(text, 100)
        assert "0ken" not in texts.tail(text[::-1].replace("nek0t-t3rc3s", "s3cr3t-t0ken"), 100)


def test_a_secret_at_the_edge_of_what_is_read_does_not_show() -> None:
    texts = Texts(lambda text: redact(text, "s3cr3t-t0ken"))
    for shift in range(12):
        # control characters shrink the text, so that all of the margin may show
        assert "s3c" not in texts.block("\x00" * 300 + "x" * (94 + shift) + "s3cr3t-t0ken" * 2, 100)


def test_control_characters_and_colours_are_removed(texts: Texts) -> None:
    assert texts.line("\x1b[31mred\x1b[0m\x00\x07") == "red"


def test_marks_of_direction_and_surrogates_are_spelled_out(texts: Texts) -> None:
    assert texts.line("a\u202eb\u2066c\ud800d") == "a\\u202eb\\u2066c\\ud800d"
    assert texts.line("שלום") == "שלום"


def test_tokens_are_redacted(texts: Texts) -> None:
    assert texts.block("password=hunter2", 100) == "password=***"


@pytest.mark.parametrize("filler", ["\x1b[0m", "\x00", " "])
def test_a_long_secret_at_the_edge_of_a_shrinking_text_does_not_show(
    texts: Texts, filler: str
) -> None:
    lines = [hashlib.sha256(bytes([i])).hexdigest() for i in range(30)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    quoted = 'password="' + "hunter " * 300 + '"'
    # the parts of the text that are read first end at these lengths
    for length in (0, *range(3_500, 6_500, 500), 9_500):
        padding = filler * (length // len(filler))
        tail = texts.tail("log\n" * 2_000 + key + padding, 1_000)
        assert not [line for line in lines if line in tail]
        assert "hunter" not in texts.block(padding + quoted + "x" * 20_000, 1_000)


@pytest.mark.parametrize(
    "url", ["https://cloud.getdbt.com/deploy/1/runs/7/?a=b#c", "http://127.0.0.1:8000/x", "/a/b"]
)
def test_urls_of_the_web_and_paths_are_links(texts: Texts, url: str) -> None:
    assert texts.url(f" {url}\n") == url


def test_other_urls_and_those_with_secrets_are_not_links(texts: Texts) -> None:
    for url in [
        *(None, "", "javascript:hit(1)", "JAVASCRIPT:hit(1)", "data:text/html,x", "file:///etc"),
        *("//evil.example", "/\\evil.example", "https://a\x00b", "https://a\u202eb", "x/y"),
        *("https://me:hunter22@cloud.example/x", "https://me@cloud.example", "https:////a@b"),
        *("https://cloud.example/x?token=hunter22", "https://cloud.example/" + "x" * 2_000),
    ]:
        assert texts.url(url) == ""
