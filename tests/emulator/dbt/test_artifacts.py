"""Files of a step."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator.dbt.artifacts import encode, find_file, has_file, list_files


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    (folder / "compiled").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "compiled" / "a.sql").write_text("select 1")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_files_are_listed_by_path(target: Path) -> None:
    assert list_files(target) == ["compiled/a.sql", "manifest.json"]
    assert list_files({"b": b"", "a": b""}) == ["a", "b"]
    assert list_files(target / "nothing") == []


@pytest.mark.parametrize(
    "name",
    ["../secret.txt", "compiled/../../secret.txt", "compiled", "", ".", "a\0b", "nothing.json"],
)
def test_only_files_below_the_folder_are_found(target: Path, name: str) -> None:
    assert find_file(target, name) is None
    assert find_file(target, str(target.parent / "secret.txt")) is None


def test_a_link_out_of_the_folder_is_not_followed(target: Path) -> None:
    (target / "link").symlink_to(target.parent / "secret.txt")
    assert find_file(target, "link") is None


def test_files_are_found_on_disk_and_in_memory(target: Path) -> None:
    assert find_file(target, "compiled/a.sql") == target / "compiled" / "a.sql"
    assert has_file(target, "manifest.json")
    assert find_file({"a": b"x"}, "a") == b"x"
    assert encode({"a": b"x", "b": [1]}) == {"a": b"x", "b": b"[1]"}
