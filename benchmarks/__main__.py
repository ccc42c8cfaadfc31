"""Comparison with `dlt.helpers.dbt_cloud`, on the same embedded dbt Cloud.

make bench
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from dlt.helpers import dbt_cloud as theirs
from dlt.helpers.dbt_cloud.client import DBTCloudClientV2 as TheirClient
from dlt.helpers.dbt_cloud.configuration import DBTCloudConfiguration as TheirConfiguration
from rich.console import Console
from rich.table import Table

import dlt_dbtcloud as ours
from dlt_dbtcloud.artifacts.results import node_results
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.progress import Pace, Progress
from dlt_dbtcloud.runs.progress.displays import LineDisplay
from dlt_dbtcloud.runs.watch import Watch
from tests.support.clock import FakeClock
from tests.support.projects.flights import Flights
from tests.support.servers.wire import KeepAliveServer
from tests.support.watching import watch_runs

CALLS = 50
RUNS = 1000
LENGTHS = (13, 67, 607, 3605)
STARTS = 5

Helper = Callable[..., Any]


@dataclass
class Row:
    """A measurement of both helpers; less is better."""

    name: str
    ours: float
    theirs: float


def main() -> None:
    """Print all measurements."""
    table = Table(title="Less is better")
    for heading in ("", "dlt-dbtcloud", "dlt.helpers.dbt_cloud", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for measure in MEASURES:
        with DBTCloudEmulator() as cloud:
            for row in measure(cloud):
                ratio = f"{row.ours / row.theirs:.2f}" if row.theirs else ""
                table.add_row(row.name, f"{row.ours:,.2f}", f"{row.theirs:,.2f}", ratio)
    Console(width=120).print(table)


def calls(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Measure calls that trigger a job without waiting for the run."""
    job = cloud.create_job("Hourly")
    requests_per_call, seconds = [], []
    for helper in helpers(cloud.url, cloud):
        helper(job, wait_for_outcome=False)
        before, began = len(cloud.requests), time.perf_counter()
        for _ in range(CALLS):
            helper(job, wait_for_outcome=False)
        seconds.append((time.perf_counter() - began) / CALLS)
        requests_per_call.append((len(cloud.requests) - before) / CALLS)
    yield Row("requests of a call that does not wait", *requests_per_call)
    yield Row("milliseconds of such a call", *(1000 * value for value in seconds))


