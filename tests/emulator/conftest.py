from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.projects.tiny import write_tiny
from tests.support.servers.emulator_api import Api


@pytest.fixture(scope="session")
def _shared() -> Iterator[DBTCloudEmulator]:
    with DBTCloudEmulator() as emulator:
        yield emulator


@pytest.fixture
def cloud(_shared: DBTCloudEmulator) -> DBTCloudEmulator:
    _shared.reset()
    return _shared


@pytest.fixture
def fresh() -> Iterator[DBTCloudEmulator]:
    """Return an emulator that the test may stop."""
    with DBTCloudEmulator() as emulator:
        yield emulator


@pytest.fixture
def api(cloud: DBTCloudEmulator) -> Iterator[Api]:
    client = Api(cloud)
    with client.session:
        yield client


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")
