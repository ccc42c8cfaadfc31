"""Of what is listed of a run, just that is kept which a table takes, whatever there is in it."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.bookmarks import Bookmarks
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.keys import retried_run
from dlt_dbtcloud.listing import NewRun, finished_runs, lean
from dlt_dbtcloud.typing import Run
from tests.results import ended_run, nightly


def test_logs_are_cut_to_the_end_of_those_of_failed_steps() -> None:
    log = "\n".join(map(str, range(1000)))
    steps = [{"status": status, "logs": log, "debug_logs": log} for status in (10, 20)]
    run: Any = {"id": 1, "run_steps": steps, "job": {"name": "Nightly", "settings": {}}}
    done, failed = lean(run)["run_steps"]
    assert done == {"status": 10}
    assert (failed["logs"] or "").split("\n") == [*map(str, range(500, 1000))]
    assert lean(run)["job"] == {"name": "Nightly"}


@pytest.mark.parametrize("steps", [None, [None], [5, "a", [{}]], {"a": 1}, "steps"])
def test_odd_steps_are_none(steps: Any) -> None:
    run: Any = {"id": 1, "run_steps": steps, "retrying_run_id": "x", "trigger": None, "job": None}
    assert lean(run)["run_steps"] == []
    assert retried_run(run) is None


@pytest.mark.parametrize("odd", [{"a": 1}, [1], True])
def test_what_is_odd_about_a_step_is_left_out(odd: Any) -> None:
    step = {"status": 20, "index": odd, "name": odd, "logs": odd}
    run: Any = {"id": 1, "run_steps": [step, {"index": 4, "status": odd}], "job": odd}
    assert lean(run)["run_steps"] == [
        {"status": 20, "index": None, "name": None, "logs": ""},
        {"index": 4, "status": None},
    ]


def test_a_run_of_long_ago_that_could_not_be_read_comes_last(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = ended_run(nightly(cloud))
    state: dict[str, Any] = {"finished_at": "2026-01-31T06:00:00+00:00", "unread": {"7": 5}}
    newest, older = finished_runs(client, None, Bookmarks({"dbt_nodes": state}))
    assert newest.run["id"] == run_id
    assert older == NewRun(Run(id=7, is_complete=True), frozenset({"dbt_nodes"}))
    assert [request.path.rpartition("/runs/")[2] for request in cloud.requests[-1:]] == [""]
