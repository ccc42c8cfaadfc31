"""What dbt did is loaded once, whole where it can be, and beside the data without disturbing it."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import (
    DBTCloudNotFoundError,
    InvalidCredentialsException,
    dbt_cloud_results,
    loaded_tables,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.columns import KEYS, TABLES
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import last_load
from tests.flights import EXAMPLES
from tests.loaded_flights import LoadedFlights
from tests.results import (
    FILES,
    MANIFEST,
    counts,
    ended_run,
    files_asked_for,
    load_quickly,
    nightly,
    rows,
)


def test_a_run_fills_every_table(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    run_id = ended_run(nightly(cloud, run_generate_sources=True))
    pipeline.run(dbt_cloud_results(run_id=run_id))
    assert counts(pipeline) == {
        "dbt_runs": 1,
        "dbt_run_steps": 5,
        "dbt_node_results": 2,
        "dbt_nodes": 4,
        "dbt_node_parents": 3,
        "dbt_source_freshness": 1,
        "dbt_run_loads": 0,
    }
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


def test_every_table_and_column_is_there_however_empty(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    pipeline.run(dbt_cloud_results())
    assert set(counts(pipeline).values()) == {0}
    schema = pipeline.schemas["dbt_cloud_results"]
    for table, columns in TABLES.items():
        found = rows(
            pipeline,
            "SELECT column_name, is_nullable FROM information_schema.columns "
            f"WHERE table_schema = 'raw' AND table_name = '{table}'",
        )
        assert {name for name, _ in found} >= set(columns)
        for name, column in schema.get_table_columns(table).items():
            if name in columns:
                assert column["description"] == columns[name]["description"]
                assert column["data_type"] == columns[name]["data_type"]
                assert bool(column.get("primary_key")) == (name in KEYS[table])
    before = len(pipeline.list_completed_load_packages())
    pipeline.run(dbt_cloud_results())
    assert len(pipeline.list_completed_load_packages()) == before


def test_loading_again_changes_no_count(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    job = nightly(cloud)
    older, newer = ended_run(job), ended_run(job)
    pipeline.run(dbt_cloud_results(run_id=newer))
    pipeline.run(dbt_cloud_results(run_id=older))
    once = counts(pipeline)
    for run_id in (newer, str(older)):
        pipeline.run(dbt_cloud_results(run_id=run_id))
    assert counts(pipeline) == once
    for table in ("dbt_nodes", "dbt_node_parents"):
        spans = rows(pipeline, f"SELECT DISTINCT first_run_id, last_run_id FROM {table}")
        assert spans == [(older, newer)]


def test_a_node_has_a_row_for_each_content_that_it_had(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    first, second = (nightly(cloud, artifacts=files(text)) for text in ("one", "two"))
    runs = [ended_run(job) for job in (first, first, second, first)]
    for i in (3, 0, 2):
        pipeline.run(dbt_cloud_results(run_id=runs[i]))
    query = (
        "SELECT description, first_run_id, last_run_id FROM dbt_nodes "
        "WHERE unique_id = 'model.shop.orders' ORDER BY 1"
    )
    expected = [("one", runs[0], runs[3]), ("two", runs[2], runs[2])]
    assert rows(pipeline, query) == expected
    # and the same at once
    everything = dlt.pipeline("all", destination=pipeline.destination, dataset_name="everything")
    everything.run(dbt_cloud_results())
    assert rows(everything, query) == expected


def files(description: str) -> dict[str, Any]:
    nodes: Any = MANIFEST["nodes"]
    changed = {**nodes["model.shop.orders"], "description": description}
    manifest = {**MANIFEST, "nodes": {**nodes, "model.shop.orders": changed}}
    return {**FILES, "manifest.json": manifest}


def test_columns_keep_the_types_that_only_some_runs_tell(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    built = {"model.shop.orders": {"columns": {"id": {"name": "id", "type": "BIGINT", "index": 1}}}}
    of_others = {"model.shop.users": built["model.shop.orders"]}
    plain = nightly(cloud)
    partial, whole = (
        nightly(cloud, artifacts={**FILES, "catalog.json": {"nodes": nodes}}, generate_docs=True)
        for nodes in (of_others, built)
    )
    runs = [ended_run(job) for job in (plain, whole, partial, plain)]
    for i in (3, 1, 2, 0):
        pipeline.run(dbt_cloud_results(run_id=runs[i]))
    found = rows(
        pipeline,
        "SELECT columns->0->>'type', catalog_run_id, first_run_id, last_run_id FROM dbt_nodes "
        "WHERE unique_id = 'model.shop.orders'",
    )
    assert found == [("BIGINT", runs[1], runs[0], runs[3])]


def test_fifty_runs_of_three_jobs_in_three_goes(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    jobs = [nightly(cloud) for _ in range(3)]
    slow = nightly(cloud, duration=None)
    going_on = int(run_dbt_cloud_job(job_id=slow, wait_for_outcome=False)["id"])
    expected: set[int] = set()
    for go, number in enumerate((20, 20, 9)):
        expected |= {ended_run(jobs[i % 3]) for i in range(number)}
        if go == 2:
            cloud.finish_run(going_on)
            expected.add(going_on)
        before = len(cloud.requests)
        pipeline.run(dbt_cloud_results())
        news = number + (go == 2)
        # one list, and two files of each run that is new
        assert len(cloud.requests) - before == 1 + 2 * news
        assert {run_id for (run_id,) in rows(pipeline, "SELECT run_id FROM dbt_runs")} == expected
    assert len(expected) == 50
    results = Counter(run_id for (run_id,) in rows(pipeline, "SELECT run_id FROM dbt_node_results"))
    assert results == dict.fromkeys(expected, 2)
    assert counts(pipeline)["dbt_nodes"] == 4


def test_jobs_and_tables_are_kept_apart(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    one, other = nightly(cloud), nightly(cloud)
    first, second = ended_run(one), ended_run(other)
    pipeline.run(dbt_cloud_results(job_id=str(other)).with_resources("dbt_runs"))
    assert rows(pipeline, "SELECT run_id FROM dbt_runs") == [(second,)]
    pipeline.run(dbt_cloud_results(job_id=other))
    pipeline.run(dbt_cloud_results(job_id=one))
    loaded = rows(pipeline, "SELECT DISTINCT run_id FROM dbt_node_results ORDER BY 1")
    assert loaded == [(first,), (second,)]


def test_a_start_date_bounds_the_first_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = nightly(cloud)
    ended_run(job)
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=23)
    pipeline.run(dbt_cloud_results(job_id=job, start_date=tomorrow))
    assert counts(pipeline)["dbt_runs"] == 0
    pipeline.run(dbt_cloud_results(job_id=job, start_date="2026-01-31"))
    assert counts(pipeline)["dbt_runs"] == 1
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "1")
    pipeline.run(dbt_cloud_results(start_date="2026-01-31").with_resources("dbt_runs"))
    with pytest.raises(ValueError, match="`start_date='soon'` is not a date"):
        dbt_cloud_results(start_date="soon")
    with pytest.raises(ValueError, match="`start_date=20260131` is not a date"):
        dbt_cloud_results(start_date=20260131)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    ("table", "files"),
    [
        ("dbt_runs", []),
        ("dbt_run_loads", []),
        ("dbt_run_steps", []),
        ("dbt_source_freshness", ["sources.json"]),
        ("dbt_node_parents", ["manifest.json", "run_results.json"]),
        ("dbt_nodes", ["manifest.json", "run_results.json"]),
        ("dbt_node_results", ["manifest.json", "run_results.json"]),
    ],
)
def test_a_table_by_itself_fetches_what_it_needs(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, table: str, files: list[str]
) -> None:
    ended_run(nightly(cloud, run_generate_sources=True))
    pipeline.extract(dbt_cloud_results().with_resources(table))
    assert sorted(files_asked_for(cloud)) == files
    assert pipeline.schemas["dbt_cloud_results"].data_table_names() == [table]


def test_a_file_is_fetched_once_however_many_tables_take_it(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    steps = ["dbt seed", "dbt run", "dbt test"]
    job = nightly(cloud, execute_steps=steps, run_generate_sources=True)
    pipeline.run(dbt_cloud_results(run_id=ended_run(job)))
    assert Counter(files_asked_for(cloud)) == {
        "run_results.json": 3,
        "manifest.json": 1,
        "sources.json": 1,
    }


def test_a_run_in_progress_is_told_whole_when_it_is_over(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = nightly(cloud, duration=None)
    run_id = int(run_dbt_cloud_job(job_id=job, wait_for_outcome=False)["id"])
    pipeline.run(dbt_cloud_results(run_id=run_id))
    assert rows(pipeline, "SELECT in_progress, finished_at FROM dbt_runs") == [(True, None)]
    assert {table for table, count in counts(pipeline).items() if count} == {"dbt_runs"}
    assert caplog.text.count(f"Run {run_id} (") == 1
    cloud.finish_run(run_id)
    pipeline.run(dbt_cloud_results(run_id=run_id))
    found = rows(pipeline, "SELECT in_progress, status_humanized FROM dbt_runs")
    assert found == [(False, "Success")]
    assert counts(pipeline)["dbt_node_results"] == 2


def test_what_is_missing_is_said_and_the_rest_is_loaded(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [ended_run(nightly(cloud)) for _ in range(2)]
    cloud.fail("get_artifact", "status", status=403, calls=None, when="before")
    load_quickly(pipeline)
    assert counts(pipeline)["dbt_runs"] == 2
    assert counts(pipeline)["dbt_run_steps"] == 8
    assert counts(pipeline)["dbt_node_results"] == 0
    for run_id in runs:
        assert caplog.text.count(f"Run {run_id} (Success) cannot be read completely") == 1


def test_an_outage_is_waited_out(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    ended_run(nightly(cloud))
    for kind in ("status", "cut", "html", "rate_limit"):
        cloud.fail("get_artifact", kind)
        cloud.fail("list_runs", kind)
    load_quickly(pipeline)
    assert counts(pipeline)["dbt_node_results"] == 2


@pytest.mark.parametrize(("at_command", "results"), [(1, 0), (2, 2)])
def test_a_cancelled_run_is_told_as_far_as_it_came(
    cloud: DBTCloudEmulator,
    pipeline: dlt.Pipeline,
    caplog: pytest.LogCaptureFixture,
    at_command: int,
    results: int,
) -> None:
    job = nightly(cloud, execute_steps=["dbt seed", "dbt build"], duration=None)
    run_id = int(run_dbt_cloud_job(job_id=job, wait_for_outcome=False)["id"])
    cloud.finish_run(run_id, "cancelled", at_command=at_command)
    # the step that was cancelled left nothing
    cloud.fail("get_artifact", "status", status=404, skip=at_command - 1, when="before")
    pipeline.run(dbt_cloud_results(run_id=run_id))
    assert rows(pipeline, "SELECT status, is_cancelled FROM dbt_runs") == [(30, True)]
    told = rows(pipeline, "SELECT step_index, status_humanized FROM dbt_run_steps ORDER BY 1")
    begun = range(1, 3 + at_command)
    assert told == [*((index, "Success") for index in begun), (begun.stop, "Cancelled")]
    found = rows(pipeline, "SELECT DISTINCT step_index FROM dbt_node_results")
    assert (found, counts(pipeline)["dbt_node_results"]) == ([(4,)] * (results > 0), results)
    step = f"there is no `run_results.json` of step {begun.stop}"
    (warning,) = [each.message for each in caplog.records if "completely" in each.message]
    assert step in warning


def test_a_run_without_artifacts_is_loaded_and_said(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = ended_run(nightly(cloud, artifacts={}))
    load_quickly(pipeline)
    loaded = {table: count for table, count in counts(pipeline).items() if count}
    assert loaded == {"dbt_runs": 1, "dbt_run_steps": 4}
    (warning,) = [each.message for each in caplog.records if str(run_id) in each.message]
    assert f"Run {run_id} (Success) cannot be read completely: there is no" in warning
    for name in ("run_results.json", "manifest.json"):
        assert f"there is no `{name}` of step 4" in warning
    # it is no run to be read again
    before = len(cloud.requests)
    load_quickly(pipeline)
    assert len(cloud.requests) == before + 1


def test_the_end_of_a_failed_steps_log_is_kept(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_id = ended_run(nightly(cloud, outcome="error"))
    pipeline.run(dbt_cloud_results(run_id=run_id))
    tails = rows(pipeline, "SELECT log_tail FROM dbt_run_steps ORDER BY step_index")
    assert [text for (text,) in tails[:-1]] == [None] * 3
    assert "Encountered an error, as scripted" in tails[-1][0]


def test_a_run_that_does_not_exist_is_an_error(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    with pytest.raises(PipelineStepFailed, match="requested resource was not found") as caught:
        pipeline.run(dbt_cloud_results(run_id=1))
    cause: BaseException | None = caught.value
    while cause and not isinstance(cause, DBTCloudNotFoundError):
        cause = cause.__cause__
    assert cause


def test_config_comes_from_its_own_section(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nightly(cloud), nightly(cloud)
    first = ended_run(one)
    ended_run(other)
    monkeypatch.setenv("JOB_ID", "1")
    monkeypatch.setenv("RUN_ID", "1")
    monkeypatch.setenv("START_DATE", "2099-01-01")
    monkeypatch.setenv("SOURCES__DBT_CLOUD_RESULTS__JOB_ID", "1")
    monkeypatch.setenv("SHOP__DBT_CLOUD__JOB_ID", "1")
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(one))
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "1")
    pipeline.run(dbt_cloud_results(job_id=one))
    assert rows(pipeline, "SELECT run_id FROM dbt_runs") == [(first,)]
    monkeypatch.delenv("DBT_CLOUD__ACCOUNT_ID")
    with pytest.raises(InvalidCredentialsException, match="`account_id` is missing"):
        dbt_cloud_results()


def test_the_token_is_kept_out_of_all_that_dlt_keeps(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    run_id = ended_run(nightly(cloud))
    info = pipeline.run(dbt_cloud_results(run_id=run_id))
    told = pickle.dumps((info, pipeline.last_trace, pipeline.state))
    assert cloud.api_token.encode() not in told
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert not [path for path in kept if cloud.api_token.encode() in path.read_bytes()]


def test_the_load_of_the_data_stays_the_last(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run([{"id": 1}, {"id": 2}], table_name="orders")
    before = pipeline.default_schema.version_hash
    load = last_load(pipeline)
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    pipeline.run(dbt_cloud_results(run_id=run["id"]))
    assert last_load(pipeline) == load
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == run["id"]
    assert pipeline.default_schema_name == "shop"
    assert pipeline.default_schema.version_hash == before
    query = (
        "SELECT runs.run_id, pipeline_name, dataset_name, tables->>'orders', loads.schema_name "
        "FROM dbt_runs AS runs JOIN dbt_run_loads USING (run_id) "
        "JOIN _dlt_loads AS loads USING (load_id)"
    )
    expected = [(run["id"], "shop", "raw", "2", "shop")]
    assert rows(pipeline, query) == expected
    # the counts, which dlt forgets when it loads again, are kept
    pipeline.run(dbt_cloud_results(pipeline=pipeline))
    assert rows(pipeline, query) == expected


def test_data_that_is_loaded_after_the_results_is_data(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run(dbt_cloud_results())
    # without a schema of its own it goes into that of the first load
    pipeline.run([{"id": 1}], table_name="orders")
    assert pipeline.default_schema_name == "dbt_cloud_results"
    assert loaded_tables(pipeline) == {"orders": 1}
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert run["is_success"]
    pipeline.run(dbt_cloud_results())
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == run["id"]


def test_a_load_of_no_results_between_data_and_job_changes_nothing(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run(dbt_cloud_results())
    pipeline.run([{"id": 1}], table_name="orders", schema=dlt.Schema("shop"))
    pipeline.run(dbt_cloud_results())
    assert [*loaded_tables(pipeline)] == ["orders"]
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    pipeline.run(dbt_cloud_results())
    query = "SELECT run_id, tables FROM _dlt_loads JOIN dbt_run_loads USING (load_id)"
    assert rows(pipeline, query) == [(run["id"], '{"orders":null}')]


def test_a_load_of_results_that_fails_is_no_failed_load(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run([{"id": 1}], table_name="orders")
    with pytest.raises(PipelineStepFailed):
        pipeline.run(dbt_cloud_results(run_id=7))
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert run["is_success"]
    assert [*loaded_tables(pipeline)] == ["orders"]
    pipeline.run(dbt_cloud_results())
    query = "SELECT run_id, tables FROM _dlt_loads JOIN dbt_run_loads USING (load_id)"
    assert rows(pipeline, query) == [(run["id"], '{"orders":null}')]


def test_each_package_of_a_load_is_joined(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    @dlt.source(name="one")
    def one() -> Any:
        return dlt.resource([{"id": 1}], name="orders")

    @dlt.source(name="two")
    def two() -> Any:
        return dlt.resource([{"id": 1}, {"id": 2}], name="users")

    pipeline.run([one(), two()])
    run = run_dbt_cloud_job(job_id=nightly(cloud), pipeline=pipeline)
    pipeline.run(dbt_cloud_results(run_id=run["id"]))
    found = rows(
        pipeline,
        "SELECT schema_name, tables FROM _dlt_loads JOIN dbt_run_loads USING (load_id) ORDER BY 1",
    )
    assert found == [("one", '{"orders":1}'), ("two", '{"users":2}')]


def test_a_load_that_somebody_elses_run_serves_is_joined(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud, duration=None)
    first = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    queued = run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    pipeline.run([{"id": 1}], table_name="orders")
    options: Any = {"pipeline": pipeline, "reuse_queued_run": True, "wait_for_outcome": False}
    assert run_dbt_cloud_job(job_id=job, **options)["id"] == queued["id"]
    for run in (first, queued):
        cloud.finish_run(run["id"])
    pipeline.run(dbt_cloud_results(job_id=job))
    query = "SELECT run_id, tables FROM _dlt_loads JOIN dbt_run_loads USING (load_id)"
    assert rows(pipeline, query) == [(queued["id"], '{"orders":1}')]


def test_a_table_by_itself_is_no_data_either(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    pipeline.run([{"id": 1}], table_name="orders")
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    # without its source it goes into the schema of the data
    pipeline.run(dbt_cloud_results(job_id=job).dbt_runs)
    assert "dbt_runs" in pipeline.default_schema.tables
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == run["id"]
    pipeline.run([dlt.resource([{"id": 2}], name="orders"), dbt_cloud_results().dbt_run_steps])
    assert [*loaded_tables(pipeline)] == ["orders"]
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] != run["id"]


def test_two_halves_are_a_whole(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    ended_run(nightly(cloud))
    pipeline.run([dbt_cloud_results().dbt_nodes, dbt_cloud_results().dbt_runs])
    found = rows(pipeline, "SELECT (SELECT count(*) FROM dbt_runs), count(*) FROM dbt_nodes")
    assert found == [(1, 4)]


def test_what_there_is_not_is_said(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    with pytest.raises(PipelineStepFailed, match=r"jobs/7/.*not found"):
        pipeline.run(dbt_cloud_results(job_id=7))
    with pytest.raises(InvalidCredentialsException, match="`run_id` is missing"):
        dbt_cloud_results(run_id=" ")


@pytest.mark.dbt
def test_real_runs_and_their_tables(loaded: LoadedFlights) -> None:
    runs = [
        loaded.nightly,
        loaded.failed,
        loaded.retry,
        loaded.parsed,
    ]
    ids = [run["id"] for run in runs]
    found = loaded.sql("SELECT run_id, status, retried_run_id FROM dbt_runs ORDER BY run_id")
    assert found == [
        (ids[0], 10, None),
        (ids[1], 20, None),
        (ids[2], 10, ids[1]),
        (ids[3], 10, None),
    ]
    results = loaded.sql("SELECT run_id, status, count(*) FROM dbt_node_results GROUP BY ALL")
    statuses = {
        run_id: {status: count for each, status, count in results if each == run_id}
        for run_id in ids
    }
    assert statuses == {
        ids[0]: {"success": 18},
        ids[1]: {"success": 12, "pass": 39, "error": 1, "skipped": 30},
        ids[2]: {"success": 6, "pass": 22, "warn": 1, "no-op": 2},
        ids[3]: {},
    }
    nodes = loaded.sql("SELECT resource_type, count(*) FROM dbt_nodes GROUP BY ALL")
    assert dict(nodes) == {
        "exposure": 2,
        "model": 15,
        "seed": 2,
        "snapshot": 1,
        "source": 5,
        "test": 61,
        "unit_test": 1,
    }
    span = "SELECT DISTINCT first_run_id, last_run_id FROM {}"
    for table in ("dbt_nodes", "dbt_node_parents"):
        assert loaded.sql(span.format(table)) == [(ids[0], ids[3])]
    assert loaded.sql("SELECT count(*) FROM dbt_node_parents") == [(95,)]
    assert loaded.sql("SELECT status, count(*) FROM dbt_source_freshness GROUP BY 1") == [
        ("pass", 5)
    ]
    for table, key in KEYS.items():
        columns = ", ".join(key)
        twice = f"SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1"
        assert loaded.sql(twice) == []


@pytest.mark.dbt
def test_real_nodes_have_their_relation_owner_and_columns(loaded: LoadedFlights) -> None:
    (node,) = loaded.sql(
        "SELECT relation_name, materialized, owners, package_name, path, columns->0->>'type' "
        "FROM dbt_nodes WHERE name = 'mart_carrier_punctuality'"
    )
    assert node == (
        '"flights"."analytics"."mart_carrier_punctuality"',
        "table",
        '["operations@example.com"]',
        "flights",
        "models/marts/mart_carrier_punctuality.sql",
        "VARCHAR",
    )
    ((log,),) = loaded.sql("SELECT log_tail FROM dbt_run_steps WHERE log_tail IS NOT NULL")
    assert "fct_flights" in log
    assert "\x1b" not in log


@pytest.mark.dbt
def test_a_real_load_is_joined_to_what_was_built_of_it(loaded: LoadedFlights) -> None:
    (row,) = loaded.sql(
        "SELECT results.run_id, bound.pipeline_name, bound.dataset_name, "
        "CAST(bound.tables->>'airlines' AS INTEGER), loads.schema_name "
        "FROM _dlt_loads AS loads JOIN dbt_run_loads AS bound USING (load_id) "
        "JOIN dbt_node_results AS results USING (run_id) WHERE results.name = 'dim_carriers'"
    )
    assert row == (loaded.nightly["id"], "flights", "raw", 16, "nycflights")


@pytest.mark.dbt
@pytest.mark.parametrize(
    ("question", "column", "expected"),
    [
        ("Which load fed", 0, "fct_flights"),
        ("What failed", 1, "fct_flights"),
        ("Which models are the slowest", 0, "mart_fleet_usage"),
        ("Which tests warn", 0, "fct_flights_find_their_plane"),
        ("Which sources", 0, "source.flights.raw.weather"),
        ("What is downstream", 1, "mart_delay_by_weather"),
    ],
)
def test_every_question_has_its_answer(
    loaded: LoadedFlights, tmp_path: Path, question: str, column: int, expected: str
) -> None:
    text = (EXAMPLES / "results.sql").read_text()
    (query,) = [each for each in text.split(";") if f"\n-- {question}" in each]
    copy = shutil.copy(loaded.database, tmp_path / "flights.duckdb")
    with duckdb.connect(str(copy)) as connection:
        connection.execute("USE flights.raw")
        connection.execute(
            "UPDATE dbt_source_freshness SET max_loaded_at = max_loaded_at - INTERVAL '2 days'"
        )
        found = connection.execute(query).fetchall()
    assert expected in [row[column] for row in found]
