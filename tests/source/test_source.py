"""Results are loaded once, and completely if they can be read."""

from __future__ import annotations

import pickle
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.pipeline import LoadInfo
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import (
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    dbt_cloud_results,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.source.schema import DLT_COLUMNS, KEYS, TABLES, Row
from tests.support.dbt.results import (
    FILES,
    MANIFEST,
    counts,
    extracted,
    finished_run,
    nightly,
    quick_results,
    requested_files,
    rows,
    sizes,
)
from tests.support.loading.warehouse import new_pipeline, warehouse


def test_a_run_fills_every_table_once_and_dlt_keeps_no_token(
    cloud: DBTCloudEmulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = nightly(cloud, run_generate_sources=True)
    older, newer = finished_run(cloud, job), finished_run(cloud, job)
    pipeline = new_pipeline("shop", warehouse("shop.duckdb"))
    info = pipeline.run(dbt_cloud_results(run_id=newer))
    assert_no_token(cloud.api_token, tmp_path, info, pipeline)
    assert_has_columns(pipeline)
    assert "arrow" not in caplog.text
    shared = {"dbt_nodes": 4, "dbt_node_parents": 3, "dbt_run_loads": 0}
    of_run = {"dbt_runs": 1, "dbt_run_steps": 5, "dbt_node_results": 2, "dbt_source_freshness": 1}
    assert counts(pipeline) == {**shared, **of_run}
    columns = rows(pipeline, "SELECT table_name, column_name FROM information_schema.columns")
    assert {*columns} >= {(table, name) for table in TABLES for name in TABLES[table]}
    assert_values(pipeline, newer)
    stored = {
        table: {*rows(pipeline, f"SELECT {', '.join(KEYS[table])} FROM {table}")}
        for table in TABLES
    }
    again = extracted(pipeline, dbt_cloud_results(run_id=str(newer)))
    assert sizes(again) == of_run
    # the rows replace those of the same keys
    for table, found in again.items():
        assert keys(table, found) <= stored[table]
    # rows that another pipeline has loaded are merged, too
    other = new_pipeline("other", pipeline.destination)
    earlier = extracted(other, dbt_cloud_results(run_id=older))
    for table, found in earlier.items():
        if table in of_run:
            assert len(found) == of_run[table]
            assert keys(table, found).isdisjoint(stored[table])
        else:
            assert keys(table, found) == stored[table]
            assert {(row["first_run_id"], row["last_run_id"]) for row in found} <= {(older, newer)}


def keys(table: str, found: list[Row]) -> set[tuple[Any, ...]]:
    """Return the keys of the rows of a table."""
    return {tuple(row[name] for name in KEYS[table]) for row in found}


def assert_has_columns(pipeline: dlt.Pipeline) -> None:
    """Assert that dlt's schema has all columns of all tables."""
    schema = pipeline.schemas["dbt_cloud_results"]
    for table, columns in TABLES.items():
        found = schema.get_table_columns(table)
        assert {*found} == {*columns, *DLT_COLUMNS}
        for name, column in columns.items():
            assert found[name]["description"] == column["description"]
            assert found[name]["data_type"] == column["data_type"]
            assert found[name]["nullable"] == column["nullable"]
            assert bool(found[name].get("primary_key")) == (name in KEYS[table])


def assert_values(pipeline: dlt.Pipeline, run_id: int) -> None:
    """Assert the values of the loaded rows of a run."""
    (result,) = rows(pipeline, "SELECT * EXCLUDE (_dlt_load_id, _dlt_id) FROM dbt_source_freshness")
    assert result[:5] == (run_id, 4, "source.shop.raw.orders", "warn", None)
    (times,) = rows(
        pipeline,
        "SELECT completed_at - started_at, rows_affected, bytes_processed, "
        "adapter_response->>'rows_affected' FROM dbt_node_results WHERE name = 'orders'",
    )
    assert times == (timedelta(seconds=1.5), 7, 80, "7")
    (node,) = rows(
        pipeline,
        "SELECT materialized, tags->>0, columns->0->>'description', first_run_id, last_run_id "
        "FROM dbt_nodes WHERE unique_id = 'model.shop.orders'",
    )
    assert node == ("table", "nightly", "An order.", run_id, run_id)
    ((owners,),) = rows(pipeline, "SELECT owners FROM dbt_nodes WHERE name = 'board'")
    assert owners == '["board@example.com"]'


def assert_no_token(token: str, folder: Path, info: LoadInfo, pipeline: dlt.Pipeline) -> None:
    """Assert that neither dlt's files and database nor its objects contain the token."""
    kept_by_dlt = pickle.dumps((info, pipeline.last_trace, pipeline.state))
    assert token.encode() not in kept_by_dlt
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert Path("shop.duckdb").resolve() in kept
    assert not [path for path in kept if token.encode() in path.read_bytes()]


def test_empty_tables_are_created_with_all_columns_once(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    assert created_tables(pipeline, *TABLES) == {*TABLES}
    pipeline.normalize()
    assert_has_columns(pipeline)
    assert created_tables(pipeline, "dbt_node_parents", "dbt_run_loads") == set()


def created_tables(pipeline: dlt.Pipeline, *tables: str) -> set[str]:
    """Return which tables dlt is to create or fill after an extraction."""
    (load_id,) = pipeline.extract(quick_results().with_resources(*tables)).loads_ids
    files = pipeline.get_load_package_info(load_id).jobs["new_jobs"]
    return {file.job_file_info.table_name for file in files}


def test_a_database_that_outlives_an_emulator_has_the_runs_of_the_next(
    pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_runs: list[tuple[Any, ...]] = []
    for _ in range(2):
        with DBTCloudEmulator() as cloud:
            for name, value in cloud.environment().items():
                monkeypatch.setenv(name, value)
            source = quick_results(finished_run(cloud, nightly(cloud)))
            for table, found in extracted(pipeline, source).items():
                if "run_id" in KEYS[table]:
                    of_runs += [(table, *key) for key in keys(table, found)]
    assert len({*of_runs}) == len(of_runs) == 2 * (1 + 4 + 2)


def test_a_node_has_one_row_per_content(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    first, second = (nightly(cloud, artifacts=files(text)) for text in ("one", "two"))
    runs = [finished_run(cloud, job) for job in (first, first, second, first)]
    found = extracted(pipeline)["dbt_nodes"]
    assert {
        (row["description"], row["first_run_id"], row["last_run_id"])
        for row in found
        if row["unique_id"] == "model.shop.orders"
    } == {("one", runs[0], runs[3]), ("two", runs[2], runs[2])}


def files(description: str) -> dict[str, Any]:
    nodes: Any = MANIFEST["nodes"]
    changed = {**nodes["model.shop.orders"], "description": description}
    manifest = {**MANIFEST, "nodes": {**nodes, "model.shop.orders": changed}}
    return {**FILES, "manifest.json": manifest}


def test_a_single_table_requests_only_the_files_it_needs(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    finished_run(cloud, nightly(cloud, run_generate_sources=True))
    needed = {
        ("dbt_runs", "dbt_run_loads", "dbt_run_steps"): [],
        ("dbt_source_freshness",): ["sources.json"],
        ("dbt_node_parents",): ["manifest.json", "run_results.json"],
        ("dbt_nodes",): ["manifest.json", "run_results.json"],
        ("dbt_node_results",): ["manifest.json", "run_results.json"],
    }
    for tables, files in needed.items():
        before = len(requested_files(cloud))
        found = extracted(pipeline, quick_results().with_resources(*tables))
        assert sorted(requested_files(cloud)[before:]) == files, tables
        assert {table for table, rows in found.items() if rows} == {*tables} - {"dbt_run_loads"}


def test_a_file_is_requested_once_for_all_tables(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    steps = ["dbt seed", "dbt run", "dbt test"]
    job = nightly(cloud, execute_steps=steps, run_generate_sources=True)
    extracted(pipeline, quick_results(finished_run(cloud, job)))
    assert Counter(requested_files(cloud)) == {
        "run_results.json": 3,
        "manifest.json": 1,
        "sources.json": 1,
    }


def test_a_run_in_progress_is_completed_by_a_later_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = nightly(cloud, duration=None)
    run_id = id_of(run_dbt_cloud_job(job_id=job, wait_for_outcome=False))
    tables = extracted(pipeline, dbt_cloud_results(run_id=run_id))
    (run,) = tables["dbt_runs"]
    assert (run["in_progress"], run["finished_at"]) == (True, None)
    assert {table for table, rows in tables.items() if rows} == {"dbt_runs"}
    assert caplog.text.count(f"Run {run_id} (") == 1
    cloud.finish_run(run_id)
    tables = extracted(pipeline, dbt_cloud_results(run_id=run_id))
    (run,) = tables["dbt_runs"]
    # a merge replaces the row of the key
    assert (run["in_progress"], run["status_humanized"]) == (False, "Success")
    assert len(tables["dbt_node_results"]) == 2


def test_unreadable_artifacts_are_named_and_the_rest_is_loaded(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [finished_run(cloud, nightly(cloud)) for _ in range(2)]
    cloud.fail("get_artifact", "status", status=403, calls=None, when="before")
    assert sizes(extracted(pipeline)) == {"dbt_runs": 2, "dbt_run_steps": 8}
    for run_id in runs:
        assert caplog.text.count(f"Run {run_id} (Success) cannot be read completely") == 1


def test_an_outage_is_waited_out(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    finished_run(cloud, nightly(cloud))
    for kind in ("status", "cut", "html", "rate_limit"):
        cloud.fail("get_artifact", kind)
        cloud.fail("list_runs", kind)
    assert len(extracted(pipeline)["dbt_node_results"]) == 2


@pytest.mark.parametrize(("at_command", "results"), [(1, 0), (2, 2)])
def test_a_cancelled_run_is_loaded_up_to_its_end(
    cloud: DBTCloudEmulator,
    pipeline: dlt.Pipeline,
    caplog: pytest.LogCaptureFixture,
    at_command: int,
    results: int,
) -> None:
    job = nightly(cloud, execute_steps=["dbt seed", "dbt build"], duration=None)
    run_id = id_of(run_dbt_cloud_job(job_id=job, wait_for_outcome=False))
    cloud.finish_run(run_id, "cancelled", at_command=at_command)
    # the cancelled step has no artifacts
    cloud.fail("get_artifact", "status", status=404, skip=at_command - 1, when="before")
    tables = extracted(pipeline, dbt_cloud_results(run_id=run_id))
    (run,) = tables["dbt_runs"]
    assert (run["status"], run["is_cancelled"]) == (30, True)
    steps = [(step["step_index"], step["status_humanized"]) for step in tables["dbt_run_steps"]]
    begun = range(1, 3 + at_command)
    assert steps == [*((index, "Success") for index in begun), (begun.stop, "Cancelled")]
    assert [result["step_index"] for result in tables["dbt_node_results"]] == [4] * results
    step = f"there is no `run_results.json` of step {begun.stop}"
    (warning,) = [each.message for each in caplog.records if "completely" in each.message]
    assert step in warning


def test_a_run_without_artifacts_is_loaded_with_a_warning(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = finished_run(cloud, nightly(cloud, artifacts={}))
    assert sizes(extracted(pipeline)) == {"dbt_runs": 1, "dbt_run_steps": 4}
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert f"Run {run_id} (Success) cannot be read completely: there is no" in warning
    for name in ("run_results.json", "manifest.json"):
        assert f"there is no `{name}` of step 4" in warning
    # the next load does not read it again
    before = len(cloud.requests)
    extracted(pipeline)
    assert len(cloud.requests) == before + 1


def test_the_end_of_a_failed_steps_log_is_kept(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = finished_run(cloud, nightly(cloud, outcome="error"))
    steps = extracted(pipeline, quick_results(run_id))["dbt_run_steps"]
    *others, last = [step["log_tail"] for step in steps]
    assert others == [None] * 3
    assert "Encountered an error, as scripted" in last


def test_a_run_that_does_not_exist_is_an_error(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    with pytest.raises(PipelineStepFailed, match="requested resource was not found") as caught:
        pipeline.extract(dbt_cloud_results(run_id=1))
    cause: BaseException | None = caught.value
    while cause and not isinstance(cause, DBTCloudNotFoundError):
        cause = cause.__cause__
    assert cause


def test_config_comes_from_its_own_section(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nightly(cloud), nightly(cloud)
    first = finished_run(cloud, one)
    finished_run(cloud, other)
    monkeypatch.setenv("JOB_ID", "1")
    monkeypatch.setenv("RUN_ID", "1")
    monkeypatch.setenv("START_DATE", "2099-01-01")
    monkeypatch.setenv("SOURCES__DBT_CLOUD_RESULTS__JOB_ID", "1")
    monkeypatch.setenv("SHOP__DBT_CLOUD__JOB_ID", "1")
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(one))
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "1")
    tables = extracted(pipeline, dbt_cloud_results(job_id=one))
    assert [run["run_id"] for run in tables["dbt_runs"]] == [first]
    monkeypatch.delenv("DBT_CLOUD__ACCOUNT_ID")
    with pytest.raises(InvalidCredentialsException, match="`account_id` is missing"):
        dbt_cloud_results()


def test_tables_of_two_sources_are_loaded_together(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    finished_run(cloud, nightly(cloud))
    info = pipeline.extract([quick_results().dbt_run_steps, quick_results().dbt_runs])
    (load_id,) = info.loads_ids
    found = {
        table: metrics.items_count
        for extracted_source in info.metrics[load_id]
        for table, metrics in extracted_source["table_metrics"].items()
    }
    assert found == {"dbt_run_steps": 4, "dbt_runs": 1}


def test_a_missing_job_or_run_id_is_an_error(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    with pytest.raises(ResourceExtractionError, match=r"jobs/7/.*not found"):
        extracted(pipeline, dbt_cloud_results(job_id=7))
    with pytest.raises(InvalidCredentialsException, match="`run_id` is missing"):
        dbt_cloud_results(run_id=" ")


def test_placeholders_of_ids_are_refused_only_if_no_other_id_is_given(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DBT_CLOUD__JOB_ID", "DBT_CLOUD__RUN_ID"):
        monkeypatch.setenv(name, "set me up!")
    dbt_cloud_results(run_id=1)
    dbt_cloud_results(job_id=1)
    with pytest.raises(InvalidCredentialsException, match="placeholder: `job_id` and `run_id`"):
        dbt_cloud_results()
    with pytest.raises(InvalidCredentialsException, match="placeholder: `job_id`"):
        dbt_cloud_results(start_date="2026-01-31")
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "1")
    dbt_cloud_results()
