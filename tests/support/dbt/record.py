"""Recordings of dbt Core and dbt Fusion, made again by `make record`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.dbt.recordings import FUSION, Recorder, Recording, save
from tests.support.projects.fusion import PROGRAM, SCENARIOS, Scenario
from tests.support.projects.orchard import write_orchard
from tests.support.servers.emulator_api import Api

__all__ = ["record_fusion"]


def record_fusion(name: str, folder: Path, program: str) -> Recording:
    """Run a scenario with dbt Fusion on the embedded dbt Cloud, and return its recording."""
    scenario: Scenario = SCENARIOS[name]
    write_orchard(folder, scenario.files)
    with DBTCloudEmulator() as cloud:
        job = cloud.create_job(
            "Press", project_dir=folder, execute_steps=scenario.steps, dbt_executable=program
        )
        api = Api(cloud)
        with api.session:
            api.ended(api.trigger(job)["id"])
        return Recorder(cloud, folder, name, writes=True, engine=FUSION).recording()


def main() -> int:
    """Record the scenarios of dbt Fusion where it is installed, then the tests of dbt Core."""
    for name, scenario in SCENARIOS.items() if PROGRAM.is_file() else ():
        log = ""
        while not log or (scenario.ending and scenario.ending not in log):
            with TemporaryDirectory() as folder:
                recording = record_fusion(name, Path(folder).resolve(), str(PROGRAM))
            log = "\n".join(recording[0]["log"])
        save(recording, name, FUSION)
    # no worker may write a file that another one writes
    return pytest.main(["--record", "-n", "0", "--dist", "no", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
