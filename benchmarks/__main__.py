"""Print each measurement for both helpers, on the same embedded dbt Cloud, and their ratio.

make bench
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dlt.helpers import dbt_cloud as theirs
from dlt.helpers.dbt_cloud.client import DBTCloudClientV2 as TheirClient
from dlt.helpers.dbt_cloud.configuration import DBTCloudConfiguration as TheirConfiguration
from rich.console import Console
from rich.table import Table

import dlt_dbtcloud as ours
from dlt_dbtcloud.emulator import DBTCloudEmulator

CALLS = 50
RUN_SECONDS = 3.0
STARTS = 5

Helper = Callable[..., Any]


@dataclass
class Row:
    """What was measured of both; less is better."""

    what: str
    ours: float
    theirs: float


def main() -> None:
    """Measure and print."""
    table = Table(title="Less is better")
    for heading in ("", "dlt-dbtcloud", "dlt.helpers.dbt_cloud", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    with DBTCloudEmulator() as cloud:
        for row in (*calls(cloud), end_of_a_run(cloud), start_up()):
            ratio = f"{row.ours / row.theirs:.2f}"
            table.add_row(row.what, f"{row.ours:.2f}", f"{row.theirs:.2f}", ratio)
    Console().print(table)


def calls(cloud: DBTCloudEmulator) -> Iterator[Row]:
    """Measure calls that trigger a job and do not wait for it."""
    job = cloud.create_job("Hourly")
    requests, seconds = [], []
    for helper in helpers(cloud):
        helper(job, wait_for_outcome=False)
        asked, began = len(cloud.requests), time.perf_counter()
        for _ in range(CALLS):
            helper(job, wait_for_outcome=False)
        seconds.append((time.perf_counter() - began) / CALLS)
        requests.append((len(cloud.requests) - asked) / CALLS)
    yield Row("requests of a call that does not wait", *requests)
    yield Row("milliseconds of such a call", *(1000 * each for each in seconds))


def end_of_a_run(cloud: DBTCloudEmulator) -> Row:
    """Measure how late a helper returns after the end of a run, with its defaults."""
    job = cloud.create_job("Short", duration=RUN_SECONDS)
    late = []
    for helper in helpers(cloud):
        began = time.perf_counter()
        helper(job)
        late.append(time.perf_counter() - began - RUN_SECONDS)
    return Row(f"seconds from the end of a run of {RUN_SECONDS:.0f} s to the return", *late)


def start_up() -> Row:
    """Measure the import of the helper in a new process, dlt and all; the fastest of a few."""
    fastest = []
    for module in ("dlt_dbtcloud", "dlt.helpers.dbt_cloud"):
        code = (
            f"import time; b = time.perf_counter(); import {module}; print(time.perf_counter() - b)"
        )
        command = [sys.executable, "-c", code]
        times = [float(subprocess.check_output(command)) for _ in range(STARTS)]
        fastest.append(1000 * min(times))
    return Row("milliseconds to import it and dlt", *fastest)


def helpers(cloud: DBTCloudEmulator) -> tuple[Helper, Helper]:
    """Return both helpers, pointed at the embedded dbt Cloud; theirs knows one host only."""
    TheirClient.__init__.__defaults__ = (None, f"{cloud.url}/api")
    token, account = cloud.api_token, str(cloud.account_id)
    credentials = ours.DBTCloudConfiguration(token, account, cloud.url)
    their_credentials = TheirConfiguration(token, account)
    return (
        lambda job, **options: ours.run_dbt_cloud_job(credentials, job, **options),
        lambda job, **options: theirs.run_dbt_cloud_job(their_credentials, job, **options),
    )


if __name__ == "__main__":
    main()
