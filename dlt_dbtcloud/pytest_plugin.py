"""The pytest fixture `dbt_cloud`, an embedded dbt Cloud for tests.

pytest loads this module at each start, so it imports nothing that is needed only by the fixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dlt_dbtcloud.emulator import DBTCloudEmulator, UnhandledRequest

__all__ = ["dbt_cloud"]


_PREFIX = "DBT_CLOUD__"
# read by `configuration.connections`: connections in files have the emulator's account, too
_EMULATED = "DBT_CLOUD_EMULATED"
# seconds between status checks, unless the code under test passes others
_WAIT_SECONDS = "0.1"
_CLOUD = pytest.StashKey["DBTCloudEmulator"]()
_REPORTED = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def _dbt_cloud_server() -> Iterator[DBTCloudEmulator]:
    """Return the server that the tests of a session share."""
    from dlt_dbtcloud.emulator import DBTCloudEmulator

    with DBTCloudEmulator() as server:
        yield server


@pytest.fixture
def dbt_cloud(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    _dbt_cloud_server: DBTCloudEmulator,
) -> Iterator[DBTCloudEmulator]:
    """Return an embedded dbt Cloud without jobs, which `DBT_CLOUD__*` points to.

    Add jobs with `create_job`, and their ids as `DBT_CLOUD__JOB_ID`. A request that it cannot
    handle fails the test. Runs in progress end with the test.
    """
    cloud = _dbt_cloud_server
    cloud.reset()
    # a pipeline may have a section of its own
    for name in [each for each in os.environ if f"__{_PREFIX}" in f"__{each}"]:
        monkeypatch.delenv(name)
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(f"{_PREFIX}WAIT_SECONDS", _WAIT_SECONDS)
    monkeypatch.setenv(_EMULATED, "true")
    item = request.node
    item.stash[_CLOUD] = cloud
    yield cloud
    unhandled = cloud.unhandled[item.stash.get(_REPORTED, 0) :]
    cloud.reset()
    # a test may have stopped it
    with suppress(RuntimeError):
        cloud.start()
    if unhandled:
        pytest.fail(_explained(unhandled), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test if the embedded dbt Cloud could not handle its requests."""
    try:
        yield
    except BaseException:
        # it is raised again; the requests may be its cause
        unhandled = _unreported(item)
        if unhandled:
            item.add_report_section("call", "dbt_cloud", _explained(unhandled))
        raise
    unhandled = _unreported(item)
    if unhandled:
        pytest.fail(_explained(unhandled), pytrace=False)


def _unreported(item: pytest.Item) -> Sequence[UnhandledRequest]:
    cloud = item.stash.get(_CLOUD, None)
    unhandled = cloud.unhandled if cloud else []
    item.stash[_REPORTED] = len(unhandled)
    return unhandled


def _explained(unhandled: Sequence[UnhandledRequest]) -> str:
    requests = "\n".join(f"  {each.method} {each.path}: {each.reason}" for each in unhandled)
    return (
        f"The embedded dbt Cloud could not handle requests of this test:\n{requests}\n"
        "Check the base URL of the client, and the routes in `docs/emulator.md`. If the test "
        "expects this, call `dbt_cloud.reset()` at its end."
    )
