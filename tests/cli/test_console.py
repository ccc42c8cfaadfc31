"""Texts are wrapped between words, and a URL stays whole."""

from __future__ import annotations

from itertools import product

from rich.text import Text

from dlt_dbtcloud.cli.console import render, wrapped

URL = "https://ab123.us1.dbt.com/deploy/1/projects/3/runs/7/"


def test_words_are_kept_in_order() -> None:
    texts = ("", "one", f"  See {URL}. It is over.", "a\n\n    b  c\n", "word " * 30, URL)
    for text, width in product(texts, (1, 10, 20, 40, 80)):
        lines = [line.plain for line in wrapped(Text(text), width)]
        assert " ".join(lines).split() == text.split()
        for line in lines:
            # beside a word that is longer than a line
            assert len(line) <= width or max(map(len, line.split())) > width - 2 or width == 1


def test_lines_keep_their_indent() -> None:
    text = f"Run 7 failed.\n  1. It broke at the third step.\n  See {URL}"
    assert render(text, 20) == [
        "Run 7 failed.",
        "  1. It broke at the",
        "  third step.",
        f"  See {URL}",
    ]


def test_styles_are_kept() -> None:
    text = Text.assemble(("Error", "red"), ": ", "run 7 of job 5")
    first, _ = wrapped(text, 12)
    assert (first.plain, [span.style for span in first.spans]) == ("Error: run 7", ["red"])
