"""`emulate` serves dbt projects until a signal, and leaves nothing behind."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from dlt_dbtcloud.cli.actions.emulate import exclusive
from dlt_dbtcloud.cli.statuses import InputError
from dlt_dbtcloud.client.client import DBTCloudClientV2
from tests.cli.conftest import Cli
from tests.support.clock import until
from tests.support.dbt.fake_dbt import write_fake
from tests.support.processes.children import is_alive
from tests.support.processes.forks import forked
from tests.support.projects.tiny import write_tiny

SLEEPING = """
print("started", os.getpid(), flush=True)
time.sleep(600)
"""
MAIN = "import sys; from dlt_dbtcloud.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_it_serves_until_sigterm_and_ends_dbt(isolated: Path, forking: None) -> None:
    project = write_tiny(isolated / "tiny")
    program = write_fake(isolated, SLEEPING)
    with forked(MAIN, "emulate", str(project), "--dbt-executable", program) as process:
        until(lambda: "until Ctrl-C" in process.errors)
        output = process.output
        environment = dict(shlex.split(line)[1].split("=", 1) for line in output.splitlines())
        job = environment["DBT_CLOUD__JOB_ID"]
        with DBTCloudClientV2(
            environment["DBT_CLOUD__API_TOKEN"],
            environment["DBT_CLOUD__ACCOUNT_ID"],
            environment["DBT_CLOUD__BASE_API_URL"],
        ) as client:
            run = client.trigger_job_run(job)

            def log() -> str:
                steps = client.get_run_status(run, ["run_steps"]).get("run_steps") or []
                return "".join(step.get("logs") or "" for step in steps)

            until(lambda: re.search(r"started \d+", log()))
            (started,) = re.findall(r"started (\d+)", log())
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert (process.output, "Traceback" in process.errors) == (output, False)
        assert f"Job {job} builds {project}." in process.errors
    until(lambda: not is_alive(int(started)))


def test_a_port_in_use_is_bad_input(cli: Cli, isolated: Path) -> None:
    project = write_tiny(isolated / "tiny")
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        done = cli("emulate", project, "--port", port)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert f"{port}" in done.err
    assert "in use" in done.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "The current folder does not contain dbt_project.yml"),
        (("nowhere",), "is not a folder. Pass the folder of a dbt project."),
        ((".",), "does not contain dbt_project.yml"),
        (("tiny", "--port", "70000"), "`port` must be a number from 0 to 65535"),
        (("tiny", "--profiles-dir", "."), "pass its folder as `--profiles-dir`"),
        (("tiny", "--dbt-executable", "no-dbt"), "`no-dbt`: dbt Core was not found"),
        (("tiny", "--execute-step", "rm -rf /"), "rm"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_left(
    cli: Cli, isolated: Path, words: tuple[str, ...], reason: str
) -> None:
    write_tiny(isolated / "tiny")
    threads = threading.active_count()
    done = cli("emulate", *words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert reason in done.err
    assert threading.active_count() == threads


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
def test_a_project_is_served_once_at_a_time(cli: Cli, isolated: Path) -> None:
    project = write_tiny(isolated / "tiny").resolve()
    with exclusive(project):
        done = cli("emulate", "tiny")
        with exclusive(project.parent):
            pass
    assert done.status == 2
    assert "is already served by process" in done.err
    with exclusive(project), pytest.raises(InputError, match="already served"), exclusive(project):
        pass
