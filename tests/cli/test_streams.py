"""Standard streams that are closed, full or without a reader decide no outcome but their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlt_dbtcloud.cli.main import main
from dlt_dbtcloud.cli.streams import drained
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.processes.children import run

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


def test_closed_streams_are_replaced(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`2>&-` neither hides an error nor keeps a job from its run."""
    job = cloud.create_job("Nightly", outcome=["success", "error"])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert [main(["run", str(job)]), main(["run", str(job)])] == [0, 1]
    assert main(["nothing"]) == 2
    assert len(cloud.runs) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@needs_full
def test_a_run_does_not_depend_on_a_disk_that_takes_messages(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = cloud.create_job("Nightly", outcome=["success", "error"])
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        statuses = [main(["run", str(job)]), main(["run", str(job)])]
    assert statuses == [0, 1]
    assert capsys.readouterr().out.startswith("Success: ")


@needs_full
@pytest.mark.parametrize(("status", "expected"), [(0, 1), (2, 2), (130, 130)])
def test_a_result_that_cannot_be_written_is_not_a_success(
    monkeypatch: pytest.MonkeyPatch, status: int, expected: int
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        full.write("text")
        assert drained(status) == expected


@needs_full
def test_a_full_disk_is_an_error_without_a_traceback() -> None:
    """The interpreter flushes at the exit, and its own status would be 120."""
    done = run(["sh", "-c", f"{sys.executable} -m dlt_dbtcloud run --help > {FULL}"])
    assert done.returncode == 1
    assert done.stderr == ""
