"""A soak finds no error, and can find one."""

from __future__ import annotations

import math

import pytest

from benchmarks.soak import Soak
from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator


def test_a_short_soak_finds_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    # one of the late runs of this seed is cancelled
    soak = Soak(seed=3, calls=8, times_out=False, stop_at=math.inf)
    soak.run()
    assert soak.counts["calls"] == 8
    assert soak.counts["faulty responses"] > 50
    assert not soak.has_failed


@pytest.mark.parametrize(
    ("runs", "returned", "is_known", "error"),
    [
        (2, 0, True, "duplicates"),
        (1, None, True, "lost runs"),
        (0, None, True, "calls without a run"),
        (1, 0, True, None),
        (1, None, False, None),
        (2, None, False, "duplicates"),
    ],
)
def test_a_soak_finds_each_error(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    runs: int,
    returned: int | None,
    is_known: bool,
    error: str | None,
) -> None:
    job = cloud.create_job("Nightly")
    started = [client.get_run_status(client.trigger_job_run(job)) for _ in range(runs)]
    soak = Soak(seed=7, calls=1)
    ended = {} if returned is None else started[returned]
    soak._count(cloud, ended, "success", is_known=is_known)
    assert soak.has_failed is (error is not None)
    assert error is None or soak.counts[error] == 1


def test_a_soak_fails_if_too_many_triggers_are_not_known(cloud: DBTCloudEmulator) -> None:
    soak = Soak(seed=7, calls=100)
    soak._count(cloud, {}, "success", is_known=False)
    assert not soak.has_failed
    soak._count(cloud, {}, "success", is_known=False)
    assert soak.has_failed
