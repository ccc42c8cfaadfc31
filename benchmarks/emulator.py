"""Start of the embedded dbt Cloud and of pytest, and scripted runs a second.

python -m benchmarks.emulator
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from statistics import median

from rich.console import Console
from rich.table import Table

TURNS = 5
RUNS = 3000
CLIENTS = 4
# bounds of the project: milliseconds, runs a second, milliseconds
UP, RATE, PLUGIN = 150, 500, 20
# prints the seconds from the first import to the first response
START = """
import time; began = time.perf_counter()
from dlt_dbtcloud.emulator import DBTCloudEmulator
with DBTCloudEmulator() as cloud:
    from http.client import HTTPConnection
    connection = HTTPConnection(cloud.url.partition("//")[2], timeout=60)
    connection.request("GET", "/api/v2/accounts/")
    connection.getresponse().read()
    print(time.perf_counter() - began)
"""
# prints the address of a job, then serves until its standard input ends
SERVE = """
import json, sys
from dlt_dbtcloud.emulator import DBTCloudEmulator
with DBTCloudEmulator() as cloud:
    path = f"/api/v2/accounts/{cloud.account_id}"
    job = cloud.create_job()
    print(json.dumps([cloud.url, cloud.api_token, path, job]), flush=True)
    sys.stdin.read()
"""
# prints the seconds that pytest takes to start without tests
PYTEST = """
import pytest, sys, time; began = time.perf_counter()
pytest.main(["--version", *sys.argv[1:]])
print(time.perf_counter() - began)
"""


def main() -> None:
    """Print each figure with its bound."""
    table = Table(title=f"Embedded dbt Cloud, the median of {TURNS}")
    for heading in ("", "measured", "bound"):
        table.add_column(heading, justify="right" if heading else "left")
    up = median(1000 * seconds(START) for _ in range(TURNS))
    table.add_row("import, start and first response, ms", f"{up:.0f}", f"{UP}")
    rate = median(runs_a_second() for _ in range(TURNS))
    table.add_row("scripted runs triggered and seen to finish a second", f"{rate:.0f}", f"{RATE}")
    table.add_row("start of pytest with the plugin, further ms", f"{plugin():.1f}", f"{PLUGIN}")
    Console(width=120).print(table)


def seconds(code: str, *arguments: str) -> float:
    """Return the seconds that a program prints last."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def runs_a_second() -> float:
    """Return the rate at which clients of another process trigger runs and see their ends."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        url, token, account, job = json.loads(server.stdout.readline())

        def trigger(count: int) -> None:
            connection = HTTPConnection(url.partition("//")[2], timeout=60)
            headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}

            def ask(method: str, path: str, body: str | None = None) -> dict[str, object]:
                connection.request(method, account + path, body, headers)
                data: dict[str, object] = json.loads(connection.getresponse().read())["data"]
                return data

            for _ in range(count):
                run = ask("POST", f"/jobs/{job}/run/", '{"cause": "benchmark"}')
                assert ask("GET", f"/runs/{run['id']}/")["is_complete"]

        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(trigger, [RUNS // CLIENTS] * CLIENTS))
        took = time.perf_counter() - began
        server.stdin.close()
    return RUNS / took


def plugin() -> float:
    """Return the milliseconds that the plugin adds to the start of pytest."""
    without = ["-p", "no:dlt-dbtcloud"]
    pairs = [(seconds(PYTEST), seconds(PYTEST, *without)) for _ in range(2 * TURNS)]
    return 1000 * median(with_it - without_it for with_it, without_it in pairs)


if __name__ == "__main__":
    main()
