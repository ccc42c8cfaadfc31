"""Recorded runs of dbt Fusion on the orchard are replayed, and recorded again to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.emulator_api import Api
from tests.support.fusion import SCENARIOS
from tests.support.recordings import comparable, load, record, replayed_job

# with `--fail-fast`, dbt Fusion ends in one of several ways each time
REPEATABLE = [name for name, scenario in SCENARIOS.items() if not scenario.ending]


@pytest.mark.fusion
@pytest.mark.parametrize("name", REPEATABLE)
def test_dbt_fusion_still_does_what_was_recorded(name: str, tmp_path: Path, fusion: str) -> None:
    again = record(SCENARIOS[name], tmp_path, fusion)
    assert comparable(again) == comparable(load(name))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_replayed_run_has_the_recorded_log_and_artifacts(
    cloud: DBTCloudEmulator, tmp_path: Path, name: str
) -> None:
    recording, api = load(name), Api(cloud)
    with api.session:
        run = api.ended(api.trigger(replayed_job(cloud, tmp_path, name))["id"])
        assert run["dbt_version"] == "2.0.0-preview.196"
        steps = run["run_steps"][3:]
        # a step that fails ends the run
        for recorded, step in zip(recording, steps, strict=False):
            assert recorded["command"] in step["name"]
            assert step["logs"].splitlines()[:-1] == recorded["log"]
            assert step["status"] == (20 if recorded["exit_code"] else 10)
            path = f"/runs/{run['id']}/artifacts/"
            for file, content in recorded["artifacts"].items():
                assert api.get(path + file, step=step["index"]).json() == content
