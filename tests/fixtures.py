"""Fixtures of all tests, and the isolation of tests from each other.

Only processes that run tests import them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime import run_context
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import NewTimer
from tests.support.clock import FakeClock
from tests.support.dbt.answers import Answers
from tests.support.dbt.recordings import CORE, Recorder, Replay, is_recorded_core
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.loading.settings import EmptySettings, read_settings
from tests.support.loading.warehouse import EmptiedWarehouse, new_pipeline
from tests.support.projects.flights import Flights
from tests.support.projects.fusion import PROGRAM
from tests.support.projects.loaded_flights import LoadedFlights, run_flights
from tests.support.projects.orchard import Orchard, run_orchard
from tests.support.reports.browser import open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WriteConfig = Callable[[str, str], None]
AnswersOf = Callable[[str], Answers]
Recorded = Callable[[str], "Replay | Recorder"]


@pytest.fixture(scope="session", autouse=True)
def logging_of_dlt() -> None:
    """Let dlt set up its logger before `caplog` captures it."""
    Container()[PluggableRunContext].reload(str(Path.cwd()))


@pytest.fixture(scope="session")
def empty_settings() -> EmptySettings:
    """Return the settings with which each test begins."""
    return EmptySettings()


@pytest.fixture(autouse=True)
def isolated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_settings: EmptySettings
) -> Path:
    """Run each test in an empty folder without config, credentials and data of others."""
    for name in [name for name in os.environ if name.startswith(("DBT_", "DLT_", "RUNTIME__"))]:
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    # retries do not wait
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setattr(run_context, "global_dir", lambda: str(tmp_path / "global"))
    empty_settings.restore()
    return folder


@pytest.fixture
def write_config(isolated: Path) -> WriteConfig:
    """Return a function that writes a file of `.dlt/`, such as `secrets.toml`."""

    def write(name: str, text: str) -> None:
        (isolated / ".dlt").mkdir(exist_ok=True)
        (isolated / ".dlt" / name).write_text(text)
        read_settings(isolated)

    return write


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls that have no clock of the test sleep for 0.02 s at most."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock whose time passes by sleeping alone."""
    return FakeClock()


@pytest.fixture
def new_timer() -> NewTimer:
    """Make the timers of the embedded dbt Cloud; a module may have its own."""
    return threading.Timer


