"""Forks of an imported dbt are like new dbt processes, and no end of a process breaks them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.dbt.forks import Forks, interpreter_of
from dlt_dbtcloud.emulator.dbt.process import LOST, DbtProcess, Subprocess
from dlt_dbtcloud.emulator.dbt.project import find_dbt
from tests.support.clock import PATIENCE, until
from tests.support.dbt.fake_dbt import write_module
from tests.support.processes.children import is_alive
from tests.support.processes.forks import forked, run_forked
from tests.support.servers.emulator_api import Api

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="dbt is forked on Linux only")

DBT = find_dbt()
# prints whether it is forked, and from which process
ORIGIN = "print(is_forked, os.getppid())"
# prints the same, and works for ten minutes unless a file exists
WORKING = f"""
{ORIGIN}
print("process", os.getpid(), flush=True)
if not pathlib.Path("finish").exists():
    time.sleep(600)
"""
# facts about its process that dbt can see
FACTS = """
import gc, locale
def fact(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}").split(":")[0]
streams = (sys.stdin, sys.stdout, sys.stderr)
facts = {
    "argv": sys.argv, "path": sys.path, "folder": os.getcwd(), "executable": sys.executable,
    "main": [sys.modules["__main__"].__file__, sys.modules["__main__"].__name__],
    "flags": str(sys.flags), "environ": dict(os.environ),
    "exported": sorted(subprocess.check_output(["env"]).decode("ascii", "replace").split("\\n")),
    "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "descriptors": {number: fact(number) for number in ("0", "1", "2")},
    "others": [number for number in os.listdir("/proc/self/fd") if int(number) > 2][1:],
    "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "wakeup": signal.set_wakeup_fd(-1),
    "streams": [[s.encoding, s.errors, s.line_buffering, s.isatty(), s.name] for s in streams],
    "unbuffered": [sys.stdout.write_through, sys.stderr.write_through],
    "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
    "main thread": threading.current_thread() is threading.main_thread(),
    "zone": time.tzname, "locale": locale.setlocale(locale.LC_ALL),
    "gc": [gc.isenabled(), gc.get_threshold()], "umask": os.umask(0),
}
print(json.dumps(facts))
"""


class Started:
    """Starts commands of a stand-in for dbt.

    Args:
        forks: Where they are forked.
        folder: Their working directory.
        environ: Their environment.
    """

    def __init__(self, forks: Forks, folder: Path, environ: Mapping[str, str]) -> None:
        self.forks = forks
        self.folder = folder
        self.environ = {**os.environ, "PYTHONUNBUFFERED": "1", **environ}

    def forked(self, *arguments: str, **environ: str) -> DbtProcess | None:
        """Fork a command, or return None if it has to be started in another way."""
        fork = self.forks.fork([DBT, *arguments], self.folder, {**self.environ, **environ})
        process = fork and DbtProcess(fork)
        return process if process and process.begin() else None

    def plain(self, *arguments: str, **environ: str) -> DbtProcess:
        environment = {**self.environ, **environ}
        return DbtProcess(Subprocess([DBT, *arguments], self.folder, environment))

    def run(self, *arguments: str, **environ: str) -> tuple[int, list[str]]:
        """Return the exit code and output of a forked command."""
        process = self.forked(*arguments, **environ)
        assert process is not None
        return ended(process)


Write = Callable[..., Started]


def ended(process: DbtProcess) -> tuple[int, list[str]]:
    lines: list[str] = []
    return process.run(lines.append), lines


@pytest.fixture
def forks() -> Iterator[Forks]:
    made = Forks()
    made.acquire("test")
    yield made
    made.release("test")


@pytest.fixture
def write(forks: Forks, tmp_path: Path) -> Write:
    """Return a function that writes a stand-in for dbt, with the arguments of `write_module`."""

    def writing(body: str, imported: str = "") -> Started:
        folder = tmp_path / "folder"
        folder.mkdir()
        return Started(forks, folder, write_module(tmp_path / "module", body, imported))

    return writing


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Return commands that execute their first argument, forked from one template."""
    folder = tmp_path_factory.mktemp("executing")
    imported = "import os, signal, threading, time"
    environ = write_module(folder / "module", "exec(sys.argv.pop(1), globals())", imported)
    made = Forks()
    made.acquire("tests")
    yield Started(made, folder, environ)
    made.release("tests")


