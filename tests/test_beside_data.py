"""What dbt did goes through the pipeline of the data, and never takes the data's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudException, dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.results import ended_run, nightly

FAILED = "The last load of pipeline `shop` failed in step `extract`"


@dlt.resource
def broken() -> Iterator[dict[str, int]]:
    yield {"id": 2}
    raise ValueError("no more")


def fail_to_load(pipeline: dlt.Pipeline) -> None:
    with pytest.raises(PipelineStepFailed):
        pipeline.run(broken())


@pytest.mark.parametrize("results", ["rows", "none", "a failure"])
def test_a_load_of_results_does_not_hide_that_the_data_failed(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, results: str
) -> None:
    job = nightly(cloud)
    pipeline.run([{"id": 1}], table_name="orders")
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    if results == "none":
        pipeline.run(dbt_cloud_results())
    fail_to_load(pipeline)
    for _ in range(2):
        with suppress(PipelineStepFailed):
            pipeline.run(dbt_cloud_results(run_id=1 if results == "a failure" else None))
        with pytest.raises(DBTCloudException, match=FAILED):
            run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    pipeline.run([{"id": 2}], table_name="orders")
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] != run["id"]


def test_another_process_knows_that_the_data_failed(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    fail_to_load(pipeline)
    again = dlt.attach("shop")
    again.run(dbt_cloud_results())
    with pytest.raises(DBTCloudException, match=FAILED):
        run_dbt_cloud_job(job_id=nightly(cloud), pipeline=dlt.attach("shop"))


def test_data_that_was_made_good_without_rows_is_good(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    ended_run(job)
    pipeline.run([{"id": 1}], table_name="orders")
    fail_to_load(pipeline)
    pipeline.run(dbt_cloud_results())
    pipeline.run([], table_name="orders")
    pipeline.run(dbt_cloud_results())
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["is_success"]
