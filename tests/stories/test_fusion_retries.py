"""Retries and narrowed runs on dbt Fusion are successes only if their nodes were executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud import (
    DBTCloudRunFailed,
    get_dbt_cloud_run_results,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import Run
from tests.support.projects.flights import Flights, own_results, statuses
from tests.support.projects.fusion import create_database
from tests.support.projects.tiny import write_tiny

pytestmark = pytest.mark.fusion

BUILT = {"model.tiny.numbers", "model.tiny.doubled"}


class Tiny:
    """The tiny project on dbt Fusion, in which a test can fail.

    Args:
        cloud: The emulator that has the job.
        folder: The folder of the project.
        program: The program of dbt Fusion.
        step: The command of the job.
    """

    def __init__(
        self, cloud: DBTCloudEmulator, folder: Path, program: str, step: str = "dbt build"
    ) -> None:
        self.project = write_tiny(folder / "tiny")
        create_database(str(self.project / "tiny.duckdb"))
        self.job = cloud.create_job(
            "Tiny", execute_steps=[step], project_dir=self.project, dbt_executable=program
        )
        # a newer run prevents a retry by the API
        self._only_parse = {"steps_override": ["dbt parse"]}

    def write(self, model: str, sql: str) -> None:
        (self.project / "models" / f"{model}.sql").write_text(sql)

    def run(self) -> Run:
        return run_dbt_cloud_job(job_id=self.job)

    def outdate(self) -> None:
        run_dbt_cloud_job(job_id=self.job, data=self._only_parse)


@pytest.fixture
def tiny(cloud: DBTCloudEmulator, isolated: Path, fusion: str) -> Tiny:
    return Tiny(cloud, isolated, fusion)


def executed_ids(run_id: int | None) -> set[str]:
    return {each["unique_id"] for each in own_results(run_id)}


@pytest.mark.parametrize("is_outdated", [False, True])
def test_a_failing_test_is_an_error_until_it_passes(tiny: Tiny, is_outdated: bool) -> None:
    tiny.write("numbers", "select cast(null as int) as id")
    run = tiny.run()
    (failed,) = [each for each in own_results(run["id"]) if each["status"] == "fail"]
    if is_outdated:
        tiny.outdate()
    with pytest.raises(DBTCloudRunFailed) as caught:
        retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)
    assert failed["unique_id"] in executed_ids(caught.value.run_id)
    tiny.write("numbers", "select 1 as id")
    # the test alone would fail on the old table
    run_dbt_cloud_job(job_id=tiny.job, data={"steps_override": ["dbt run --select numbers"]})
    last = retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)
    assert failed["unique_id"] in executed_ids(last["id"])
    merged = get_dbt_cloud_run_results(run_id=last["id"])
    assert statuses(merged) == {"success": 2, "pass": 1}


@pytest.mark.parametrize(
    "sql", ["select * from {{ ref('no_such_model') }}", "select {% if %} 1 as id"]
)
@pytest.mark.parametrize("wait", [True, False])
def test_a_project_that_did_not_compile_is_built_whole_when_it_is_fixed(
    cloud: DBTCloudEmulator, tiny: Tiny, sql: str, wait: bool
) -> None:
    tiny.write("numbers", sql)
    run = tiny.run()
    assert run["is_error"]
    tiny.write("numbers", "select 1 as id")
    last = retry_dbt_cloud_run(run_id=run["id"], wait_for_outcome=wait)
    assert cloud.wait_for_run(last["id"])["is_success"]
    assert executed_ids(last["id"]) >= BUILT
    assert len(cloud.runs) == 2


def test_a_test_with_another_definition_is_run_by_the_whole_command(
    cloud: DBTCloudEmulator, tiny: Tiny
) -> None:
    schema = tiny.project / "models" / "schema.yml"
    text = schema.read_text()
    accepted = "accepted_values: {arguments: {values: [%s], quote: false}}"
    schema.write_text(text.replace("[not_null]", f"[{{{accepted % 7}}}]"))
    run = tiny.run()
    assert run["is_error"]
    # its unique id is another one then
    schema.write_text(text.replace("[not_null]", f"[{{{accepted % 1}}}]"))
    last = retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)
    assert statuses(own_results(last["id"])) == {"success": 2, "pass": 1}
    assert [each["is_success"] for each in cloud.runs] == [False, True, True]


def test_a_retry_of_models_runs_no_tests(
    cloud: DBTCloudEmulator, isolated: Path, fusion: str
) -> None:
    tiny = Tiny(cloud, isolated, fusion, step="dbt run")
    tiny.write("numbers", "select cast(null as int) as id, error('broken') as broken")
    run = tiny.run()
    assert run["is_error"]
    tiny.write("numbers", "select cast(null as int) as id")
    last = retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)
    assert executed_ids(last["id"]) == BUILT


@pytest.mark.parametrize("options", ["--exclude not_null_numbers_id", "--resource-type model"])
def test_a_retry_runs_no_tests_that_the_command_excludes(
    cloud: DBTCloudEmulator, isolated: Path, fusion: str, options: str
) -> None:
    tiny = Tiny(cloud, isolated, fusion, step=f"dbt build {options}")
    tiny.write("numbers", "select cast(null as int) as id, error('broken') as broken")
    run = tiny.run()
    assert run["is_error"]
    tiny.write("numbers", "select cast(null as int) as id")
    last = retry_dbt_cloud_run(run_id=run["id"], raise_on_failure=True)
    assert executed_ids(last["id"]) == BUILT


@pytest.mark.parametrize(
    "steps", [["dbt build"], ["dbt seed", "dbt run"], ["dbt build --exclude tag:history"]]
)
def test_a_narrowed_run_is_certain_on_dbt_fusion(
    cloud: DBTCloudEmulator, fusion_flights: Flights, steps: list[str]
) -> None:
    fusion_flights.load()
    job = fusion_flights.job(*steps)
    run_dbt_cloud_job(job_id=job, raise_on_failure=True)
    fusion_flights.load("airlines", "weather")
    run = run_dbt_cloud_job(
        job_id=job, pipeline=fusion_flights.pipeline, only_loaded=True, raise_on_failure=True
    )
    assert run["id"] == cloud.runs[1]["id"]
    assert len(cloud.runs) == 2
    assert len(executed_ids(run["id"])) > 3


def test_a_narrowed_run_that_selects_nothing_is_followed_by_all_of_the_job(
    cloud: DBTCloudEmulator, fusion_flights: Flights
) -> None:
    fusion_flights.load()
    job = fusion_flights.job()
    run_dbt_cloud_job(job_id=job, raise_on_failure=True)
    renamed = "landing"
    for file in (fusion_flights.project / "models").rglob("*"):
        if file.suffix in (".sql", ".yml"):
            text = file.read_text().replace('source("raw"', f'source("{renamed}"')
            text = text.replace("source('raw'", f"source('{renamed}'")
            file.write_text(text.replace("  - name: raw\n", f"  - name: {renamed}\n"))
    fusion_flights.load("airlines")
    run = run_dbt_cloud_job(
        job_id=job, pipeline=fusion_flights.pipeline, only_loaded=True, raise_on_failure=True
    )
    first, narrowed, whole = cloud.runs
    assert not own_results(narrowed["id"])
    assert run["id"] == whole["id"]
    assert executed_ids(whole["id"]) == executed_ids(first["id"])
