"""The pipeline of the data loads results, which are never taken for data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudException, dbt_cloud_results, loaded_tables, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import last_load
from tests.support.dbt.results import extracted, finished_run, nightly, rows
from tests.support.loading.loads import SharedLoads, load_tables, source_of

FAILED = "The last load of pipeline `shop` failed in step `extract`"


@dlt.resource
def broken() -> Iterator[dict[str, int]]:
    yield {"id": 2}
    raise ValueError("no more")


def loaded_runs(**options: Any) -> Any:
    """Return the source of results with the table of runs."""
    return dbt_cloud_results(**options).with_resources("dbt_runs")


def run_loads(**options: Any) -> Any:
    """Return the source of results with the table of the loads of runs."""
    return dbt_cloud_results(**options).with_resources("dbt_run_loads")


def fail_to_load(pipeline: dlt.Pipeline) -> None:
    with pytest.raises(PipelineStepFailed):
        pipeline.run(broken())


def load_and_fail(pipeline: dlt.Pipeline) -> None:
    load_tables(pipeline, "orders")
    fail_to_load(pipeline)


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded the table `airlines`."""
    return shared_loads.copy("flights", load_tables, "airlines")


@pytest.fixture
def failed(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline whose second load has failed."""
    return shared_loads.copy("shop", load_and_fail)


def assert_knows_failure(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, job: int) -> None:
    before = len(cloud.runs)
    with pytest.raises(DBTCloudException, match=FAILED):
        run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert len(cloud.runs) == before


def test_loads_of_results_do_not_hide_a_failed_load_until_data_is_loaded(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, failed: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    finished_run(cloud, job)
    # the source does not know the pipeline that will load it
    pipeline.activate()
    made_before = loaded_runs()
    failed.activate()
    failed.run(made_before)
    assert_knows_failure(cloud, failed, job)
    # now the trace of the first load of results is on disk
    made_after = loaded_runs()
    assert_knows_failure(cloud, failed, job)
    failed.run([], table_name="orders")
    failed.extract(made_after)
    assert run_dbt_cloud_job(job_id=job, pipeline=failed)["is_success"]


def test_a_failed_load_of_results_does_not_hide_a_failed_load_of_data(
    cloud: DBTCloudEmulator, failed: dlt.Pipeline
) -> None:
    with pytest.raises(PipelineStepFailed):
        failed.run(loaded_runs(run_id=1))
    assert_knows_failure(cloud, failed, nightly(cloud))


def test_a_single_table_of_results_does_not_hide_a_failed_load_of_data(
    cloud: DBTCloudEmulator, failed: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    finished_run(cloud, job)
    failed.extract(dbt_cloud_results().dbt_runs)
    assert_knows_failure(cloud, failed, job)


def test_a_load_without_results_hides_no_failed_load_also_in_another_process(
    cloud: DBTCloudEmulator, shared_loads: SharedLoads
) -> None:
    job = nightly(cloud)
    pipeline = shared_loads.copy("shop", fail_to_load)
    attach = partial(dlt.attach, "shop", pipelines_dir=pipeline.pipelines_dir)
    trace = Path(pipeline.working_dir) / "trace.pickle"
    # there are no results
    pipeline.run(loaded_runs())
    assert_knows_failure(cloud, pipeline, job)
    for _ in range(2):
        with pytest.raises(DBTCloudException, match=FAILED):
            run_dbt_cloud_job(job_id=job, pipeline=attach())
        # it is known without the trace as well
        trace.unlink(missing_ok=True)
    load_tables(pipeline, "orders")
    trace.unlink()
    assert run_dbt_cloud_job(job_id=job, pipeline=attach())["is_success"]


def test_a_load_of_results_is_not_the_last_load_and_joins_its_packages_with_the_run(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    orders = source_of("one", dlt.resource([{"id": 1}], name="orders"))
    users = source_of("two", dlt.resource([{"id": 1}, {"id": 2}], name="users"))
    job = nightly(cloud)
    pipeline.run([orders, users])
    before = pipeline.default_schema.version_hash
    load = last_load(pipeline)
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    pipeline.run(run_loads(run_id=run["id"]))
    assert last_load(pipeline) == load
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == run["id"]
    assert pipeline.default_schema_name == "one"
    assert pipeline.default_schema.version_hash == before
    query = (
        "SELECT run_id, pipeline_name, dataset_name, tables, loads.schema_name "
        "FROM dbt_run_loads JOIN _dlt_loads AS loads USING (load_id) ORDER BY loads.schema_name"
    )
    assert rows(pipeline, query) == [
        (run["id"], "shop", "raw", '{"orders":1}', "one"),
        (run["id"], "shop", "raw", '{"users":2}', "two"),
    ]
    # no row replaces these, as dlt has forgotten the row counts
    assert extracted(pipeline, run_loads(pipeline=pipeline))["dbt_run_loads"] == []


def test_loads_without_results_before_and_after_the_data_change_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run(loaded_runs())
    # data without a schema goes into the schema of the first load
    (load_id,) = pipeline.run([{"id": 1}], table_name="orders").loads_ids
    assert pipeline.default_schema_name == "dbt_cloud_results"
    assert loaded_tables(pipeline) == {"orders": 1}
    # the tables exist, so nothing is loaded
    assert pipeline.run(loaded_runs()).loads_ids == []
    assert [*loaded_tables(pipeline)] == ["orders"]
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    (row,) = extracted(pipeline, run_loads())["dbt_run_loads"]
    assert (row["run_id"], row["tables"]) == (run["id"], {"orders": None})
    assert row["load_id"] == load_id
    pipeline.extract(loaded_runs())
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == run["id"]


def test_a_failed_load_of_results_is_not_a_failed_load_of_data(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    # a table without its source goes into the schema of the data
    for results in (loaded_runs(run_id=7).resources["dbt_runs"], loaded_runs(run_id=7)):
        with pytest.raises(PipelineStepFailed):
            copy.run(results)
        run = run_dbt_cloud_job(job_id=job, pipeline=copy)
        assert run["is_success"]
    assert len(cloud.runs) == 1
    assert [*loaded_tables(copy)] == ["airlines"]
    (row,) = extracted(copy, run_loads())["dbt_run_loads"]
    assert (row["run_id"], row["tables"]) == (run["id"], {"airlines": None})
    # a load of data and results is a load of data
    with pytest.raises(PipelineStepFailed):
        copy.run([broken(), loaded_runs()])
    with pytest.raises(DBTCloudException, match="`flights` failed in step `extract`"):
        run_dbt_cloud_job(job_id=job, pipeline=copy)


def test_a_load_is_joined_with_an_adopted_run(cloud: DBTCloudEmulator, copy: dlt.Pipeline) -> None:
    job = nightly(cloud, duration=None)
    first = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    queued = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    options: Any = {"pipeline": copy, "reuse_queued_run": True, "wait_for_outcome": False}
    assert run_dbt_cloud_job(job_id=job, **options)["id"] == queued["id"]
    for run in (first, queued):
        cloud.finish_run(run["id"])
    load = last_load(copy)
    (row,) = extracted(copy, run_loads(job_id=job))["dbt_run_loads"]
    assert (row["run_id"], row["tables"]) == (queued["id"], {"airlines": 1})
    assert load
    assert row["load_id"] == load.load_id


def test_a_single_table_of_results_is_not_data(cloud: DBTCloudEmulator, copy: dlt.Pipeline) -> None:
    job = nightly(cloud)
    run = run_dbt_cloud_job(job_id=job, pipeline=copy)
    # a resource without its source goes into the schema of the data
    copy.run(dbt_cloud_results(job_id=job).dbt_runs)
    assert "dbt_runs" in copy.default_schema.tables
    assert [*loaded_tables(copy)] == ["airlines"]
    assert run_dbt_cloud_job(job_id=job, pipeline=copy)["id"] == run["id"]
