"""No run is lost or delays others, whatever fails while runs are read."""

from __future__ import annotations

import gc
import threading
from typing import Any

import dlt
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudServerError, dbt_cloud_results
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.source.extract import Extraction, UnreadRuns
from dlt_dbtcloud.source.incremental import NewRun, one_run
from dlt_dbtcloud.source.schema import TABLES, Row
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked, until
from tests.support.dbt.results import (
    FILES,
    RUN_RESULTS,
    extracted,
    finished_run,
    nightly,
    quick_results,
    requested_files,
)
from tests.support.processes.threads import in_background

RESULT: dict[str, Any] = RUN_RESULTS["results"][0]
ID = RESULT["unique_id"]


ONE_RUN: list[tuple[Any, int]] = [("cut", 0), ("html", 200), ("html", 404)]
SIX_RUNS: list[tuple[Any, int]] = [("rate_limit", 429)]


@pytest.mark.parametrize(("number", "faults"), [(1, ONE_RUN), (6, SIX_RUNS)])
def test_a_lasting_outage_is_an_error_and_loses_no_run_and_leaves_no_connection_open(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, number: int, faults: list[tuple[Any, int]]
) -> None:
    job = nightly(cloud)
    for _ in range(number):
        finished_run(cloud, job)
    for fault, status in faults:
        for route in ("get_artifact", "get_run"):
            cloud.fail(route, fault, status=status, calls=None, when="before", retry_after=120)
        with pytest.raises(ResourceExtractionError, match=r"run_results\.json"):
            extracted(pipeline)
        cloud.heal()
    # the error refers to the responses
    gc.collect()
    until(lambda: not connections())
    assert len(extracted(pipeline)["dbt_node_results"]) == 2 * number


def test_a_load_that_fails_is_repeated_by_the_next_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    cloud.fail("get_artifact", "status", calls=None, when="before")
    cloud.fail("get_run", "status", calls=None, when="before")
    with pytest.raises(PipelineStepFailed, match=r"run_results\.json"):
        pipeline.run(quick_results().with_resources("dbt_node_results"))
    cloud.heal()
    found = extracted(pipeline, quick_results().with_resources("dbt_node_results"))
    assert [row["run_id"] for row in found["dbt_node_results"]] == [run_id] * 2


def test_five_unreadable_runs_in_a_row_end_the_extraction() -> None:
    unread = UnreadRuns(retried=["0"])
    runs = [NewRun(Run(id=i), frozenset(TABLES)) for i in range(10)]
    error = DBTCloudServerError("GET", "https://dbt.example.com", 503, "It is down.")
    # one that an earlier load could not read either does not count
    for new in runs[:5]:
        unread.record_failure(new, [], error)
    with pytest.raises(DBTCloudServerError):
        unread.raise_if_outage()
    unread.record_success()
    # only too many unreadable runs in a row are an outage from now on
    unread.raise_if_outage()
    for new in runs[5:9]:
        unread.record_failure(new, [], error)
    with pytest.raises(DBTCloudServerError):
        unread.record_failure(runs[9], [], error)


