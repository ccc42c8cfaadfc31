"""Short logs are kept whole; of long ones, the beginning and the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator.logs import LONGEST_LINE, Lines, Log, read_log


def test_a_short_log_is_kept_whole() -> None:
    log = Log()
    for text in ("one\ntwo", "", "three"):
        log.add(text)
    assert log.text == "one\ntwo\n\nthree"


def test_a_long_log_keeps_its_beginning_and_end() -> None:
    log = Log(kept=12)
    for number in range(100):
        log.add(f"line{number}")
    assert log.text.splitlines() == [
        "line0",
        "line1",
        "... the embedded dbt Cloud left out 97 lines of this log ...",
        "line99",
    ]


def test_a_last_line_longer_than_the_limit_is_kept() -> None:
    log = Log(kept=5)
    log.add("0123456789")
    assert log.text == "0123456789"


def test_lines_are_split_over_pieces_of_the_stream() -> None:
    lines = Lines()
    assert lines.feed("a\nb") == ["a"]
    assert lines.feed("c") == []
    assert lines.feed("\n\nd") == ["bc", ""]
    assert lines.end() == ["d"]
    assert lines.end() == []


def test_a_line_without_an_end_is_broken() -> None:
    lines = Lines()
    fed = lines.feed("x" * (2 * LONGEST_LINE + 5))
    assert [len(line) for line in [*fed, *lines.end()]] == [LONGEST_LINE, LONGEST_LINE, 5]


@pytest.mark.parametrize("size", [7_000, LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1])
def test_lines_are_broken_alike_however_the_stream_is_cut(size: int) -> None:
    text = "x" * (2 * LONGEST_LINE + 3) + "\n" + "y" * LONGEST_LINE + "\nz"
    lines = Lines()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    found = [line for piece in pieces for line in lines.feed(piece)]
    sizes = [LONGEST_LINE, LONGEST_LINE, 3, LONGEST_LINE, 1]
    assert [len(line) for line in [*found, *lines.end()]] == sizes


def test_a_long_file_is_read_at_its_ends(tmp_path: Path) -> None:
    file = tmp_path / "dbt.log"
    assert read_log(file) == ""
    file.write_bytes(b"short\xff")
    assert read_log(file) == "short\ufffd"
    file.write_bytes(b"beginning" + b"x" * 1000 + b"end")
    assert read_log(file, kept=3).splitlines() == [
        "beg",
        "... the embedded dbt Cloud left out 1006 bytes of this log ...",
        "end",
    ]
