"""Process that has dlt imported, and forks for each program that a test runs.

`python -c` runs `START`: a fork returns from `program` and executes its code on the top level, so
the interpreter handles its errors and signals as those of every other program. A program that ends
without them calls its `atexit` functions, and nothing else.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

START = """
from tests.support.processes.fork_server import codes, program
try:
    exec(compile(program(), '<string>', 'exec'), {'__name__': '__main__'})
    codes.append(0)
except SystemExit as end:
    codes.append(end.code)
    raise
"""
# what running a job, and loading into DuckDB, imports at some time
_PRELOADED = (
    "dlt_dbtcloud.helpers",
    "dlt_dbtcloud.lineage",
    "dlt_dbtcloud.emulator",
    "dlt_dbtcloud.loads",
    "dlt_dbtcloud.source",
    "dlt.destinations.impl.duckdb.duck",
    "dlt.load.load",
    "dlt.normalize.normalize",
    "dlt.normalize.worker",
    "pluggy",
    "rich.console",
    "rich.table",
    "dlt_dbtcloud.runs.lifecycle",
    "jsonschema",
    "pendulum.locales.en.locale",
    "tests.support.clock",
    "pytest",
)
# the names of all modules after each of these imports, as of a program that imports no more
imported: dict[str, frozenset[str]] = {}
# the exit code of a program that has ended without an error or a signal
codes: list[object] = []


def program() -> str:
    """Fork for each request, and return its code in the fork; end when no more can come."""
    # registered first, so it runs last
    atexit.register(_leave)
    for module in _PRELOADED:
        import_module(module)
        imported[module] = frozenset(sys.modules)
    _prepare()
    _forget_settings()
    # forks neither collect nor free what is there now, as a frozen list with itself in it stays
    kept = [*gc.get_objects()]
    kept.append(kept)
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        request, files = _receive(control)
        if os.fork() == 0:
            control.close()
            return _begin(request, *files)
        for file in files:
            os.close(file)
        _wait(os.WNOHANG)


def _leave() -> None:
    """End a fork without freeing its memory, which would copy it."""
    code = codes[0] if codes else ""
    if code is None or isinstance(code, int):
        # a stream may be missing; an error is left to the interpreter, which tries again
        with suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit((code or 0) & 0xFF)
    sys.modules.clear()


def _begin(request: dict[str, Any], output: int, errors: int, status: int) -> str:
    """Fork again, return the code in the fork, and report its exit code in its parent."""
    if pid := os.fork():
        _, ended = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)
    os.setsid()
    # only now, as Python forgets signals that come during a fork
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)
    for file, number in ((output, 1), (errors, 2)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[1:] = request["arguments"]
    return str(request["code"])


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    received, files = b"", []
    while not received.endswith(b"\n"):
        part, others, _, _ = socket.recv_fds(control, 65536, 3)
        if not part:
            _wait(0)
            os._exit(0)
        received += part
        files += others
    return json.loads(received), files


def _wait(options: int) -> None:
    """Wait for the forks that have ended, or for all."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _prepare() -> None:
    """Do what a first call would do in each fork, whatever its settings."""
    from dlt.common.configuration import plugins

    from dlt_dbtcloud.emulator.api.routes import url_map

    plugins.manager()
    url_map()


def _forget_settings() -> None:
    """Let dlt read its settings where a program runs, not where they were read first."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    if PluggableRunContext in Container():
        del Container()[PluggableRunContext]
