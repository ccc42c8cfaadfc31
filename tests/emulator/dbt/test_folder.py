"""dbt and its files end with the emulator's process, however that ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.dbt.folder import Folder, remove_abandoned
from tests.support.clock import until
from tests.support.dbt.fake_dbt import write_fake, write_module
from tests.support.processes.children import is_alive
from tests.support.processes.forks import Fork, forked
from tests.support.servers.emulator_api import Api

pytestmark = pytest.mark.usefixtures("forking")

# writes its process id, ignores SIGINT and works for ten minutes
WORKING = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
open(os.environ["SIGNS"] + f"/{os.getpid()}", "w").close()
print("working", flush=True)
time.sleep(600)
"""
# an emulator in a process of its own, with one run of dbt
EMULATING = """
import json, sys, threading, requests
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.dbt import folder, guard, template
project, dbt, environ = sys.argv[1:]
folder.GRACE = guard.CHECK = template.CHECK = 0.1
with DBTCloudEmulator() as cloud:
    options = {"dbt_executable": dbt or None, "environ": json.loads(environ)}
    job = cloud.create_job("Any", project_dir=project, **options)
    url = f"{cloud.url}/api/v2/accounts/{cloud.account_id}/jobs/{job}/run/"
    requests.post(url, json={}, headers={"Authorization": f"Bearer {cloud.api_token}"}, timeout=60)
    {before}threading.Event().wait()
"""
# a child that outlives the emulator with all of its open files
FORK = """
    import os, time
    while "working" not in str(cloud.runs):
        time.sleep(0.01)
    os.fork() or threading.Event().wait()
    """


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files of this process and its children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture(params=["program", "fork"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return how dbt starts."""
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("dbt is forked on Linux only")
    return str(request.param)


@contextmanager
def emulating(
    project: Path, folder: Path, kind: str = "program", before: str = ""
) -> Iterator[tuple[Fork, int]]:
    """Start an emulator in another process, and yield it with the id of its dbt process."""
    signs = folder / "signs"
    signs.mkdir()
    environ = {"SIGNS": str(signs)}
    if kind == "fork":
        dbt = ""
        environ |= write_module(folder / "module", WORKING)
    else:
        dbt = write_fake(folder, WORKING)
    code = EMULATING.replace("{before}", before)
    with forked(code, str(project), dbt, json.dumps(environ)) as process:
        until(lambda: any(signs.iterdir()) or not is_alive(process.pid))
        assert is_alive(process.pid), process.errors
        (sign,) = signs.iterdir()
        yield process, int(sign.name)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("program", signal.SIGTERM),
        ("program", signal.SIGHUP),
        ("program", signal.SIGKILL),
        ("fork", signal.SIGKILL),
    ],
    indirect=["kind"],
)
def test_a_signal_that_ends_the_emulator_ends_dbt_and_deletes_its_files(
    tiny: Path, tmp_path: Path, temporary: Path, number: signal.Signals, kind: str
) -> None:
    with emulating(tiny, tmp_path, kind) as (process, dbt):
        assert any(temporary.iterdir())
        # the guard, and dbt or the process that it was forked from
        children = children_of(process.pid)
        assert len(children) == 2
        assert (dbt in children) == (kind == "program")
        process.send_signal(number)
        process.wait()
        until(lambda: not any(map(is_alive, [dbt, *children])))
        until(lambda: not any(temporary.iterdir()))


def test_a_fork_that_outlives_the_emulator_does_not_keep_dbt_alive(
    tiny: Path, tmp_path: Path, temporary: Path, kind: str
) -> None:
    with emulating(tiny, tmp_path, kind, FORK) as (process, dbt):
        until(lambda: len(children_of(process.pid)) == 3)
        own = command_of(process.pid)
        others = [pid for pid in children_of(process.pid) if command_of(pid) != own]
        assert len(others) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not any(map(is_alive, [dbt, *others])))
        until(lambda: not any(temporary.iterdir()))


def test_the_next_start_deletes_what_a_killed_emulator_and_guard_left(
    tiny: Path, tmp_path: Path, temporary: Path
) -> None:
    with emulating(tiny, tmp_path) as (process, _):
        (left,) = temporary.iterdir()
        guards = [pid for pid in children_of(process.pid) if str(left) in command_of(pid)]
        assert len(guards) == 1
        os.kill(guards[0], signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.is_dir()

        def is_deleted_by_a_start() -> bool:
            with DBTCloudEmulator():
                return not left.exists()

        # the folder stays locked until the killed guard has closed its files
        until(is_deleted_by_a_start)


def test_the_files_of_another_emulator_are_kept(temporary: Path) -> None:
    live = Folder()
    other = temporary / "dbt-cloud-of-another-program"
    other.mkdir()
    remove_abandoned()
    assert live.path.is_dir()
    assert other.is_dir()
    live.remove()
    assert [*temporary.iterdir()] == [other]


def test_a_folder_that_is_deleted_between_runs_is_made_again(
    temporary: Path, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, "")
    with DBTCloudEmulator() as cloud:
        api = Api(cloud)
        for _ in range(2):
            job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
            assert api.ended(api.trigger(job)["id"])["is_success"]
            (folder,) = temporary.iterdir()
            assert folder.stat().st_mode & 0o777 == 0o700
            assert (folder / "owner").exists()
            cloud.reset()
            shutil.rmtree(folder)


def test_a_folder_that_cannot_be_created_is_an_error_of_the_run(
    fresh: DBTCloudEmulator, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(fresh)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    job = fresh.create_job("Any", project_dir=tiny, dbt_executable=write_fake(tmp_path, ""))
    with api.session:
        run = api.ended(api.trigger(job)["id"])
        assert (run["status"], run["is_error"]) == (20, True)
        assert "cannot create a folder for dbt's files: [Errno 2]" in run["status_message"]
        monkeypatch.undo()
        assert api.ended(api.trigger(job)["id"])["status"] == 10


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,ppid=", "-A"], capture_output=True, text=True)
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]


def command_of(pid: int) -> str:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True
    )
    return listed.stdout
