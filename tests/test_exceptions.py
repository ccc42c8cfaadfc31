"""Error messages contain the failure, its object and the next step, and omit empty parts."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudRunCancelled, DBTCloudRunFailed, DBTCloudRunTimeout

URL = "https://cloud.getdbt.com/deploy/1/projects/3/runs/7/"
RUN: Any = {"id": 7, "job_definition_id": 5, "status_humanized": "Running", "href": URL}
BARE: Any = {**RUN, "href": None, "status_humanized": None, "status_message": None}


def test_an_error_names_the_run_and_links_to_it() -> None:
    assert str(DBTCloudRunFailed(RUN)) == (
        f"Run 7 of job 5 failed.\nSee {URL}. Its steps and logs show the reason."
    )


@pytest.mark.parametrize(
    "error",
    [
        DBTCloudRunFailed(BARE),
        DBTCloudRunCancelled(BARE),
        DBTCloudRunTimeout(BARE, 60),
        DBTCloudRunTimeout(BARE, 60, ended=BARE),
    ],
)
def test_a_message_omits_what_the_api_leaves_out(error: Exception) -> None:
    assert "none" not in str(error).lower()
    assert "See" not in str(error)
    assert "Run 7 of job 5" in str(error)


def test_a_run_without_a_status_name_is_in_progress() -> None:
    assert "is still in progress after `timeout=60` seconds" in str(DBTCloudRunTimeout(BARE, 60))


def test_a_report_of_several_errors_leaves_each_error_as_it_is() -> None:
    first, second = DBTCloudRunFailed(RUN), DBTCloudRunTimeout(RUN, 60)
    first.__cause__ = OSError("a cause")
    before = str(first), dict(vars(first))
    report = first.with_others([second], ["Run 8: Success."], [RUN])
    assert (str(first), vars(first)) == before
    assert type(report) is DBTCloudRunFailed
    assert report.run_id == first.run_id
    assert report.runs == [RUN]
    assert report.__cause__ is first.__cause__
    assert str(report) == f"(1) {first}\n(2) {second}\nRun 8: Success."
