"""A file is written completely, or the older one stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlt_dbtcloud.cli.files import check_writable, write_file
from dlt_dbtcloud.cli.statuses import InputError
from tests.support.processes.forks import run_forked

FULL = Path("/dev/full")
# a file of more than some bytes cannot be written, as on a full disk
LIMITED = """
import resource, sys
from dlt_dbtcloud.cli.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_file("new" * 10_000, sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_file_and_its_folders_are_written(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.html"
    check_writable(str(file))
    assert not file.parent.exists()
    write_file("é\n", str(file))
    assert file.read_bytes() == "é\n".encode()
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of files' sizes")
def test_an_older_file_stays_if_the_disk_is_full(tmp_path: Path, forking: None) -> None:
    file = tmp_path / "pages" / "page.html"
    write_file("old", str(file))
    assert run_forked(LIMITED, str(file)) == f"`{file}` is not written: File too large.\n"
    assert file.read_text(encoding="utf-8") == "old"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_link_and_the_mode_of_a_file_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "page.html", tmp_path / "link.html"
    file.write_text("old", encoding="utf-8")
    file.chmod(0o600)
    link.symlink_to(file)
    write_file("new", str(link))
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "new"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_device_is_written_and_stays() -> None:
    check_writable(str(FULL))
    with pytest.raises(OSError, match=r"`/dev/full` is not written: No space left"):
        write_file("new", str(FULL))
    write_file("new", os.devnull)
    assert not FULL.is_file()
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        (".", "`.` is a folder"),
        ("file/page.html", "`file/page.html` cannot be written"),
        ("x" * 300, "cannot be written"),
        ("loop/page.html", "cannot be written"),
        ("lost/page.html", "cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("lost").symlink_to("file/nothing")
    with pytest.raises(InputError, match=reason):
        check_writable(name)
