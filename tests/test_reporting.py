"""Each run of a call is told of: returned, logged, or raised together with all others."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.reporting import Part, report
from dlt_dbtcloud.starting import skipped_run


def ended(cloud: DBTCloudEmulator, outcome: Any) -> Part:
    """Return a part whose run has come to an end."""
    job = cloud.create_job(f"the {outcome}", outcome=outcome)
    return Part(run=run_dbt_cloud_job(job_id=job))


def gone() -> Part:
    """Return a part whose job could not be triggered."""
    return Part(error=DBTCloudNotFoundError("POST", ".../jobs/1/run/", 404, "Not found."))


def test_runs_are_returned_in_their_order(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    parts = [ended(cloud, outcome) for outcome in ("success", "error", "cancelled")]
    parts.insert(1, Part(run=skipped_run("there is nothing to build")))
    assert report(client, parts, raises=False) == [part.run for part in parts]


@pytest.mark.parametrize(
    ("outcome", "kind"), [("error", DBTCloudRunFailed), ("cancelled", DBTCloudRunCancelled)]
)
def test_a_run_that_did_not_succeed_is_logged_or_raised(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    outcome: str,
    kind: type[Exception],
) -> None:
    part = ended(cloud, outcome)
    caplog.clear()
    report(client, [part], raises=False)
    (logged,) = [each.getMessage() for each in caplog.records]
    caplog.clear()
    with pytest.raises(kind) as caught:
        report(client, [part], raises=True)
    assert logged == str(caught.value)
    assert caplog.records == []


def test_what_there_is_no_end_of_is_raised_whatever_is_asked_for(client: DBTCloudClientV2) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        report(client, [gone()], raises=False)


def test_the_first_error_tells_of_all_and_of_the_runs_beside_them(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    parts = [ended(cloud, "success"), gone(), ended(cloud, "error"), Part(run=skipped_run("x"))]
    with pytest.raises(DBTCloudNotFoundError) as caught:
        report(client, parts, raises=True)
    lines = str(caught.value).splitlines()
    assert [line[:3] for line in lines if line.startswith("(")] == ["(1)", "(2)"]
    assert "404" in lines[0]
    assert 'of job "the error" failed' in lines[1]
    assert lines[-1].endswith(": Success.")
    assert "Skipped" not in str(caught.value)
