"""No run is lost, and none keeps others back, whatever goes wrong while runs are read."""

from __future__ import annotations

import threading
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.clock import until
from tests.results import (
    FILES,
    MANIFEST,
    RUN_RESULTS,
    counts,
    ended_run,
    files_asked_for,
    load_quickly,
    nightly,
    rows,
)

RESULT: dict[str, Any] = RUN_RESULTS["results"][0]


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    destination = dlt.destinations.duckdb("shop.duckdb")
    return dlt.pipeline("shop", destination=destination, dataset_name="raw")


@pytest.mark.parametrize(
    ("fault", "number"), [("status", 1), ("rate_limit", 7), ("cut", 1), ("html", 7)]
)
def test_an_outage_that_lasts_is_an_error_and_loses_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, fault: Any, number: int
) -> None:
    job = nightly(cloud)
    for _ in range(number):
        ended_run(job)
    cloud.fail("get_artifact", fault, calls=None, when="before", retry_after=120)
    with pytest.raises(PipelineStepFailed, match=r"run_results\.json"):
        load_quickly(pipeline)
    cloud.heal()
    load_quickly(pipeline)
    assert counts(pipeline)["dbt_node_results"] == 2 * number


def test_a_token_that_expires_meanwhile_loses_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    ended_run(nightly(cloud))
    cloud.fail("get_artifact", "status", status=401, calls=None, when="before")
    with pytest.raises(PipelineStepFailed, match="401"):
        load_quickly(pipeline)
    cloud.heal()
    load_quickly(pipeline)
    assert counts(pipeline)["dbt_node_results"] == 2


def test_a_run_that_cannot_be_read_does_not_keep_the_others_back(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = nightly(cloud)
    runs = [ended_run(job) for _ in range(3)]
    cloud.fail("get_artifact", "status", calls=None, when="before", run_id=runs[1])
    load_quickly(pipeline)
    query = "SELECT DISTINCT run_id FROM dbt_node_results ORDER BY 1"
    assert rows(pipeline, query) == [(runs[0],), (runs[2],)]
    assert f"Run {runs[1]} (Success) cannot be loaded completely" in caplog.text
    assert "the next load reads it again" in caplog.text
    # and again, when it is the only one
    load_quickly(pipeline)
    cloud.heal()
    pipeline.run(dbt_cloud_results())
    assert rows(pipeline, query) == [(run_id,) for run_id in runs]
    before = len(cloud.requests)
    pipeline.run(dbt_cloud_results())
    assert len(cloud.requests) == before + 1


def test_runs_that_have_no_artifacts_tell_nothing_of_an_outage(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job, deps = nightly(cloud), nightly(cloud, execute_steps=["dbt deps"])
    for _ in range(3):
        ended_run(job)
        ended_run(deps)
    cloud.fail("get_artifact", "status", calls=None, when="before")
    with pytest.raises(PipelineStepFailed, match=r"run_results\.json"):
        load_quickly(pipeline)


def test_a_source_can_be_looked_at_without_a_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = ended_run(nightly(cloud))
    assert len([*dbt_cloud_results(run_id=run_id).dbt_nodes]) == 4


def test_a_token_that_may_not_read_the_job_reads_its_runs(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    ended_run(job)
    cloud.fail("get_job", "status", status=403, when="before")
    pipeline.run(dbt_cloud_results(job_id=job).with_resources("dbt_runs"))
    assert rows(pipeline, "SELECT count(*) FROM dbt_runs") == [(1,)]


def test_runs_are_read_at_the_same_time(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    job = nightly(cloud)
    runs = [ended_run(job) for _ in range(3)]
    cloud.fail("get_artifact", "hang", seconds=60, calls=None, run_id=runs[0], when="before")
    loading = threading.Thread(target=pipeline.run, args=[dbt_cloud_results()])
    loading.start()
    until(lambda: files_asked_for(cloud).count("manifest.json") == 2)
    cloud.heal()
    loading.join()
    assert counts(pipeline)["dbt_node_results"] == 6


def test_a_manifest_is_read_where_results_are_foreign(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = ended_run(nightly(cloud, artifacts={**FILES, "run_results.json": b"<html>"}))
    load_quickly(pipeline, run_id=run_id)
    found = counts(pipeline)
    assert (found["dbt_node_results"], found["dbt_nodes"], found["dbt_node_parents"]) == (0, 4, 3)


def test_what_only_python_reads_as_json_is_read(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    results = b'{"results": [{"unique_id": "model.shop.a", "status": "success", "message": "\\ud800'
    results += b'\xff", "adapter_response": {"rows_affected": NaN, "bytes_processed": 1e30}}]}'
    run_id = ended_run(nightly(cloud, artifacts={**FILES, "run_results.json": results}))
    load_quickly(pipeline, run_id=run_id)
    told = rows(pipeline, "SELECT message, rows_affected, bytes_processed FROM dbt_node_results")
    assert told == [("?\ufffd", None, None)]


@pytest.mark.parametrize("number", [2**63, -(10**30), 1e300, True, "7"])
def test_a_number_that_no_column_holds_is_left_out(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, number: Any
) -> None:
    result = {**RESULT, "adapter_response": {"rows_affected": number}}
    results = {"results": [result]}
    ended_run(nightly(cloud, artifacts={**FILES, "run_results.json": results}))
    pipeline.run(dbt_cloud_results())
    assert rows(pipeline, "SELECT rows_affected FROM dbt_node_results") == [(None,)]


def test_secrets_stay_out_of_the_warehouse(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    secret = f"could not connect to postgres://u:hunter2@db with {cloud.api_token}"
    result = {
        **RESULT,
        "message": secret,
        "adapter_response": {"_message": secret, "more": [{"so": secret}]},
    }
    step = "dbt run --vars '{password: hunter2}'"
    run_id = ended_run(
        nightly(
            cloud,
            execute_steps=[step],
            outcome="error",
            artifacts={**FILES, "run_results.json": {"results": [result]}},
        )
    )
    pipeline.run(dbt_cloud_results(run_id=run_id))
    for table in ("dbt_runs", "dbt_run_steps", "dbt_node_results"):
        told = str(rows(pipeline, f"SELECT * FROM {table}"))
        assert "hunter2" not in told
        assert cloud.api_token not in told
    assert rows(pipeline, "SELECT message FROM dbt_node_results") == [
        ("could not connect to postgres://u:***@db with ***",)
    ]


def test_the_schema_of_a_pull_request_is_no_content(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    nodes: Any = MANIFEST["nodes"]
    for schema in ("dbt_cloud_pr_1", "dbt_cloud_pr_2"):
        model = {
            **nodes["model.shop.orders"],
            "schema": schema,
            "relation_name": f"{schema}.orders",
        }
        manifest = {**MANIFEST, "nodes": {**nodes, "model.shop.orders": model}}
        job = nightly(cloud, artifacts={**FILES, "manifest.json": manifest})
        run_dbt_cloud_job(job_id=job, data={"schema_override": schema})
    pipeline.run(dbt_cloud_results())
    told = rows(
        pipeline,
        "SELECT resource_type, schema, relation_name FROM dbt_nodes WHERE name = 'orders' "
        "ORDER BY resource_type",
    )
    assert told == [("model", None, None), ("source", "raw", None)]
