"""Of what is listed of a run, just that is kept which a table takes, whatever there is in it."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.keys import retried_run
from dlt_dbtcloud.listing import lean


def test_logs_are_cut_to_the_end_of_those_of_failed_steps() -> None:
    log = "\n".join(map(str, range(1000)))
    steps = [{"status": status, "logs": log, "debug_logs": log} for status in (10, 20)]
    run: Any = {"id": 1, "run_steps": steps, "job": {"name": "Nightly", "settings": {}}}
    done, failed = lean(run)["run_steps"]
    assert done == {"status": 10}
    assert (failed["logs"] or "").split("\n") == ["...", *map(str, range(500, 1000))]
    assert lean(run)["job"] == {"name": "Nightly"}


@pytest.mark.parametrize("steps", [None, [None], {"a": 1}, "steps"])
def test_odd_steps_are_none(steps: Any) -> None:
    run: Any = {"id": 1, "run_steps": steps, "retrying_run_id": "x", "trigger": None, "job": None}
    assert lean(run)["run_steps"] == []
    assert retried_run(run) is None