def test_a_worker_that_outlives_the_extraction_leaves_no_connection_open(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    new = one_run(client, str(finished_run(cloud, nightly(cloud))), TABLES)
    rows = Extraction(client, new).rows([*TABLES])
    next(rows)
    read = next(rows)
    # as dlt does after an error
    rows.close()
    client.close()
    assert len(read()["dbt_node_results"]) == 2
    until(lambda: not connections())


def connections() -> list[str]:
    """Return the names of the embedded dbt Cloud's threads, one per connection."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if "process_request_thread" in name]


def test_an_unreadable_run_does_not_delay_the_others(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = nightly(cloud)
    runs = [finished_run(cloud, job) for _ in range(3)]
    cloud.fail("get_artifact", "status", calls=None, when="before", run_id=runs[1])
    assert runs_with_results(extracted(pipeline)) == {runs[0], runs[2]}
    assert f"Run {runs[1]} (Success) cannot be read completely" in caplog.text
    assert "the next load reads it again" in caplog.text
    # it is the only new run now
    assert runs_with_results(extracted(pipeline)) == set()
    later = finished_run(cloud, job)
    assert runs_with_results(extracted(pipeline)) == {later}
    cloud.heal()
    assert runs_with_results(extracted(pipeline, dbt_cloud_results())) == {runs[1]}
    before = len(cloud.requests)
    assert not any(extracted(pipeline, dbt_cloud_results()).values())
    assert len(cloud.requests) == before + 1


def runs_with_results(tables: dict[str, list[Row]]) -> set[int]:
    return {row["run_id"] for row in tables["dbt_node_results"]}


def test_a_single_unreadable_run_does_not_fail_every_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    faults: list[Any] = ["cut", "html"]
    for fault in faults:
        broken = finished_run(cloud, job)
        cloud.fail("get_artifact", fault, calls=None, when="before", run_id=broken)
        before = len(cloud.requests)
        assert [row["run_id"] for row in extracted(pipeline)["dbt_runs"]] == [broken]
        # dbt Cloud returns the run itself, so this is not an outage
        asked = [request.path for request in cloud.requests[before:]]
        assert [path for path in asked if "/artifacts/" not in path][1:] == [
            f"/api/v2/accounts/{cloud.account_id}/runs/{broken}/"
        ]
        cloud.heal()
        assert runs_with_results(extracted(pipeline)) == {broken}


@pytest.mark.parametrize(("earlier", "at_once"), [(0, 2), (1, 1)])
def test_two_unreadable_runs_are_an_outage(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, earlier: int, at_once: int
) -> None:
    job = nightly(cloud)
    cloud.fail("get_artifact", "status", calls=None, when="before")
    for _ in range(earlier):
        finished_run(cloud, job)
        extracted(pipeline)
    for _ in range(at_once):
        finished_run(cloud, job)
    before = pipeline.state
    with pytest.raises(ResourceExtractionError, match=r"run_results\.json"):
        extracted(pipeline)
    # so no number of loads gives the runs up
    assert pipeline.state == before
    cloud.heal()
    assert len(extracted(pipeline)["dbt_node_results"]) == 4


def test_an_error_that_no_run_can_cause_fails_the_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    finished_run(cloud, nightly(cloud))
    kinds: list[Any] = ["status", "rate_limit"]
    for kind in kinds:
        cloud.fail("get_artifact", kind, status=401, calls=None, when="before")
        with pytest.raises(ResourceExtractionError, match=r"401|429"):
            extracted(pipeline)
        cloud.heal()
    assert len(extracted(pipeline)["dbt_node_results"]) == 2


def test_a_run_loaded_by_its_id_must_be_readable(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    cloud.fail("get_artifact", "status", calls=None, when="before")
    with pytest.raises(ResourceExtractionError, match=r"run_results\.json"):
        extracted(pipeline, quick_results(run_id))


def test_missing_artifacts_show_that_the_api_is_up_and_runs_without_any_do_not(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job, deps = nightly(cloud), nightly(cloud, execute_steps=["dbt deps"])
    runs = [finished_run(cloud, each) for each in (job, job, deps)]
    cloud.fail("get_artifact", "status", calls=None, when="before")
    with pytest.raises(ResourceExtractionError, match=r"run_results\.json"):
        extracted(pipeline)
    cloud.heal()
    for broken in runs[:2]:
        cloud.fail("get_artifact", "status", calls=None, when="before", run_id=broken)
    # the API is up, as it responds that there are none
    finished_run(cloud, nightly(cloud, artifacts={}))
    assert len(extracted(pipeline)["dbt_runs"]) == 4


def test_a_source_can_be_iterated_without_a_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    assert len([*dbt_cloud_results(run_id=run_id).dbt_nodes]) == 4


def test_a_token_without_access_to_the_job_loads_its_runs(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    finished_run(cloud, job)
    cloud.fail("get_job", "status", status=403, when="before")
    source = dbt_cloud_results(job_id=job).with_resources("dbt_runs")
    assert len(extracted(pipeline, source)["dbt_runs"]) == 1


def test_runs_are_read_in_parallel(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    job = nightly(cloud)
    runs = [finished_run(cloud, job) for _ in range(3)]
    cloud.fail("get_artifact", "hang", seconds=3600, calls=None, run_id=runs[0], when="before")
    loading = in_background(lambda: extracted(pipeline, dbt_cloud_results()))
    until(lambda: requested_files(cloud).count("manifest.json") == 2)
    cloud.heal()
    assert len(loading.result()["dbt_node_results"]) == 6


def test_secrets_stay_out_of_the_warehouse(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    secret = f"could not connect to postgres://u:hunter2@db with {cloud.api_token}"
    result = {
        **RESULT,
        "message": secret,
        "adapter_response": {"_message": secret, "more": [{"so": secret}]},
    }
    step = "dbt run --vars '{password: hunter2}'"
    run_id = finished_run(
        cloud,
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
    tables = ("dbt_runs", "dbt_run_steps", "dbt_node_results")
    found = extracted(pipeline, quick_results(run_id).with_resources(*tables))
    for table in tables:
        assert "hunter2" not in str(found[table])
        assert cloud.api_token not in str(found[table])
    hidden = "could not connect to postgres://u:***@db with ***"
    assert [row["message"] for row in found["dbt_node_results"]] == [hidden]
    assert [row["cause"] for row in found["dbt_runs"]] == [hidden]


def test_artifacts_of_an_old_run_are_not_waited_for_in_a_later_load(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = finished_run(cloud, nightly(cloud, artifacts={}))
    new = NewRun(Run(id=run_id, is_complete=True), frozenset(TABLES))
    tomorrow = FakeClock()
    tomorrow.now = 86400.0
    Extraction(clocked(client, tomorrow), [new]).read_run(new)
    # only the rate limit sleeps
    assert sum(tomorrow.sleeps) < 1
    (warning,) = [each.message for each in caplog.records]
    assert f"Run {run_id} (Success) cannot be" in warning
    assert warning.endswith(f"/runs/{run_id}/")


def test_the_warning_on_a_deleted_run_contains_its_id(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    new = NewRun(Run(id=7, is_complete=True), frozenset(TABLES))
    Extraction(clocked(client, FakeClock()), [new]).read_run(new)
    (warning,) = [each.message for each in caplog.records]
    assert warning.startswith("Run 7 cannot be")


@pytest.mark.parametrize(
    ("results", "manifest", "tables", "warnings"),
    [
        (RUN_RESULTS, None, 2, ["there is no `manifest.json` of step 4"]),
        (
            b"{",
            b"[1, 2]",
            0,
            [
                "`run_results.json` of step 4 cannot be read",
                "`manifest.json` of step 4 cannot be read",
            ],
        ),
        (
            {"results": [{"execution_time": "long"}]},
            {"nodes": [1]},
            0,
            [
                "`run_results.json` of step 4 has `$.results[0].execution_time` of an unexpected",
                "its manifest contains no nodes",
            ],
        ),
        (
            {"results": [*RUN_RESULTS["results"], {"unique_id": ID, "status": 5}]},
            b"<html></html>",
            2,
            [
                f"`run_results.json` of step 4 has `$.results[2].status` of `{ID}` of an unexp",
                "`manifest.json` of step 4 cannot be read",
            ],
        ),
    ],
)
def test_one_warning_names_missing_and_foreign_files_and_others_are_read(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    results: Any,
    manifest: Any,
    tables: int,
    warnings: list[str],
) -> None:
    artifacts = {"run_results.json": results, **({"manifest.json": manifest} if manifest else {})}
    run_id = finished_run(cloud, nightly(cloud, artifacts=artifacts))
    (new,) = one_run(client, str(run_id), TABLES)
    read = Extraction(clocked(client, FakeClock()), [new]).read_run(new)
    assert len(read["dbt_run_steps"]) == 4
    assert len(read["dbt_node_results"]) == tables
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert_names(warning, warnings)


def assert_names(warning: str, parts: list[str]) -> None:
    """Assert that a warning consists of one part for each file, in any order."""
    found = warning.partition(" cannot be read completely: ")[2].split("; ")
    assert len(found) == len(parts)
    assert not [part for part in parts if not any(part in each for each in found)]


@pytest.mark.parametrize(
    "files",
    [
        {
            "sources.json": ({}, "`sources.json` of step 4 has `$.results` of an unexp"),
            "run_results.json": (
                {},
                "`run_results.json` of step 5 has `$.results` of an unexpected type",
            ),
            "manifest.json": ({}, "its manifest contains no nodes"),
            "catalog.json": ({}, "its catalog contains no nodes"),
        },
        {
            "sources.json": (
                {"hello": 1},
                "`sources.json` of step 4 has `$.results` of an unexpected type",
            ),
            "run_results.json": (
                {"results": [{"unique_id": ID, "status": None}]},
                f"has `$.results[0].status` of `{ID}` of an unexpected type",
            ),
            "manifest.json": (
                {"nodes": {"a": 1}},
                'its manifest has `$.nodes["a"]` of an unexpected type',
            ),
            "catalog.json": ({"hello": 1}, "its catalog contains no nodes"),
        },
        {
            "sources.json": (
                {"results": [{"a": 1}]},
                "has `$.results[0].unique_id` of an unexpected type",
            ),
            "manifest.json": (
                {"nodes": {}, "sources": [1], "exposures": {"a": 1}},
                'its manifest has `$.exposures["a"]`, `$.sources` of an unexpected type',
            ),
            "catalog.json": (
                {"nodes": {ID: 1}},
                f'its catalog has `$.nodes["{ID}"]` of an unexpected type',
            ),
        },
        {
            "sources.json": (
                {"results": [{"unique_id": ID, "status": 5, "execution_time": "long"}]},
                f"`sources.json` of step 4 has `$.results[0].status` of `{ID}` of an unexp",
            ),
        },
    ],
)
def test_foreign_files_are_named_and_give_no_rows_without_ids(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, tuple[Any, str]],
) -> None:
    catalog: Any = {"nodes": {}, "sources": {}}
    foreign = {name: content for name, (content, _) in files.items()}
    artifacts = {**FILES, "catalog.json": catalog, **foreign}
    job = nightly(cloud, artifacts=artifacts, run_generate_sources=True, generate_docs=True)
    run_id = finished_run(cloud, job)
    (new,) = one_run(client, str(run_id), TABLES)
    read = Extraction(clocked(client, FakeClock()), [new]).read_run(new)
    found = [*read["dbt_source_freshness"], *read["dbt_node_results"]]
    assert "None" not in [row[column] for row in found for column in ("unique_id", "status")]
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert_names(warning, [part for _, part in files.values()])


def test_dbts_own_files_give_no_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    artifacts = {**FILES, "catalog.json": {"nodes": {}, "sources": {}}}
    job = nightly(cloud, artifacts=artifacts, run_generate_sources=True, generate_docs=True)
    (new,) = one_run(client, str(finished_run(cloud, job)), TABLES)
    read = Extraction(clocked(client, FakeClock()), [new]).read_run(new)
    assert len(read["dbt_source_freshness"]) == 1
    assert caplog.records == []


def test_a_batch_has_the_rows_of_many_small_runs(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    (new,) = one_run(client, str(finished_run(cloud, nightly(cloud))), TABLES)
    new = NewRun(new.run, frozenset({"dbt_run_steps"}))
    runs = iter([new] * 52)
    extraction = Extraction(clocked(client, FakeClock()), [new] * 52)
    batches = [extraction.read_batch(runs) for _ in range(2)]
    assert [len(batch.runs) for batch in batches] == [50, 2]
    assert [len(batch.rows["dbt_run_steps"]) for batch in batches] == [4 * 50, 4 * 2]
