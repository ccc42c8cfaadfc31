"""The process of a command: dlt's plugin, signals, a closed pipe, colours."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import pytest
from dlt.common.configuration import plugins

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.cli.conftest import Cli
from tests.support.clock import until
from tests.support.past_runs import ended_run
from tests.support.processes.children import run
from tests.support.processes.forks import forked, run_forked
from tests.support.watching import is_waited_for

DLT = str(Path(sys.executable).with_name("dlt"))
# `python -m dlt_dbtcloud` with an output that has no reader from the beginning
UNREAD = """
import os, runpy, sys
read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
sys.stdout = open(1, "w", closefd=False)
runpy.run_module("dlt_dbtcloud", run_name="__main__", alter_sys=True)
"""
# a fork has imported the package; this makes dlt's plugin import it again
FORGET = """
import sys
for name in [*sys.modules]: name.startswith('dlt_dbtcloud') and sys.modules.pop(name)
"""
# a script, executed as if in a new process
EXECUTED = f"""{FORGET}
import runpy
from dlt.common.configuration import plugins
from dlt.common.configuration.container import Container
del sys.argv[0], Container()[plugins.PluginContext]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MAIN = "import sys; from dlt_dbtcloud.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_dlt_finds_the_plugin() -> None:
    assert plugins.manager().get_plugin("dlt-dbtcloud") is sys.modules["dlt_dbtcloud.plugin"]


def test_dlt_executes_the_command(cloud: DBTCloudEmulator, forking: None) -> None:
    """Standard output is the JSON alone, and the exit status is the command's own."""
    job = cloud.create_job("Nightly", outcome="error")
    with forked(EXECUTED, DLT, "dbt-cloud", "run", str(job), "--json") as process:
        assert process.wait() == 1, process.errors
        assert json.loads(process.output)["id"] == cloud.runs[0]["id"]
        assert "Traceback" not in process.errors


def test_the_plugin_imports_nothing_of_the_package_at_the_start(forking: None) -> None:
    code = f"{FORGET}import dlt_dbtcloud.plugin; print(*sys.modules, sep='\\n')"
    modules = run_forked(code).split()
    assert [name for name in modules if name.startswith("dlt_dbtcloud.")] == ["dlt_dbtcloud.plugin"]


def test_the_help_imports_neither_dlt_nor_the_helpers() -> None:
    code = (
        "import sys; from dlt_dbtcloud.cli.main import main; main(['run', '--help']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = run([sys.executable, "-c", code])
    modules = {*done.stderr.split()}
    assert "dlt_dbtcloud.cli.parser" in modules
    assert not {"dlt", "requests", "msgspec", "dlt_dbtcloud.helpers"} & modules


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_shows_how_to_resume_and_has_its_status(
    cloud: DBTCloudEmulator, forking: None, number: signal.Signals, status: int
) -> None:
    with forked(MAIN, "run", str(cloud.create_job("Long", duration=None))) as process:
        until(lambda: is_waited_for(cloud))
        process.send_signal(number)
        assert process.wait() == status
        assert process.errors.count(f"`dlt dbt-cloud status {cloud.runs[0]['id']}`") == 1
        assert "Traceback" not in process.errors
        assert process.output == ""


def test_a_closed_pipe_ends_quietly(cloud: DBTCloudEmulator, forking: None) -> None:
    with forked(UNREAD, "jobs", "--json") as process:
        assert (process.wait(), process.errors) == (141, "")


@pytest.mark.parametrize("name", [None, "NO_COLOR"])
def test_colours_are_for_terminals_without_no_color(
    monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    if name:
        monkeypatch.setenv(name, "1")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", 0) as screen:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        console = Console()
        console.error("It failed.")
        terminal.flush()
        text = screen.read(1000).decode()
    assert "It failed." in text
    assert bool(re.search(r"\x1b\[[\d;]*m", text)) is (name is None)


def test_no_colours_without_a_terminal(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", outcome="error")
    done = cli("run", job)
    assert "\x1b" not in done.out + done.err


def test_an_output_without_some_characters_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch, cloud: DBTCloudEmulator, cli: Cli
) -> None:
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    console = Console()
    console.show("ü ━")
    console.json({"name": "ü"})
    narrow.flush()
    assert raw.getvalue().decode("ascii").splitlines()[0] == "? ?"
    assert not console.has_blocks


def test_the_log_of_dlt_is_shown_as_messages_unless_it_has_a_format(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ended_run(cloud, cloud.create_job("Nightly"))["id"]
    done = cli("cancel", run_id)
    assert "warning: Run" in done.err
    monkeypatch.setenv("RUNTIME__LOG_FORMAT", "{message}")
    assert "warning: Run" not in cli("cancel", run_id).err
