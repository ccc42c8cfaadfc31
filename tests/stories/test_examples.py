"""The examples, run unchanged on real data, and their errors of one line."""

from __future__ import annotations

import errno
import os
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.fixtures import WriteConfig
from tests.support.clock import DBT_PATIENCE
from tests.support.processes.children import ROOT, run
from tests.support.processes.forks import forked
from tests.support.projects.flights import flights_source
from tests.support.servers.wire import WireServer

EXAMPLES = ROOT / "examples"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n<h1>Sign in</h1>\n"

# runs a script as `python SCRIPT` does
SCRIPT = """
import runpy, sys

del sys.argv[0]
sys.path[0] = "examples"
runpy.run_path(sys.argv[0], run_name="__main__")
"""

Demo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def demo(
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    forking: None,
) -> Demo:
    """Return a function that runs a copy of an example, by default with one day of flights.

    A Python of its own runs it in the tests of real dbt, and else a fork, which begins at once.
    """
    shutil.copytree(EXAMPLES, isolated / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("HOME", str(isolated / "home"))
    # the demo has a data folder of its own
    monkeypatch.delenv("DLT_DATA_DIR")

    def run_demo(
        *arguments: str,
        days: int | None = 1,
        script: str = "load_and_transform",
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        if days is not None:
            environment["SOURCES__FLIGHTS__NYCFLIGHTS__DAYS"] = str(days)
        command = [f"examples/{script}.py", *arguments]
        env = {**os.environ, "COLUMNS": "120", **environment}
        if request.node.get_closest_marker("dbt") or request.node.get_closest_marker("fusion"):
            return run([sys.executable, *command], env=env, timeout=DBT_PATIENCE)
        with forked(SCRIPT, *command, env=env) as process:
            code = process.wait()
            return subprocess.CompletedProcess(command, code, process.output, process.errors)

    return run_demo


@pytest.fixture
def demo_here(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Return a function that runs the demo without its project here, and returns its exit."""
    for folder in ("examples", ".demo"):
        (isolated / folder).mkdir()
    script = shutil.copy(EXAMPLES / "load_and_transform.py", isolated / "examples")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("XDG_DATA_HOME", str(isolated))

    def run_here() -> object:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return ended.value.code

    return run_here


def assert_is_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_day_has_its_flights_and_the_weather_at_each_airport() -> None:
    resources = flights_source(days=2).resources
    flights = [*resources["flights"]]
    assert Counter(row["day"] for row in flights) == {1: 842, 2: 943}
    assert {row["month"] for row in flights} == {1}
    weather = Counter((row["origin"], row["day"]) for row in resources["weather"])
    assert weather == {
        ("EWR", 1): 22,
        ("JFK", 1): 22,
        ("LGA", 1): 23,
        ("EWR", 2): 24,
        ("JFK", 2): 24,
        ("LGA", 2): 24,
    }


@pytest.mark.dbt
def test_the_demo_names_a_compilation_error_and_builds_a_year_of_flights_without_it(
    demo: Demo, isolated: Path
) -> None:
    model = isolated / "examples/flights_dbt/models/marts/dim_carriers.sql"
    text = model.read_text()
    model.write_text("select * from {{ ref('no_such_model') }}")
    failed = demo()
    assert_is_one_clear_line(failed, "dim_carriers", "no_such_model")
    assert "Error" in failed.stdout
    model.write_text(text)
    done = demo(days=None)
    assert done.returncode == 0, done.stderr
    assert "336,776" in done.stdout
    # the whole job, one table, and a retry
    assert done.stdout.count(": Success after ") == 3
    assert "82 nodes, of which 61 are tests that passed." in done.stdout
    assert done.stdout.count("14 nodes, of which 10 are tests that passed.") == 2
    assert "1. model.flights.dim_carriers" in done.stdout
    assert "mart_carrier_punctuality" in done.stdout
    assert "Hawaiian Airlines" in done.stdout
    page = (isolated / ".demo" / "failed-run.html").read_text(encoding="utf-8")
    assert "What failed" in page
    assert ">airlines<" in page
    left = {path.name for path in isolated.iterdir()}
    assert left == {"examples", ".demo"}
    assert not {path.name for path in (isolated / "examples/flights_dbt").iterdir()} & {
        "target",
        "logs",
    }


@pytest.mark.dbt
def test_only_what_changed_is_built(demo: Demo) -> None:
    done = demo(script="only_what_changed")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    built = [(row[-3], int(row[-2])) for row in rows if row[-3:-2] and row[-2].isdigit()]
    assert built == [("Success", 82), ("Success", 14), ("Skipped", 0)]
    assert "Saved: " in done.stdout


@pytest.mark.fusion
def test_both_engines_build_fail_and_retry_alike(demo: Demo, fusion: str) -> None:
    done = demo(fusion, script="both_engines")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dbt 1." in done.stdout
    assert "dbt 2.0.0-preview.196" in done.stdout
    assert done.stdout.count("1. model.flights.fct_flights") == 2
    # built and retried, as on the other engine; no test is listed twice
    assert done.stdout.count("61 pass, 18 success") == 4
    assert done.stdout.count("Conversion Error: Time out of range") == 2
    # only dbt Core reports exposures
    assert "Nodes with different statuses: 2" in done.stdout


def test_a_malformed_file_is_named(demo: Demo, isolated: Path) -> None:
    (isolated / ".dlt").mkdir()
    (isolated / ".dlt/secrets.toml").write_text('[dbt_cloud\napi_token = "hunter2hunter2"')
    done = demo()
    assert_is_one_clear_line(done, "secrets.toml")
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"API_TOKEN": "set me up!"}, ["Still a placeholder: `api_token`"]),
        ({"API_TOKEN": "wrong-token"}, ["Invalid token", "another host"]),
        ({"JOB_ID": "1"}, ["jobs/1/", "proper permissions"]),
        ({"JOB_ID": ""}, ["`job_id` is missing", "DBT_CLOUD__JOB_ID"]),
        ({"BASE_API_URL": "127.0.0.1:1"}, [os.strerror(errno.ECONNREFUSED)]),
        ({"BASE_API_URL": "PAGE"}, ["Sign in", "`base_api_url`"]),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    cloud: DBTCloudEmulator,
    demo_here: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    words: list[str],
) -> None:
    with WireServer(*[PAGE] * 9) as page:
        given = {"JOB_ID": str(cloud.create_job("Nightly")), "TIMEOUT": "0.5", **settings}
        for name, value in given.items():
            monkeypatch.setenv(f"DBT_CLOUD__{name}", page.url if value == "PAGE" else value)
        line = str(demo_here())
    for word in words:
        assert word in line
    shown = f"{line} {capsys.readouterr()}"
    assert "wrong-token" not in shown
    assert cloud.api_token not in shown
    assert cloud.runs == []


def test_a_missing_project_is_named(demo_here: Callable[[], object]) -> None:
    assert "flights_dbt` is not a folder" in str(demo_here())


def test_a_token_in_secrets_toml_selects_the_real_dbt_cloud(
    cloud: DBTCloudEmulator,
    demo_here: Callable[[], object],
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in cloud.environment():
        monkeypatch.delenv(name)
    job = cloud.create_job("Nightly")
    write_config(
        "secrets.toml",
        f'[dbt_cloud]\napi_token = "{cloud.api_token}"\naccount_id = {cloud.account_id}\n'
        f'job_id = {job}\nbase_api_url = "{cloud.url}"\n',
    )
    # no other machine continues the pipeline
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    monkeypatch.setenv("SOURCES__FLIGHTS__NYCFLIGHTS__DAYS", "1")
    # opened once, and not for each step of a load
    with duckdb.connect(".demo/flights.duckdb"):
        assert demo_here() == 0
    shown = capsys.readouterr().out
    assert "embedded" not in shown
    (built,) = cloud.runs
    assert str(built["href"]) in shown


def test_without_npm_the_setup_of_dbt_fusion_ends_with_one_clear_line(isolated: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "install_fusion.py"), "fusion"]
    done = run(command, env={"PATH": ""}, timeout=DBT_PATIENCE)
    assert_is_one_clear_line(done, "npm was not found", "Node.js")
    assert not list(isolated.iterdir())
