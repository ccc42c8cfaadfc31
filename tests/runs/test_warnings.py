"""A run that succeeds with warnings is logged with them, and raises if the call asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudRunWarning,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.artifacts.results import ReadRuns
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.warnings import find_warnings
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.recordings import replayed_job
from tests.support.dbt.scripted_dbt import Act, scripted_job
from tests.support.past_runs import ended_run

SOURCE, MODEL = "source.shop.raw.airlines", "model.shop.stg"
WARNED, PASSED = "test.shop.not_null_stg_id.1f", "test.shop.unique_stg_id.2f"
MANIFEST: dict[str, Any] = {
    "sources": {
        SOURCE: {
            "package_name": "shop",
            "source_name": "raw",
            "name": "airlines",
            "schema": "raw",
            "original_file_path": "models/sources.yml",
            "relation_name": '"raw"."airlines"',
        }
    },
    "nodes": {
        MODEL: {"name": "stg", "depends_on": {"nodes": [SOURCE]}},
        WARNED: {
            "name": "not_null_stg_id",
            "resource_type": "test",
            "original_file_path": "models/stg.yml",
            "depends_on": {"nodes": [MODEL]},
        },
        PASSED: {"name": "unique_stg_id", "depends_on": {"nodes": [MODEL]}},
    },
    "child_map": {SOURCE: [MODEL], MODEL: [WARNED, PASSED]},
}
MESSAGE = "Got 3 results, configured to warn if !=0"


def results(*statuses: tuple[str, str]) -> dict[str, Any]:
    return {
        "results": [
            {
                "unique_id": unique_id,
                "status": status,
                "message": MESSAGE if status == "warn" else None,
                "failures": 3 if status == "warn" else 0,
            }
            for unique_id, status in statuses
        ]
    }


BUILT = results((MODEL, "success"), (WARNED, "warn"), (PASSED, "pass"))
CLEAN = results((MODEL, "success"), (WARNED, "pass"), (PASSED, "pass"))


def checked(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "results": [
            {
                "unique_id": SOURCE,
                "status": status,
                "max_loaded_at": "2026-11-24T00:00:00Z",
                "max_loaded_at_time_ago_in_s": 3 * 86400.0,
                "criteria": {
                    "warn_after": {"count": 1, "period": "day"},
                    "error_after": {"count": 2, "period": "day"},
                },
                **fields,
            }
        ]
    }


def job_with(cloud: DBTCloudEmulator, *steps: str, **files: Any) -> int:
    artifacts = {f"{name}.json": file for name, file in files.items()}
    return cloud.create_job("Nightly", execute_steps=[*steps], artifacts=artifacts)


def found(cloud: DBTCloudEmulator, client: DBTCloudClientV2, job: int) -> DBTCloudRunWarning | None:
    """Return the warnings of a run of a job."""
    return find_warnings(client, ended_run(cloud, job), None, ReadRuns(), is_strict=True)


def caught(**options: Any) -> DBTCloudRunWarning:
    with pytest.raises(DBTCloudRunWarning) as raised:
        run_dbt_cloud_job(raise_on_warning=True, **options)
    return raised.value


def test_tests_that_warn_are_logged(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(cloud, "dbt build", run_results=BUILT, manifest=MANIFEST)
    run = run_dbt_cloud_job(job_id=job)
    assert run["is_success"]
    (record,) = [each for each in caplog.records if "warnings" in each.message]
    assert record.levelname == "WARNING"
    assert record.message.splitlines()[:4] == [
        f'Run {run["id"]} of job "Nightly" succeeded with warnings: 1 test.',
        f"  1. {WARNED} (models/stg.yml): warn",
        f"       {MESSAGE}",
        "     It is fed by raw.airlines.",
    ]


def test_they_raise_if_the_call_asks_for_it(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = job_with(cloud, "dbt build", run_results=BUILT, manifest=MANIFEST)
    error = caught(job_id=job, pipeline=loaded_pipeline)
    assert (error.status_humanized, error.run_id) == ("Success", cloud.runs[-1]["id"])
    (failure,) = error.failures
    assert failure["load_id"]
    assert {**failure, "load_id": None} == {
        "unique_id": WARNED,
        "name": "not_null_stg_id",
        "resource_type": "test",
        "status": "warn",
        "message": MESSAGE,
        "path": "models/stg.yml",
        "relation_name": None,
        "step_index": 4,
        "command": "dbt build",
        "skipped": 0,
        "tables": ["raw.airlines"],
        "load_id": None,
    }
    # a second call finds the run, and its warnings
    assert caught(job_id=job, pipeline=loaded_pipeline).failures == error.failures
    assert len(cloud.runs) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("warn", "3.0 days before the check; it warns after 1 day."),
        ("error", "3.0 days before the check; it fails after 2 days."),
        # of dbt Fusion
        ("Error", "3.0 days before the check; it fails after 2 days."),
    ],
)
def test_stale_sources_are_warnings(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, status: str, words: str
) -> None:
    steps = ("dbt source freshness", "dbt run")
    files = {"sources": checked(status), "run_results": CLEAN, "manifest": MANIFEST}
    error = found(cloud, client, job_with(cloud, *steps, **files))
    assert error is not None
    assert "succeeded with warnings: 1 stale source." in str(error)
    (failure,) = error.failures
    assert (failure["unique_id"], failure["status"]) == (SOURCE, status.lower())
    assert (failure["tables"], failure["path"]) == (["raw.airlines"], "models/sources.yml")
    assert failure["message"] == f"The newest row is of 2026-11-24T00:00:00Z, {words}"


def test_a_source_that_could_not_be_checked_is_a_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    failed = checked("runtime error", error="no such table", max_loaded_at=None)
    job = job_with(cloud, "dbt source freshness", sources=failed)
    error = found(cloud, client, job)
    assert error is not None
    (failure,) = error.failures
    assert (failure["message"], failure["tables"]) == ("no such table", [])


@pytest.mark.parametrize(
    "files",
    [
        {"run_results": CLEAN},
        {"run_results": results((MODEL, "warn"))},
        # nothing was executed
        {"manifest": MANIFEST},
        {"run_results": CLEAN, "sources": checked("pass")},
    ],
)
def test_a_clean_run_has_no_warnings(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, files: Any
) -> None:
    steps = ["dbt source freshness"] if "sources" in files else []
    job = job_with(cloud, *steps, "dbt deps", "dbt build", **files)
    assert found(cloud, client, job) is None


def test_a_clean_run_is_returned(cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture) -> None:
    job = job_with(cloud, "dbt build", run_results=CLEAN)
    assert run_dbt_cloud_job(job_id=job, raise_on_warning=True)["is_success"]
    assert "warnings" not in caplog.text


def test_the_config_may_ask_for_it(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__RAISE_ON_WARNING", "true")
    with pytest.raises(DBTCloudRunWarning):
        run_dbt_cloud_job(job_id=job_with(cloud, "dbt build", run_results=BUILT))


def test_a_failed_run_is_a_failure_only(cloud: DBTCloudEmulator) -> None:
    files = {"run_results.json": BUILT}
    job = cloud.create_job("Nightly", outcome="error", artifacts=files)
    assert run_dbt_cloud_job(job_id=job, raise_on_warning=True)["is_error"]


def test_the_warnings_of_several_runs_are_reported_together(cloud: DBTCloudEmulator) -> None:
    jobs = [job_with(cloud, "dbt build", run_results=each) for each in (BUILT, CLEAN, BUILT)]
    with pytest.raises(DBTCloudRunWarning) as raised:
        run_dbt_cloud_jobs(jobs, raise_on_warning=True)
    text = str(raised.value)
    assert text.count("succeeded with warnings") == 2
    assert text.count(": Success.") == 1
    assert len(raised.value.runs) == 3


def failed_run(cloud: DBTCloudEmulator, folder: Path, again: dict[str, str]) -> Run:
    """Return a run with a warning and a failed test, whose retry has these results."""
    acts = [
        Act({MODEL: "success", WARNED: "warn", PASSED: "fail"}, 1, MANIFEST),
        Act(again, 0, MANIFEST),
    ]
    return ended_run(cloud, scripted_job(cloud, folder, ["dbt build"], acts))


def test_a_retry_has_the_warnings_of_the_run_that_it_retries(
    cloud: DBTCloudEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failed_run(cloud, tmp_path, {PASSED: "pass"})
    monkeypatch.setenv("DBT_CLOUD__RAISE_ON_WARNING", "true")
    with pytest.raises(DBTCloudRunWarning) as raised:
        retry_dbt_cloud_run(run_id=failed["id"])
    assert [each["unique_id"] for each in raised.value.failures] == [WARNED]


def test_a_retry_has_no_warning_of_a_test_that_passes_in_it(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    failed = failed_run(cloud, tmp_path, {PASSED: "pass", WARNED: "pass"})
    again = cloud.wait_for_run(client.retry_run(failed["id"])["id"])
    assert find_warnings(client, again, None, ReadRuns(), is_strict=True) is None


def test_warnings_that_cannot_be_read_fail_no_success(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dlt")
    job = job_with(cloud, "dbt build", run_results=BUILT)
    cloud.fail("get_artifact", "status", status=500, calls=None)
    assert run_dbt_cloud_job(job_id=job)["is_success"]
    (record,) = [each for each in caplog.records if "warnings are unknown" in each.message]
    assert record.levelname == "INFO"


def test_warnings_that_cannot_be_read_raise_if_the_call_asks_for_it(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, "dbt build", run_results=BUILT)
    run = ended_run(cloud, job)
    cloud.fail("get_artifact", "status", status=403, calls=None)
    timed = clocked(client, FakeClock())
    error = find_warnings(timed, run, None, ReadRuns(), is_strict=True)
    assert "succeeded, but its warnings are unknown: `GET" in str(error)
    assert error is not None
    assert error.failures == []


def test_results_that_are_still_uploaded_are_awaited(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, "dbt build", run_results=BUILT)
    run = ended_run(cloud, job)
    cloud.fail("get_artifact", "status", status=404, calls=5)
    timed = clocked(client, FakeClock())
    error = find_warnings(timed, run, None, ReadRuns(), is_strict=True)
    assert error is not None
    assert [each["unique_id"] for each in error.failures] == [WARNED]


@pytest.mark.parametrize(
    ("statuses", "requests"),
    [
        ({MODEL: "success"}, [""]),
        ({MODEL: "success", WARNED: "warn"}, ["", "run_results.json", "manifest.json"]),
    ],
)
def test_a_log_without_warnings_needs_no_results(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    tmp_path: Path,
    statuses: dict[str, str],
    requests: list[str],
) -> None:
    job = scripted_job(cloud, tmp_path, ["dbt build"], [Act(statuses, manifest=MANIFEST)])
    run = ended_run(cloud, job)
    before = len(cloud.requests)
    find_warnings(client, run, None, ReadRuns(), is_strict=True)
    prefix = f"{run['id']}/"
    asked = [each.path.rpartition("/runs/")[2] for each in cloud.requests[before:]]
    assert asked == [prefix + (f"artifacts/{each}" if each else "") for each in requests]


def test_the_warnings_of_dbt_fusion_have_a_message(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    run = ended_run(cloud, replayed_job(cloud, tmp_path, "built"))
    for is_strict in (True, False):
        error = find_warnings(client, run, None, ReadRuns(), is_strict=is_strict)
        assert error is not None
        (failure,) = error.failures
        assert failure["name"] == "accepted_values_juice_sort__boskoop"
        assert failure["message"] == "Got 1 result, configured to warn if != 0"
