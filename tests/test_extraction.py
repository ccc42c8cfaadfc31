"""No run is lost, and none keeps others back, whatever goes wrong while runs are read."""

from __future__ import annotations

import threading
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudClientV2, dbt_cloud_results
from dlt_dbtcloud.columns import TABLES
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.extraction import Extraction
from dlt_dbtcloud.listing import one_run
from tests.clock import FakeClock, until
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
        ),
        cause=secret,
        steps_override=[step],
        git_branch=cloud.api_token,
    )
    pipeline.run(dbt_cloud_results(run_id=run_id))
    for table in ("dbt_runs", "dbt_run_steps", "dbt_node_results"):
        told = str(rows(pipeline, f"SELECT * FROM {table}"))
        assert "hunter2" not in told
        assert cloud.api_token not in told
    hidden = [("could not connect to postgres://u:***@db with ***",)]
    assert rows(pipeline, "SELECT message FROM dbt_node_results") == hidden
    assert rows(pipeline, "SELECT cause FROM dbt_runs") == hidden


@pytest.mark.parametrize(
    ("artifacts", "tables", "words"),
    [
        ({}, 0, "there is no `run_results.json` of step 4"),
        ({"run_results.json": RUN_RESULTS}, 2, "there is no `manifest.json` of step 4"),
        ({**FILES, "manifest.json": b"[1, 2]"}, 2, "`manifest.json` of step 4 cannot be read"),
        ({**FILES, "manifest.json": b"<html></html>"}, 2, "`manifest.json` of step 4 cannot be"),
        ({**FILES, "manifest.json": {"nodes": [1]}}, 2, "its manifest contains no nodes"),
        ({**FILES, "run_results.json": b"{"}, 0, "`run_results.json` of step 4 cannot be read"),
        (
            {**FILES, "run_results.json": {"results": [{"execution_time": "long"}]}},
            0,
            "has `unique_id`, `execution_time` that are not",
        ),
        (
            {
                **FILES,
                "manifest.json": {**MANIFEST, "metadata": {"dbt_schema_version": "x/v99.json"}},
            },
            2,
            "of version 99, which is not known",
        ),
    ],
)
def test_what_is_missing_or_foreign_is_said_once_and_the_rest_is_read(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    artifacts: dict[str, Any],
    tables: int,
    words: str,
) -> None:
    run_id = ended_run(nightly(cloud, artifacts=artifacts))
    (new,) = one_run(client, str(run_id), TABLES)
    read = Extraction(client, [new], clock=FakeClock()).read(new)
    assert len(read["dbt_run_steps"]) == 4
    assert len(read["dbt_node_results"]) == tables
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert words in warning
