"""A run ends with dbt, whatever its children do with the output, and however much it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import until
from tests.support.dbt.fake_dbt import write_fake
from tests.support.processes.children import is_alive
from tests.support.servers.emulator_api import Api

# starts a child that keeps the output open, and ends
LEAVING = """
import subprocess
code = "import time; time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session={detached})
print("child", child.pid, flush=True)
"""


def run_fake(cloud: DBTCloudEmulator, api: Api, tiny: Path, folder: Path, body: str) -> str:
    """Run a successful fake dbt and return its log."""
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=write_fake(folder, body))
    run = api.ended(api.trigger(job)["id"])
    assert run["status"] == 10
    return str(run["run_steps"][-1]["logs"])


@pytest.mark.parametrize("detached", [False, True])
def test_a_child_that_keeps_the_output_open_does_not_make_a_run_endless(
    cloud: DBTCloudEmulator,
    api: Api,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detached: bool,
) -> None:
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.process.DRAIN", 0.2)
    log = run_fake(cloud, api, tiny, tmp_path, LEAVING.format(detached=detached))
    child = int(log.split()[1])
    if detached:
        assert is_alive(child)
    else:
        until(lambda: not is_alive(child))


def test_the_output_that_dbt_leaves_in_the_pipe_is_read_to_its_end(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    log = run_fake(cloud, api, tiny, tmp_path, "sys.stdout.write('x' * 60_000 + '\\nlast')")
    assert log.splitlines()[-2] == "last"


def test_the_middle_of_a_long_log_is_left_out(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = """
for number in range(1_500):
    print(f"line {number}:", "x" * 800)
"""
    log = run_fake(cloud, api, tiny, tmp_path, body)
    assert len(log) < 1_100_000
    assert log.startswith("line 0:")
    assert "line 1499:" in log
    assert "the embedded dbt Cloud left out" in log


def test_a_long_line_without_an_end_is_broken(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = "sys.stdout.write('x' * 1_499_990); print('end')"
    log = run_fake(cloud, api, tiny, tmp_path, body)
    assert len(log) < 1_300_000
    assert "xend\n" in log


def test_output_that_is_not_utf_8_is_replaced(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = r"sys.stdout.buffer.write(b'\xc3\xa4\xff\r\nnext\r\n')"
    log = run_fake(cloud, api, tiny, tmp_path, body)
    assert log.splitlines()[:2] == ["\u00e4\ufffd", "next"]