@pytest.fixture
def shared(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the emulators use the forks of the test."""
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.invoker.SHARED", forks)


def logs_of(api: Api, run: int) -> str:
    return "\n".join(step["logs"] for step in api.run(run, "run_steps")["run_steps"])


def test_a_fork_has_the_facts_of_a_new_process(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_FIRST", "1")
    dbt = write(FACTS)
    odd = {"ODD": "a\udcffb", "EMPTY": "", "LINES": "a\nb", "PWD": str(dbt.folder)}
    first = dbt.run("run", "--vars", "{a: 'b c'}", **odd)
    assert dbt.environ.pop("ONLY_FIRST")
    plain, forked = (
        ended(process) if process else None
        for process in (
            dbt.plain("run", "--vars", "{a: 'b c'}", **odd),
            dbt.forked("run", "--vars", "{a: 'b c'}", **odd),
        )
    )
    assert plain
    assert forked
    assert first[0] == plain[0] == forked[0] == 0, plain[1]
    assert json.loads(forked[1][0]) == json.loads(plain[1][0])


def test_commands_are_forked_from_one_process_with_its_output_and_own_random_numbers(
    write: Write,
) -> None:
    imported = "import random, uuid; random.random(); print('from the import', file=sys.stderr)"
    dbt = write(f"{ORIGIN}\nprint(random.random(), uuid.uuid4())", imported)
    (code, first), (again, second) = dbt.run(), dbt.run()
    assert code == again == 0
    assert first[0] == second[0] == "from the import"
    assert first[1] == second[1]
    assert first[1].startswith("True ")
    assert first[2] != second[2]


# bodies of commands, with the exit code and the last line of a process that executes them
ENDS: dict[str, tuple[int, str]] = {
    "pass": (0, ""),
    "sys.exit()": (0, ""),
    "sys.exit(2)": (2, ""),
    "sys.exit('no')": (1, "no"),
    "1 / 0": (1, "ZeroDivisionError: division by zero"),
    "os._exit(7)": (7, ""),
    "os.kill(os.getpid(), signal.SIGSEGV)": (-signal.SIGSEGV, ""),
    "os.kill(os.getpid(), signal.SIGINT); time.sleep(600)": (-signal.SIGINT, "KeyboardInterrupt"),
    "import atexit; atexit.register(print, 'at exit')": (0, "at exit"),
    "threading.Timer(0.1, print, ['later']).start()": (0, "later"),
    "print('out'); print('err', file=sys.stderr); print('out')": (0, "out"),
    "sys.stdout.write('no end')": (0, "no end"),
}
# those of an exit, a traceback and a signal
ENDS_OF_NEW_PROCESSES = ("sys.exit(2)", "1 / 0", "os.kill(os.getpid(), signal.SIGSEGV)")


def test_the_exit_code_and_output_are_those_of_a_new_process(dbt: Started) -> None:
    for body, end in ENDS.items():
        processes = [dbt.forked(body)]
        processes += [dbt.plain(body)] if body in ENDS_OF_NEW_PROCESSES else []
        for process in processes:
            assert process
            code, lines = ended(process)
            assert (code, lines[-1] if lines else "") == end, body


def test_many_commands_at_once_have_their_own_output_and_exit_code(dbt: Started) -> None:
    body = "print(os.environ['NUMBER']); sys.exit(int(sys.argv[1]))"
    with ThreadPoolExecutor(6) as pool:
        results = pool.map(lambda number: dbt.run(body, str(number), NUMBER=str(number)), range(8))
        assert [*results] == [(number, [str(number)]) for number in range(8)]


def test_a_long_environment_and_command_line_arrive_whole(dbt: Started) -> None:
    body = "print(len(os.environ['LONG']), len(sys.argv[1]))"
    assert dbt.run(body, "x" * 100_000, LONG="y" * 130_000) == (0, ["130000 100000"])


def test_arguments_that_no_process_can_have_are_the_same_error(dbt: Started) -> None:
    odd: list[tuple[list[str], dict[str, str]]] = [
        (["a\0b"], {}),
        (["a\ud800b"], {}),
        ([], {"A": "a\0b"}),
        ([], {"A": "a\ud800b"}),
        ([], {"A=B": "c"}),
    ]
    for arguments, environ in odd:
        messages = []
        for start in (dbt.forked, dbt.plain):
            with pytest.raises((ValueError, OSError)) as error:
                start(*arguments, **environ)
            messages.append((error.type, str(error.value)))
        assert messages[0] == messages[1], (arguments, environ)


def test_a_missing_folder_is_the_same_error(dbt: Started) -> None:
    missing = Started(dbt.forks, dbt.folder / "missing", dbt.environ)
    messages = []
    for start in (missing.forked, missing.plain):
        with pytest.raises(FileNotFoundError) as error:
            start("pass")
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_command_is_not_forked_in_another_environment_of_python(dbt: Started) -> None:
    body = "print('forked')"
    assert dbt.run(body, DBT_ANY="1", ANY="1") == (0, ["forked"])
    assert dbt.forked(body, TZ="Asia/Tokyo") is None
    assert dbt.forked(body, PYTHONWARNINGS="error") is None
    assert dbt.forked(body, DBT_RECORDER_MODE="record") is None
    assert dbt.run(body) == (0, ["forked"])


@pytest.mark.parametrize("imported", ["raise ImportError('no such luck')", "os._exit(0)"])
def test_a_module_that_cannot_be_imported_is_not_forked(write: Write, imported: str) -> None:
    dbt = write("", imported)
    assert dbt.forked() is None
    # its template is not started again
    assert dbt.forks.fork([DBT], dbt.folder, dbt.environ) is None


def test_a_module_that_cannot_be_forked_starts_a_new_process_each_time(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None, forks: Forks
) -> None:
    imported = "threading.Thread(target=time.sleep, args=[600], daemon=True).start()"
    # a new process gets beyond the import
    once = f"if sys.orig_argv[1].endswith('template.py'):\n    {imported}"
    environ = write_module(tmp_path / "module", "print('forked', is_forked)", once)
    job = cloud.create_job("Any", project_dir=tiny, environ=environ)
    for _ in range(2):
        run = api.ended(api.trigger(job)["id"])
        assert run["status"] == 10
        assert run["run_steps"][-1]["logs"].startswith("forked False")
    assert forks.fork([DBT], tiny, {**os.environ, **environ}) is None


def test_dbt_that_cannot_be_imported_is_an_error_in_the_log(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None
) -> None:
    environ = write_module(tmp_path / "module", "", "raise ImportError('no such luck')")
    job = cloud.create_job("Any", project_dir=tiny, environ=environ)
    run = api.ended(api.trigger(job)["id"])
    assert run["status"] == 20
    assert "no such luck" in run["run_steps"][-1]["logs"]


def test_a_named_program_is_not_forked(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None
) -> None:
    environ = write_module(tmp_path / "module", "print('forked', is_forked)")
    for program, is_forked in (("dbt", False), (None, True)):
        job = cloud.create_job("Any", project_dir=tiny, environ=environ, dbt_executable=program)
        run = api.ended(api.trigger(job)["id"])
        assert run["run_steps"][-1]["logs"].startswith(f"forked {is_forked}\n")


def test_a_killed_template_ends_its_step_with_an_error_and_no_other(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None
) -> None:
    environ = write_module(tmp_path / "module", WORKING)
    job = cloud.create_job("Any", project_dir=tiny, environ=environ)
    run = api.trigger(job)["id"]
    until(lambda: "process" in logs_of(api, run))
    words = logs_of(api, run).split()
    dbt, template = int(words[-1]), int(words[words.index("True") + 1])
    os.kill(template, signal.SIGKILL)
    lost = api.ended(run)
    assert (lost["status"], lost["status_message"]) == (20, LOST)
    assert lost["run_steps"][-1]["logs"].endswith(LOST)
    assert not is_alive(dbt)

    (tiny / "finish").touch()
    for _ in range(2):
        next_run = api.ended(api.trigger(job)["id"])
        assert next_run["status"] == 10
        assert next_run["run_steps"][-1]["logs"].startswith("True ")
    assert f"True {template}\n" not in next_run["run_steps"][-1]["logs"]


def test_a_killed_template_ends_all_its_steps(write: Write) -> None:
    dbt = write(WORKING)
    template: list[int] = []

    def log(line: str) -> None:
        if line.startswith("True "):
            template.append(int(line.split()[1]))
            if len(template) == 3:
                os.kill(template[0], signal.SIGKILL)

    def run(_: int) -> str:
        process = dbt.forked()
        assert process
        with pytest.raises(OSError, match=LOST) as error:
            process.run(log)
        return str(error.value)

    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(run, range(3))] == [LOST] * 3


# a fork of dbt that waits for its command, and a fork of its emulator that keeps all files open
WAITING = """
import os, sys, threading
from pathlib import Path
from dlt_dbtcloud.emulator.dbt import template
from dlt_dbtcloud.emulator.dbt.forks import SHARED
dbt, folder = sys.argv[1:]
template.CHECK = 0.1
SHARED.acquire("user")
fork = SHARED.fork([dbt], Path(folder), os.environ)
assert fork.begin()
parent = Path(f"/proc/{fork.group}/stat").read_text().split()[3]
if os.fork():
    print(fork.group, parent, flush=True)
threading.Event().wait()
"""


@pytest.mark.usefixtures("forking")
def test_a_fork_that_waits_for_its_command_ends_with_the_emulators_process(tmp_path: Path) -> None:
    environ = {**os.environ, **write_module(tmp_path / "module", "")}
    with forked(WAITING, DBT, str(tmp_path), env=environ) as process:
        until(lambda: process.output.endswith("\n"))
        pids = [int(pid) for pid in process.output.split()]
        assert [is_alive(pid) for pid in pids] == [True, True]
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not any(map(is_alive, pids)))


def test_a_template_that_is_killed_during_its_import_delays_a_run_only(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None
) -> None:
    imported = """
sign = pathlib.Path("/") / os.environ["SIGN"]
if not sign.exists():
    sign.write_text(str(os.getpid()))
    time.sleep(600)
"""
    sign = tmp_path / "sign"
    environ = write_module(tmp_path / "module", "print('forked', is_forked)", imported)
    # a variable of Python, as the template gets no other of the project
    imported_by = {**environ, "PYTHON_SIGN": str(sign)}
    module = tmp_path / "module/dbt/cli/main.py"
    module.write_text(module.read_text().replace('"SIGN"', '"PYTHON_SIGN"'))
    job = cloud.create_job("Any", project_dir=tiny, environ=imported_by)
    run = api.trigger(job)["id"]
    until(lambda: sign.exists() and sign.read_text())
    os.kill(int(sign.read_text()), signal.SIGKILL)
    assert api.ended(run)["status"] == 10
    assert "forked False" in logs_of(api, run)


def test_a_run_that_waits_for_the_import_can_be_cancelled(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, shared: None
) -> None:
    sign = tmp_path / "sign"
    imported = f"pathlib.Path({str(sign)!r}).touch(); time.sleep(600)"
    environ = write_module(tmp_path / "module", "", imported)
    run = api.trigger(cloud.create_job("Any", project_dir=tiny, environ=environ))["id"]
    until(sign.exists)
    api.post(f"/runs/{run}/cancel/")
    assert api.ended(run)["status"] == 30


INTERRUPTED = """
try:
    print("working", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(5)
"""
STUBBORN = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("working", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("body", "grace", "code", "lines"),
    [
        (INTERRUPTED, PATIENCE, 5, ["working", "interrupted"]),
        (STUBBORN, 0.2, -signal.SIGKILL, ["working"]),
    ],
)
def test_a_cancelled_command_is_interrupted_and_then_killed(
    dbt: Started,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    grace: float,
    code: int,
    lines: list[str],
) -> None:
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.process.GRACE", grace)
    process = dbt.forked(body)
    assert process
    printed: list[str] = []

    def log(line: str) -> None:
        printed.append(line)
        if line == "working":
            process.interrupt()

    assert process.run(log) == code
    assert printed == lines


def test_a_command_that_is_interrupted_before_it_starts_prints_nothing(dbt: Started) -> None:
    process = dbt.forked("print('started')")
    assert process
    process.interrupt()
    assert ended(process) == (-signal.SIGINT, [])


def test_the_last_user_ends_the_template(write: Write) -> None:
    dbt = write(ORIGIN)
    dbt.forks.acquire("another")
    template = int(dbt.run()[1][0].split()[1])
    dbt.forks.release("test")
    assert dbt.run()[1] == [f"True {template}"]
    dbt.forks.release("another")
    assert not is_alive(template)
    assert dbt.forked() is None


@pytest.mark.usefixtures("forking")
def test_the_emulators_of_a_process_share_the_template_until_the_last_one_stops(
    tiny: Path, tmp_path: Path
) -> None:
    environ = write_module(tmp_path / "module", ORIGIN)
    printed = run_forked(SHARING, str(tiny), json.dumps(environ))
    first, second, is_left = printed.splitlines()
    assert first == second
    assert first.startswith("True ")
    assert is_left == "False"


# two emulators, the first of which stops before the second one runs dbt
SHARING = """
import json, os, sys, requests
from dlt_dbtcloud.emulator import DBTCloudEmulator
project, environ = sys.argv[1], json.loads(sys.argv[2])
def run(cloud):
    job = cloud.create_job("Any", project_dir=project, environ=environ)
    url = f"{cloud.url}/api/v2/accounts/{cloud.account_id}/jobs/{job}/run/"
    headers = {"Authorization": f"Bearer {cloud.api_token}"}
    started = requests.post(url, json={"cause": "Any"}, headers=headers, timeout=60)
    ended = cloud.wait_for_run(started.json()["data"]["id"], 600)
    return ended["run_steps"][-1]["logs"].splitlines()[0]
with DBTCloudEmulator() as first:
    second = DBTCloudEmulator().start()
    print(run(first))
line = run(second)
print(line)
second.stop()
print(os.path.exists(f"/proc/{line.split()[1]}"))
"""
# a fork of a process that has a template
FORKING = """
import os, sys, warnings
from pathlib import Path
from dlt_dbtcloud.emulator.dbt.forks import SHARED
from dlt_dbtcloud.emulator.dbt.process import DbtProcess
warnings.simplefilter("error")
dbt, folder = sys.argv[1:]
def run():
    process = DbtProcess(SHARED.fork([dbt], Path(folder), os.environ))
    assert process.begin()
    process.run(lambda line: print(line, flush=True))
SHARED.acquire("parent")
run()
pid = os.fork()
if not pid:
    assert SHARED.fork([dbt], Path(folder), os.environ) is None
    SHARED.acquire("child")
    run()
    SHARED.release("child")
    SHARED.release("parent")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
run()
SHARED.release("parent")
"""


@pytest.mark.usefixtures("forking")
def test_a_fork_of_the_emulators_process_has_a_template_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in write_module(tmp_path / "module", ORIGIN).items():
        monkeypatch.setenv(name, value)
    # read by the templates alone, as the program does not begin with a new interpreter
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    parent, child, again = run_forked(FORKING, DBT, str(tmp_path)).splitlines()
    assert parent == again != child


def script(folder: Path, text: str) -> str:
    """Write a program named dbt."""
    program = folder / "dbt"
    program.write_text(text)
    return str(program)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("#!{bin}/python\nfrom dbt", "{bin}/python"),
        ("#!{bin}/python3.99\nfrom dbt", "{bin}/python3.99"),
        ("#!/bin/sh\n'''exec' {bin}/python \"$0\" \"$@\"\n' '''\n", "{bin}/python"),
        ("#!/bin/sh\n'''exec' \"{bin}/py thon\" \"$0\" \"$@\"\n' '''\n", "{bin}/py thon"),
        ("#!/bin/sh\n'''exec' '{bin}/py thon' \"$0\" \"$@\"\n' '''\n", "{bin}/py thon"),
        # options, other interpreters, other places and programs that are not scripts
        ("#!{bin}/python -s\nfrom dbt", None),
        ("#!/usr/bin/env python\nfrom dbt", None),
        ("#!/bin/sh\nexec pyenv exec dbt", None),
        ("#!/elsewhere/python\nfrom dbt", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_the_python_of_a_script_is_known_if_it_is_beside_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, python: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    program = script(tmp_path, text.replace("{bin}", str(tmp_path)))
    assert interpreter_of(program) == (python and python.replace("{bin}", str(tmp_path)))


def test_no_program_elsewhere_is_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreter_of(DBT)
    text = f"#!{sys.executable}\n"
    assert interpreter_of(script(tmp_path, text)) is None
    assert interpreter_of(str(tmp_path / "missing")) is None
    monkeypatch.setattr(sys, "executable", "")
    assert interpreter_of(DBT) is None


def test_dbt_on_other_systems_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    for system in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", system)
        assert interpreter_of(DBT) is None
