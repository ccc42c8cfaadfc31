"""One load has one run that succeeds, and each of many jobs has its own."""

from __future__ import annotations

import threading
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudNotFoundError,
    DBTCloudRunFailed,
    InvalidCredentialsException,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.running import Running
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run
from tests.clock import FastClock


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    destination = dlt.destinations.duckdb("flights.duckdb")
    loaded = dlt.pipeline("flights", destination=destination, dataset_name="raw")
    loaded.run([{"carrier": "AA"}], table_name="airlines")
    return loaded


def cause_of(run: Run) -> str:
    return (run["trigger"] or {})["cause"]


def test_the_cause_names_pipeline_and_load(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=pipeline)
    (load_id,) = pipeline.list_completed_load_packages()
    expected = f"Triggered via API: dlt pipeline flights, load {load_id} [dlt:"
    assert cause_of(cloud.runs[0]).startswith(expected)


def test_a_load_that_has_its_run_gets_no_other(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly")
    first = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    again = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert again["id"] == first["id"]
    assert len(cloud.runs) == 1
    pipeline.run([{"carrier": "UA"}], table_name="airlines")
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] != first["id"]


def test_a_run_in_flight_is_joined(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    job = cloud.create_job("Nightly", duration=None)
    first = run_dbt_cloud_job(job_id=job, pipeline=pipeline, wait_for_outcome=False)
    ending = threading.Timer(0.1, cloud.finish_run, (first["id"],))
    ending.start()
    again = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    ending.join()
    assert again["id"] == first["id"]
    assert again["is_success"]


@pytest.mark.parametrize("outcome", ["error", "cancelled"])
def test_a_run_that_did_not_succeed_is_followed_by_another(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, outcome: Any
) -> None:
    job = cloud.create_job("Flaky", outcome=[outcome, "success"])
    first = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    again = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert not first["is_success"]
    assert again["is_success"]
    assert run_dbt_cloud_job(job_id=job, pipeline=pipeline)["id"] == again["id"]
    assert len(cloud.runs) == 2


def test_a_lost_answer_after_a_failed_run_does_not_bring_that_one_back(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "success"])
    config = resolve_configuration(DBTCloudConfiguration())
    load = LastLoad("flights", "1732150000.123")
    for expected in ("Error", "Success"):
        cloud.fail("trigger_job", "cut", when="after")
        trigger = Trigger(client, str(job), {"cause": "x"}, load, clock=FastClock())
        (run,) = Running(client, config, FastClock()).run_all([trigger])
        assert run["status_humanized"] == expected
    assert len(cloud.runs) == 2


def test_other_overrides_are_another_run(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    job = cloud.create_job("Nightly")
    run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    run_dbt_cloud_job(job_id=job, pipeline=pipeline, data={"schema_override": "ci"})
    assert len(cloud.runs) == 2


def test_workers_that_come_at_the_same_time_share_one_run(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.create_job("Nightly", duration=2.5)
    config = resolve_configuration(DBTCloudConfiguration(wait_seconds=0.2))
    load = LastLoad("flights", "1732150000.123")
    together = threading.Barrier(6)
    ended: list[Run] = []

    def work() -> None:
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
            together.wait()
            trigger = Trigger(client, str(job), {"cause": "x"}, load)
            ended.extend(Running(client, config).run_all([trigger]))

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    kept = [run["id"] for run in cloud.runs if not run["is_cancelled"]]
    assert len(kept) == 1
    assert {run["id"] for run in ended} == set(kept)
    assert all(run["is_success"] for run in ended)


def test_a_pipeline_that_has_loaded_nothing_runs_nothing(
    cloud: DBTCloudEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = dlt.pipeline("fresh", destination="duckdb", dataset_name="raw")
    run: Any = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=fresh)
    assert (run["id"], run["status_humanized"], run["is_complete"]) == (None, "Skipped", True)
    assert not run["is_error"]
    assert "`fresh` has loaded nothing yet" in caplog.text
    assert cloud.requests == []


def test_a_bound_call_asks_no_more_than_it_must(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline
) -> None:
    run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=pipeline)
    asked = [(request.method, request.path.split("/")[5]) for request in cloud.requests]
    assert asked == [("GET", "runs"), ("POST", "jobs"), ("GET", "runs")]


def test_each_of_many_jobs_runs_once_and_in_the_order_asked_for(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(str(i), duration=0.1) for i in range(5)]
    runs = run_dbt_cloud_jobs(reversed(jobs))  # type: ignore[arg-type]  # any iterable will do
    assert [run["job_id"] for run in runs] == jobs[::-1]
    assert all(run["is_success"] for run in runs)
    assert len(cloud.runs) == 5


def test_one_that_fails_does_not_hide_the_others(cloud: DBTCloudEmulator) -> None:
    good = cloud.create_job("x")
    bad, worse = (cloud.create_job(name, outcome="error") for name in ("bad", "worse"))
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_jobs([good, bad, worse], raise_on_failure=True)
    assert 'of job "bad" failed' in str(caught.value)
    assert 'of job "worse" failed' in str(caught.value)
    assert len(cloud.runs) == 3


def test_one_that_cannot_be_triggered_keeps_no_other_from_running(cloud: DBTCloudEmulator) -> None:
    good = cloud.create_job("x", duration=0.1)
    with pytest.raises(DBTCloudNotFoundError):
        run_dbt_cloud_jobs([1, good])
    assert [run["is_success"] for run in cloud.runs] == [True]


def test_a_job_id_that_is_none_lets_no_job_run(cloud: DBTCloudEmulator) -> None:
    with pytest.raises(InvalidCredentialsException, match="`job_id='x'` is no id"):
        run_dbt_cloud_jobs([cloud.create_job("x"), "x"])
    assert cloud.requests == []


def test_no_jobs_are_no_runs(cloud: DBTCloudEmulator) -> None:
    assert run_dbt_cloud_jobs([]) == []
