"""An error says what failed and what to do, and no word of what the API has left out."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudRunCancelled, DBTCloudRunFailed, DBTCloudRunTimeout

URL = "https://cloud.getdbt.com/deploy/1/projects/3/runs/7/"
RUN: Any = {"id": 7, "job_definition_id": 5, "status_humanized": "Running", "href": URL}
BARE: Any = {**RUN, "href": None, "status_humanized": None, "status_message": None}


def test_an_error_names_the_run_and_links_to_it() -> None:
    assert str(DBTCloudRunFailed(RUN)) == (
        f"Run 7 of job 5 failed.\nSee {URL}. Its steps and logs say why."
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
def test_what_the_api_leaves_out_is_not_told(error: Exception) -> None:
    assert "none" not in str(error).lower()
    assert "See" not in str(error)
    assert "Run 7 of job 5" in str(error)


def test_a_run_whose_status_has_no_word_is_not_over() -> None:
    assert "is still not over after `timeout=60` seconds" in str(DBTCloudRunTimeout(BARE, 60))
