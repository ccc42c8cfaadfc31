"""Each finished run is loaded once, whenever it finishes and however often is loaded."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import dlt
import pytest

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.results import counts, ended_run, nightly, rows


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