@pytest.fixture
def cloud(
    request: pytest.FixtureRequest,
    dbt_cloud: DBTCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    new_timer: NewTimer,
) -> Iterator[DBTCloudEmulator]:
    """Return an embedded dbt Cloud, which `DBT_CLOUD__*` points to."""
    # status checks use the processor that dbt needs
    seconds = "0.5" if request.node.get_closest_marker("dbt") else "0.02"
    monkeypatch.setenv("DBT_CLOUD__WAIT_SECONDS", seconds)
    # there are no files of a developer, and those of a test count
    monkeypatch.delenv("DBT_CLOUD_EMULATED")
    if new_timer is threading.Timer:
        yield dbt_cloud
        return
    with DBTCloudEmulator(new_timer=new_timer) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def client(cloud: DBTCloudEmulator) -> Iterator[DBTCloudClientV2]:
    """Return a client of the embedded dbt Cloud."""
    with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as connected:
        yield connected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the SELECT statements sent to DuckDB, updated as they are executed."""
    queries: list[str] = []
    execute = DuckDbSqlClient.execute_query

    def execute_query(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        queries.extend([query] if str(query).startswith("SELECT") else ())
        return execute(self, query, *args, **options)

    monkeypatch.setattr(DuckDbSqlClient, "execute_query", execute_query)
    return queries


@pytest.fixture(scope="session")
def emptied_warehouse(tmp_path_factory: pytest.TempPathFactory) -> EmptiedWarehouse:
    """Return a DuckDB that tests use in turn."""
    return EmptiedWarehouse(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture
def pipeline(emptied_warehouse: EmptiedWarehouse) -> Iterator[dlt.Pipeline]:
    """Return a pipeline into an empty DuckDB."""
    with emptied_warehouse.use() as destination:
        yield new_pipeline("shop", destination)


@pytest.fixture(scope="session")
def shared_loads(tmp_path_factory: pytest.TempPathFactory) -> SharedLoads:
    """Return loads that tests share because they only read them."""
    return SharedLoads(tmp_path_factory.mktemp("loads"))


@pytest.fixture
def loaded_pipeline(shared_loads: SharedLoads) -> Iterator[dlt.Pipeline]:
    """Return a pipeline that has loaded the table `airlines`; it is shared."""
    with shared_loads.pipeline("flights", load_tables, "airlines") as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def forking() -> None:
    """Let one worker run the tests that fork, as it starts a process that imports dlt."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return a browser, which one worker starts.

    While it is open, `asyncio.run()` in that worker raises a `RuntimeError`: it "cannot be called
    from a running event loop".
    """
    with open_browser() as browser:
        yield browser


@pytest.fixture
def flights(cloud: DBTCloudEmulator, tmp_path: Path) -> Flights:
    """Return the example project with its jobs and its pipeline."""
    return Flights(cloud, tmp_path)


@pytest.fixture(scope="session")
def fusion() -> str:
    """Return the program of dbt Fusion, a `dbt_executable` for `fusion` tests."""
    assert PROGRAM.is_file(), "dbt Fusion is not installed: `make fusion` installs it."
    return str(PROGRAM)


@pytest.fixture
def fusion_flights(cloud: DBTCloudEmulator, tmp_path: Path, fusion: str) -> Flights:
    """Return the example project with its pipeline, and with jobs on dbt Fusion."""
    return Flights(cloud, tmp_path, fusion)


@pytest.fixture
def recorded(
    request: pytest.FixtureRequest, cloud: DBTCloudEmulator, tmp_path: Path
) -> Iterator[Recorded]:
    """Return a function that replays a recording of dbt Core by its name.

    With `--record`, dbt runs and is recorded. With `--compare`, and in tests marked `dbt`, it runs
    and is compared.
    """
    writes, compares = map(request.config.getoption, ("record", "compare"))
    is_real = writes or compares or request.node.get_closest_marker("dbt") is not None
    if is_real and not is_recorded_core():
        pytest.skip(f"The recordings are of {CORE}.")
    started: list[Replay | Recorder] = []

    def start(name: str) -> Replay | Recorder:
        jobs = (
            Recorder(cloud, tmp_path, name, writes=writes)
            if is_real
            else Replay(cloud, tmp_path, name)
        )
        started.append(jobs)
        return jobs

    yield start
    for jobs in started:
        jobs.end()


@pytest.fixture
def answers(request: pytest.FixtureRequest) -> AnswersOf:
    """Return a function that returns the answers of dbt Core on a project, by its name."""
    return partial(Answers, records=bool(request.config.getoption("record")))


@pytest.fixture(scope="session")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Orchard:
    """Return a recorded run of dbt Core on the orchard project."""
    folder = tmp_path_factory.mktemp("orchard")
    with DBTCloudEmulator() as cloud:
        return run_orchard(cloud, Replay(cloud, folder, "orchard"), folder)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedFlights:
    """Return recorded runs of dbt Core on the example project, loaded as tables."""
    folder = tmp_path_factory.mktemp("loaded")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        patch.setattr(run_context, "global_dir", lambda: str(folder / "global"))
        Container()[PluggableRunContext].reload(str(folder))
        with DBTCloudEmulator() as cloud:
            for name, value in cloud.environment().items():
                patch.setenv(name, value)
            patch.setenv("DBT_CLOUD__WAIT_SECONDS", "0.02")
            return run_flights(Flights(Replay(cloud, folder, "nightly"), folder), loads=True)