def lost_responses(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Count the runs of a call if the response to its trigger is lost."""
    job = cloud.create_job("Nightly")
    for fault in ("cut", "status"):
        runs = []
        for helper in helpers(cloud.url, cloud):
            before = len(cloud.runs)
            cloud.fail("trigger_job", fault, when="after")
            with suppress(requests.RequestException):
                helper(job, wait_for_outcome=False)
            runs.append(len(cloud.runs) - before)
        name = {"cut": "cut connection", "status": "503"}[fault]
        yield Row(f"runs of a call with a lost response ({name})", *runs)


def ends_of_runs(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Measure the status checks of a run and the delay in noticing its end."""
    job = cloud.create_job("Long", duration=None)
    for length in LENGTHS:
        late, checks = [], []
        for watch in (watch_ours, watch_theirs):
            clock = FakeClock()
            before = len(cloud.requests)
            watch(cloud, job, length, clock)
            late.append(clock.now - length)
            sent = cloud.requests[before:]
            checks.append(sum(r.status == 200 and r.method == "GET" for r in sent))
        yield Row(f"seconds from the end of a run of {length:,} s to the return", *late)
        yield Row("    status checks of it", *checks)


def progress_of_a_wait(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Count the requests of a wait that shows its progress, and of one that shows nothing."""
    job = cloud.create_job("Long", duration=None)
    for length in LENGTHS[:2]:
        requests_of = []
        for display in (LineDisplay(io.StringIO()), None):
            clock = FakeClock()
            with ours.DBTCloudClientV2(
                cloud.api_token, cloud.account_id, cloud.url, clock=clock
            ) as client:
                run = client.start_job_run(job)
                before = len(cloud.requests)
                clock.at(length, partial(cloud.finish_run, run["id"]))
                progress = Progress(display, Pace(clock, client), clock)
                Watch(client, [run], are_new=True, progress=progress).until(86400, 10)
            requests_of.append(len(cloud.requests) - before)
        yield Row(f"requests of a wait of {length} s with progress, and without", *requests_of)


def watch_ours(cloud: DBTCloudEmulator, job: int, length: float, clock: FakeClock) -> None:
    """Trigger a run that ends by the clock, and watch it with our helper."""
    with ours.DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url, clock=clock) as client:
        run = client.start_job_run(job)
        clock.at(length, partial(cloud.finish_run, run["id"]))
        watch_runs(client, [run], wait_seconds=10, timeout=86400, are_new=True)


def watch_theirs(cloud: DBTCloudEmulator, job: int, length: float, clock: FakeClock) -> None:
    """Do the same with the other helper, whose clock is the module `time`."""
    clock.at(length, lambda: cloud.finish_run(cloud.runs[-1]["id"]))
    vars(theirs)["time"] = clock
    try:
        helpers(cloud.url, cloud)[1](job)
    finally:
        vars(theirs)["time"] = time


def many_runs(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Count the requests of one status check of a thousand runs."""
    clock = FakeClock()
    with ours.DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url, clock=clock) as client:
        jobs = [cloud.create_job(str(number), duration=None) for number in range(RUNS)]
        runs = [client.start_job_run(job) for job in jobs]
        before = len(cloud.requests)
        for run in runs:
            clock.at(0.5, partial(cloud.finish_run, run["id"]))
        watch_runs(client, runs, wait_seconds=10, timeout=86400)
        our_requests = len(cloud.requests) - before
    before = len(cloud.requests)
    TheirClient.__init__.__defaults__ = (None, f"{cloud.url}/api")
    credentials = TheirConfiguration(cloud.api_token, str(cloud.account_id))
    for run in runs:
        theirs.get_dbt_cloud_run_status(credentials, run["id"], wait_for_outcome=False)
    their_requests = sum(request.status == 200 for request in cloud.requests[before:])
    yield Row(f"requests of one check of {RUNS:,} runs", our_requests, their_requests)


def connections(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Count the connections of a waiting call."""
    run = {"id": 5, "status": 10, "is_complete": True, "is_success": True, "in_progress": False}
    response = {"status": {"code": 200, "is_success": True}, "data": run}
    opened = []
    for number in range(2):
        with KeepAliveServer(response) as server:
            helpers(server.url, cloud)[number](7)
            opened.append(server.connections)
    yield Row("connections of a call", *opened)


def loads_of_one_table(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Count the nodes and seconds of a build after a load of one table."""
    with TemporaryDirectory() as folder:
        os.environ["DLT_DATA_DIR"] = folder
        flights = Flights(cloud, Path(folder))
        flights.load()
        job = flights.job()
        measured = []
        for number, options in enumerate(({"pipeline": flights.pipeline, "only_loaded": True}, {})):
            helper = helpers(cloud.url, cloud)[number]
            # the first run leaves the manifest that `only_loaded` needs
            helper(job, wait_seconds=0.2, **options)
            flights.load("weather")
            began = time.perf_counter()
            helper(job, wait_seconds=0.2, **options)
            seconds = time.perf_counter() - began
            with ours.DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
                built = node_results(client, cloud.runs[-1]["id"])
            measured.append((len(built), seconds))
    for name, ours_, theirs_ in zip(
        ("nodes built", "seconds to build them"), *measured, strict=True
    ):
        yield Row(f"{name} for a load of one of five tables", ours_, theirs_)


def start_up(_: DBTCloudEmulator) -> Iterator[Row]:
    """Measure the fastest import of a helper and dlt in a new process."""
    ours_, theirs_, requests_ = (
        _fastest([sys.executable, "-c", f"import {modules}"])
        for modules in (
            "dlt_dbtcloud.helpers",
            "dlt.helpers.dbt_cloud",
            "dlt, dlt.sources.helpers.requests",
        )
    )
    yield Row("milliseconds to import the helper and dlt", ours_, theirs_)
    yield Row("milliseconds to import the helper, and dlt with its `requests`", ours_, requests_)


def command_line(_: DBTCloudEmulator) -> Iterator[Row]:
    """Measure the help of the commands, next to that of dlt without plugins."""
    dlt = str(Path(sys.executable).with_name("dlt"))
    without = {**os.environ, "DLT_DISABLE_PLUGINS": "true"}
    theirs = _fastest([dlt, "--help"], without)
    yield Row("milliseconds of `dlt --help` with the plugin", _fastest([dlt, "--help"]), theirs)
    ours = _fastest([dlt, "dbt-cloud", "--help"])
    yield Row("milliseconds of `dlt dbt-cloud --help`, and `dlt --help`", ours, theirs)


def _fastest(command: list[str], env: dict[str, str] | None = None) -> float:
    """Return the milliseconds of the fastest of a few processes."""
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


def helpers(url: str, cloud: DBTCloudEmulator) -> tuple[Helper, Helper]:
    """Return both helpers for a server, and replace the fixed host of the other helper."""
    TheirClient.__init__.__defaults__ = (None, f"{url}/api")
    token, account = cloud.api_token, str(cloud.account_id)
    credentials = ours.DBTCloudConfiguration(token, account, url)
    their_credentials = TheirConfiguration(token, account)
    return (
        lambda job, **options: ours.run_dbt_cloud_job(credentials, job, **options),
        lambda job, **options: theirs.run_dbt_cloud_job(their_credentials, job, **options),
    )


MEASURES = (
    calls,
    lost_responses,
    ends_of_runs,
    progress_of_a_wait,
    many_runs,
    connections,
    loads_of_one_table,
    start_up,
    command_line,
)

if __name__ == "__main__":
    main()
