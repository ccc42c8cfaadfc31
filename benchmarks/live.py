"""CPU time of live pages, during a run of real dbt with 2,000 models.

python -m benchmarks.live [--models 2000] [--readers 0 1 4]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import RunStatus

# percent of a core
MOST = 5.0
_TIMEOUT = 3600.0
_PROFILE = """many:
  target: dev
  outputs:
    dev: {{type: duckdb, path: '{path}', threads: 4}}
"""
# opens a page in some tabs until standard input ends, in a process of its own
_READ = """
import sys
from tests.support.reports.browser import open_page
with open_page() as page:
    context = page.context.browser.new_context()
    tabs = [context.new_page() for _ in range(int(sys.argv[2]))]
    for tab in tabs:
        tab.goto(sys.argv[1])
    print("open", flush=True)
    sys.stdin.read()
    print(tabs[0].evaluate("page.data.executions.length"))
"""


def write_project(folder: Path, models: int) -> None:
    """Write a project of views, in twenty chains."""
    (folder / "dbt_project.yml").write_text("name: many\nprofile: many\n", encoding="utf-8")
    profile = _PROFILE.format(path=folder / "many.duckdb")
    (folder / "profiles.yml").write_text(profile, encoding="utf-8")
    for number in range(models):
        file = folder / "models" / f"area_{number % 20}" / f"model_{number}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        above = f"{{{{ ref('model_{number - 20}') }}}}" if number >= 20 else "(select 1 as id)"
        file.write_text(f"select * from {above} as above\n", encoding="utf-8")


def measured(cloud: DBTCloudEmulator, job: int, readers: int) -> float:
    """Return the CPU time of the emulator during a run, in percent of a core.

    The CPU time of dbt and of the browser, which are other processes, does not count.

    Args:
        cloud: The emulator.
        job: The job.
        readers: The number of tabs that show the page of the run.
    """
    response = requests.post(
        f"{cloud.url}/api/v2/accounts/{cloud.account_id}/jobs/{job}/run/",
        json={"cause": "benchmark"},
        headers={"Authorization": f"Token {cloud.api_token}"},
        timeout=60,
    )
    run = response.json()["data"]
    with _tabs(run["href"], readers):
        began, spent = time.monotonic(), time.process_time()
        ended = cloud.wait_for_run(run["id"], _TIMEOUT)
        spent, took = time.process_time() - spent, time.monotonic() - began
    assert ended["status"] == RunStatus.SUCCESS, ended
    percent = 100 * spent / took
    print(f"{readers} readers: {spent:.2f} of {took:.0f} s, {percent:.2f} % of a core", flush=True)
    return percent


@contextmanager
def _tabs(url: str, count: int) -> Iterator[None]:
    if not count:
        yield
        return
    words = [sys.executable, "-c", _READ, url, str(count)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as browser:
        assert browser.stdout
        assert browser.stdout.readline() == "open\n", "Chromium has not started"
        yield
        shown, _ = browser.communicate("")
        print(f"the page shows {shown.strip()} nodes")


def main() -> int:
    """Measure a run for each number of readers, and return 1 if one is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2_000)
    parser.add_argument("--readers", type=int, nargs="+", default=[0, 1, 4])
    options = parser.parse_args()
    with TemporaryDirectory() as folder, DBTCloudEmulator() as cloud:
        write_project(Path(folder), options.models)
        job = cloud.create_job("Many", execute_steps=["dbt run"], project_dir=folder)
        found = [measured(cloud, job, readers) for readers in options.readers]
    return int(max(found) > MOST)


if __name__ == "__main__":
    sys.exit(main())
