"""Interoperability check: independent clients of dbt Cloud's API against the emulator.

    make interop                     # all clients
    make interop ARGS='dbtc tap'     # some
    make interop ARGS=--write        # write the table of routes in docs/emulator.md

Each client has an environment of its own in `.interop/`, and an emulator of its own. Several
clients require https, so the emulator has a certificate of a temporary authority that only they
trust. A client passes if it got what it wanted, if the requests that it sent arrived, and if the
emulator knows all their routes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tests.interop import environments, routes
from tests.interop.clients import (
    airflow,
    dagster_dbt,
    dbt_cloud_cli,
    dbt_jobs_as_code,
    dbt_mcp,
    dbtc,
    orchestrators,
    prefect_dbt,
    tap_dbt,
)
from tests.interop.routes import Calls, Route
from tests.interop.session import Client, Session, open_session

CLIENTS = (
    dbtc.CLIENT,
    dbt_cloud_cli.CLIENT,
    dbt_jobs_as_code.CLIENT,
    dbt_mcp.CLIENT,
    tap_dbt.CLIENT,
    prefect_dbt.CLIENT,
    dagster_dbt.CLIENT,
    airflow.CLIENT,
    *orchestrators.CLIENTS,
)


@dataclass(frozen=True)
class Result:
    """The result of a client's check.

    Args:
        client: The client's name.
        package: Its package, with the version.
        called: The routes that it called; None if the client was left out.
        problem: The reason why it failed or was left out.
        seconds: The duration of the check, without the installation.
    """

    client: str
    package: str
    called: frozenset[Route] | None
    problem: str | None = None
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """Whether the client passed, failed or was left out."""
        if self.called is None:
            return "left out"
        return "failed" if self.problem else "passed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the clients and return the exit code."""
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(prog="make interop")
    parser.add_argument("clients", nargs="*", help=f"all by default: {', '.join(names)}")
    parser.add_argument("--jobs", type=int, default=2, help="clients at the same time")
    parser.add_argument("--write", action="store_true", help="write the table of routes")
    options = parser.parse_args(arguments)
    chosen = options.clients or names
    if unknown := set(chosen) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")

    with ThreadPoolExecutor(options.jobs) as pool:
        results = [*pool.map(run, [client for client in CLIENTS if client.name in chosen])]
    _print(results)
    failed = any(result.verdict == "failed" for result in results)
    # a client that failed or was left out keeps its column
    measured = {
        result.client: result.called
        for result in results
        if result.called is not None and not result.problem
    }
    stale = _check_table(measured, write=options.write)
    return int(failed or stale)


def run(client: Client) -> Result:
    """Install a client and check it against an emulator."""
    name, package = client.name, client.packages[0]
    python = environments.find_python(client.python)
    if python is None:
        return Result(name, package, None, f"needs Python {client.python}")
    try:
        programs = environments.install(name, python, client.packages)
    except subprocess.CalledProcessError as error:
        return Result(name, package, frozenset(), f"not installed: {error}")
    print(f"Running {name} ...", flush=True)
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_session(Path(folder), programs, https=client.https) as session,
    ):
        problem = _check(client, session)
        called = frozenset(
            route
            for request in session.requests
            if request.status < HTTPStatus.BAD_REQUEST and (route := routes.route_of(request))
        )
        problem = problem or _refused(client, session)
    return Result(name, package, called, problem, time.monotonic() - start)


def _check(client: Client, session: Session) -> str | None:
    try:
        client.check(session)
    except Exception as error:  # noqa: BLE001 - the other clients are still checked
        return f"{type(error).__name__}: {error}"
    return None


def _refused(client: Client, session: Session) -> str | None:
    """Return the requests that were refused unexpectedly, such as those of unknown routes."""
    refused = {
        f"{each.status} {routes.route_of(each) or f'{each.method} {each.path}'}"
        for each in session.requests
        if each.status >= HTTPStatus.BAD_REQUEST
    }
    return "\n".join(sorted(refused - client.refused)) or None


def _print(results: Sequence[Result]) -> None:
    print()
    for result in results:
        count = len(result.called or ())
        columns = f"{result.client:12} {result.package:40} {result.verdict:8}"
        print(f"{columns} {count:3} routes {result.seconds:5.0f} s")
    for result in results:
        if result.problem:
            print(f"\n{result.client} {result.verdict}: {result.problem}", file=sys.stderr)


def _check_table(measured: Calls, *, write: bool) -> bool:
    """Compare or write the table of routes, and return whether it is wrong."""
    documented = routes.parse(routes.documented())
    names = [client.name for client in CLIENTS]
    merged = {name: measured.get(name, documented.get(name, frozenset())) for name in names}
    lines = routes.render(merged)
    if write:
        routes.write(lines)
        return False
    if lines == routes.documented():
        return False
    print("\nThe table in docs/emulator.md is not what the clients call:\n", file=sys.stderr)
    print("\n".join(lines), file=sys.stderr)
    print("\nmake interop ARGS=--write", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
