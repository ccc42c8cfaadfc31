"""Command `emulate`: dbt projects, served as an embedded dbt Cloud."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.statuses import InputError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from dlt_dbtcloud.emulator import DBTCloudEmulator

__all__ = ["emulate", "exclusive", "wait_for_signal"]

# seconds of each sleep until a signal
_WAIT = 1.0


def emulate(options: argparse.Namespace, console: Console) -> NoReturn:
    """Serve dbt projects until Ctrl-C or SIGTERM."""
    projects = _projects(options.projects)
    with ExitStack() as stack:
        for project in projects:
            stack.enter_context(exclusive(project))
        cloud = stack.enter_context(_started(options.port))
        jobs = [(project, _new_job(cloud, project, options)) for project in projects]
        variables = cloud.environment()
        if len(jobs) == 1:
            variables["DBT_CLOUD__JOB_ID"] = str(jobs[0][1])
        if console.is_json:
            console.json(variables)
        else:
            for name, value in variables.items():
                console.write(f"export {name}={shlex.quote(value)}")
        console.flush()
        for project, job in jobs:
            console.note(f"Job {job} builds {project}.")
        console.note(f"Serving at {cloud.url} until Ctrl-C.")
        wait_for_signal()


def wait_for_signal() -> NoReturn:
    """Wait until a signal raises an exception."""
    while True:
        # short, as Windows does not interrupt a sleep
        time.sleep(_WAIT)


@contextmanager
def exclusive(project: Path) -> Iterator[None]:
    """Keep other `emulate` commands from serving a project; not on Windows.

    Two of them would build in the same database at once.

    Raises:
        InputError: Another command serves it.
    """
    if sys.platform == "win32":
        yield
        return
    name = sha256(os.fsencode(project)).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"dlt-dbtcloud-{os.getuid()}-{name}.lock")
    # it is not deleted: another process may have opened it
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = lock.read().strip() or "unknown"
            raise InputError(
                f"`{project}` is already served by process {owner}. Use that embedded dbt Cloud, "
                "or end it first."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _started(port: int) -> Iterator[DBTCloudEmulator]:
    """Start an embedded dbt Cloud, and stop it at the end."""
    try:
        from dlt_dbtcloud.emulator import DBTCloudEmulator
    except ModuleNotFoundError as error:
        raise InputError(str(error)) from error
    try:
        cloud = DBTCloudEmulator(port).start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"Port {port} of 127.0.0.1 cannot be used ({reason}). Pass another `--port`, or none "
            "for a free one."
        ) from error
    try:
        yield cloud
    finally:
        # dbt needs a moment to end; a second Ctrl-C must not leave it running
        with _uninterrupted():
            cloud.stop()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _projects(folders: Sequence[str]) -> list[Path]:
    """Return the folders of the projects, each once.

    Raises:
        InputError: No folder is given, and the current one is not a project.
    """
    if not folders and not Path("dbt_project.yml").is_file():
        raise InputError(
            "The current folder does not contain dbt_project.yml. Pass the folder of a dbt "
            "project: `dlt dbt-cloud emulate PROJECT`."
        )
    return [*dict.fromkeys(Path(folder).resolve() for folder in folders or ["."])]


def _new_job(cloud: DBTCloudEmulator, project: Path, options: argparse.Namespace) -> int:
    """Create a project with a job, and return the job.

    Raises:
        InputError: It is not a dbt project, or dbt is not installed.
    """
    try:
        return cloud.create_job(
            project.name,
            execute_steps=options.commands or ["dbt build"],
            project_id=cloud.create_project(
                project.name,
                project_dir=project,
                profiles_dir=options.profiles_dir,
                dbt_executable=options.dbt_executable,
            ),
        )
    except (FileNotFoundError, RuntimeError) as error:
        text = str(error).replace(" as `project_dir`", "")
        for option in ("profiles_dir", "dbt_executable"):
            text = text.replace(f"`{option}`", f"`--{option.replace('_', '-')}`")
        raise InputError(text) from error
