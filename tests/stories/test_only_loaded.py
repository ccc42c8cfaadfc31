"""Runs that build only the loaded tables, and runs that many loads share."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud import (
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudServerError,
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_status,
    plan_dbt_cloud_job,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.configuration import connect
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import LastLoad, last_load
from dlt_dbtcloud.payloads import time_of
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.fixtures import AnswersOf
from tests.support.clock import FakeClock, until
from tests.support.loading.loads import SharedLoads, load_tables
from tests.support.past_runs import ended_run, started_run
from tests.support.processes.forks import Fork, forked
from tests.support.processes.threads import in_background
from tests.support.projects.flights import Flights, executed, own_results
from tests.support.servers.emulator_api import Api

SOURCE = {
    "package_name": "shop",
    "source_name": "landing",
    "name": "carriers",
    "identifier": "airlines",
    "schema": "raw",
}
MANIFEST = {
    "sources": {"source.shop.landing.carriers": SOURCE},
    "nodes": {"model.shop.stg": {}},
    "child_map": {"source.shop.landing.carriers": ["model.shop.stg"]},
}
NARROWED = ["dbt build --select source:landing.carriers+"]


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded the table `airlines`."""
    return shared_loads.copy("flights", load_tables, "airlines")


@pytest.fixture
def job(cloud: DBTCloudEmulator) -> int:
    """Return a job with a manifest."""
    return job_with_manifest(cloud)


def job_with_manifest(cloud: DBTCloudEmulator) -> int:
    built = {"results": [{"unique_id": "model.shop.stg", "status": "success"}]}
    files = {"manifest.json": MANIFEST, "run_results.json": built}
    scripted = cloud.create_job("Nightly", artifacts=files)
    ended_run(cloud, scripted)
    return scripted


def steps_of(run: Run) -> Any:
    return (run["trigger"] or {})["steps_override"]


def test_a_call_for_a_load_sends_no_needless_requests(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    before = len(cloud.requests)
    run = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)
    asked = [f"{each.method} {each.path}" for each in cloud.requests[before:]]
    account = f"/api/v2/accounts/{cloud.account_id}"
    assert asked == [
        f"GET {account}/runs/",
        f"GET {account}/jobs/{job}/",
        f"GET {account}/jobs/{job}/artifacts/manifest.json",
        f"POST {account}/jobs/{job}/run/",
        # the first status check, which also finds runs of other workers
        f"GET {account}/runs/",
        # whether it has built what was loaded
        f"GET {account}/runs/{run['id']}/",
        f"GET {account}/runs/{run['id']}/artifacts/run_results.json",
    ]
    assert steps_of(cloud.runs[-1]) == steps_of(run) == NARROWED
    assert run["is_success"]


def test_a_load_is_built_once_and_an_empty_load_is_skipped(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline, job: int
) -> None:
    first = run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    assert run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)["id"] == first["id"]
    copy.run([], table_name="airlines")
    skipped: Any = run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    assert skipped["id"] is None
    assert skipped["status_humanized"] == "Skipped"
    assert f"nothing since run {first['id']}" in (skipped["status_message"] or "")
    assert len(cloud.runs) == 2


def test_a_run_of_the_whole_job_counts_for_only_loaded(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    whole = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)
    part = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)
    assert part["id"] == whole["id"]


def test_a_run_of_a_part_does_not_count_for_the_whole_job(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    part = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)
    assert run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline)["id"] != part["id"]


def test_the_next_load_builds_what_earlier_runs_failed_to_build(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline
) -> None:
    outcomes: list[Any] = ["success", "error", "error", "success"]
    job = cloud.create_job("Flaky", outcome=outcomes, artifacts={"manifest.json": MANIFEST})
    run_dbt_cloud_job(job_id=job, pipeline=copy)
    load_tables(copy, "airlines")
    for number in range(3):
        if number == 1:
            copy.run([], table_name="airlines")
        run = run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
        assert steps_of(cloud.runs[-1]) == NARROWED
    assert run["is_success"]
    assert len(cloud.runs) == len(outcomes)
    # now it is built
    load_tables(copy, "unheard_of")
    after = run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    assert after["status_humanized"] == "Skipped"


def test_the_next_load_builds_what_the_first_run_failed_to_build(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline
) -> None:
    job = cloud.create_job(
        "Flaky", outcome=["error", "success"], artifacts={"manifest.json": MANIFEST}
    )
    run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    copy.run([], table_name="airlines")
    run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    assert steps_of(cloud.runs[-1]) == NARROWED


def test_the_whole_job_runs_if_the_loaded_tables_are_forgotten(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline, job: int, caplog: pytest.LogCaptureFixture
) -> None:
    copy.run([], table_name="airlines")
    run = run_dbt_cloud_job(job_id=job, pipeline=copy, only_loaded=True)
    assert run["is_success"]
    assert steps_of(cloud.runs[-1]) is None
    assert "Running all of job" in caplog.text


def test_tables_that_feed_nothing_are_skipped(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    manifest = misplaced(identifier="unheard_of")
    job = cloud.create_job("Nightly", artifacts={"manifest.json": manifest})
    ended_run(cloud, job)
    run = run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)
    assert run["status_humanized"] == "Skipped"
    assert "loaded tables: airlines" in (run["status_message"] or "")
    assert run["trigger"] is None
    assert len(cloud.runs) == 1


def misplaced(**fields: Any) -> dict[str, Any]:
    """Return the manifest with another place of its source."""
    entry = {**SOURCE, "original_file_path": "models/landing.yml", **fields}
    return {**MANIFEST, "sources": {"source.shop.landing.carriers": entry}}


@pytest.mark.parametrize(
    ("fields", "tables", "place", "line"),
    [
        (
            {"schema": "prod"},
            ["airlines"],
            "prod.airlines",
            "set `schema: raw` of source `landing.carriers` in `models/landing.yml`, or pass "
            '`dataset_name="prod"`',
        ),
        (
            {"schema": "RAW data"},
            ["airlines", "unheard_of"],
            "RAW data.airlines",
            "set `schema: raw` of source",
        ),
        ({"schema": None}, ["airlines"], "(no schema).airlines", "set `schema: raw` of source"),
        (
            {"identifier": "Airlines!"},
            ["airlines", "unheard_of"],
            "raw.Airlines!",
            "set `identifier: airlines` of source",
        ),
    ],
)
def test_a_source_in_another_place_runs_the_whole_job_with_a_warning(
    cloud: DBTCloudEmulator,
    shared_loads: SharedLoads,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, Any],
    tables: list[str],
    place: str,
    line: str,
) -> None:
    job = cloud.create_job("Nightly", artifacts={"manifest.json": misplaced(**fields)})
    ended_run(cloud, job)
    with shared_loads.pipeline("flights", load_tables, *tables) as pipeline:
        run = run_dbt_cloud_job(job_id=job, pipeline=pipeline, only_loaded=True)
    assert run["is_success"]
    assert run["id"]
    assert steps_of(cloud.runs[-1]) is None
    (warned,) = [each.getMessage() for each in caplog.records if "all of job" in each.getMessage()]
    assert "raw.airlines` was loaded" in warned
    assert place in warned
    assert line in warned


def test_a_source_in_another_duckdb_file_runs_the_whole_job_with_a_warning(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    job = cloud.create_job("Nightly", artifacts={"manifest.json": misplaced(database="other")})
    ended_run(cloud, job)
    assert run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True)["id"]
    assert steps_of(cloud.runs[-1]) is None
    assert "`flights.raw.airlines` was loaded" in caplog.text
    assert "source `landing.carriers` as `other.raw.airlines`" in caplog.text
    assert (
        "set `database: flights` of source `landing.carriers` in `models/landing.yml`, or load "
        "into database `other`." in caplog.text
    )


def test_steps_of_the_caller_are_not_narrowed(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    data = {"steps_override": ["dbt run"], "schema_override": "ci"}
    run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True, data=data)
    assert steps_of(cloud.runs[-1]) == ["dbt run"]


def test_other_overrides_are_kept(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    data = {"threads_override": 9}
    run_dbt_cloud_job(job_id=job, pipeline=loaded_pipeline, only_loaded=True, data=data)
    assert steps_of(cloud.runs[-1]) == NARROWED
    assert (cloud.runs[-1]["trigger"] or {})["threads_override"] == 9


def test_only_loaded_needs_a_pipeline(cloud: DBTCloudEmulator, job: int) -> None:
    with pytest.raises(ValueError, match=r"`only_loaded` .* Pass `pipeline`, or") as caught:
        run_dbt_cloud_job(job_id=job, only_loaded=True)
    assert isinstance(caught.value, ConfigurationValueError)


def test_another_object_in_place_of_a_pipeline_is_refused(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, job: int
) -> None:
    trace = loaded_pipeline.last_trace
    info = trace.last_load_info if trace else None
    others: list[tuple[Any, str]] = [
        ("flights", r'is a `str`\. Pass a `dlt\.Pipeline`, such as `dlt\.attach\("name"\)`'),
        (info, r"is a `LoadInfo`\. Pass the `dlt\.Pipeline` whose `run` returned it"),
        (dlt.pipeline, r"is a `function`\. Pass a `dlt\.Pipeline`"),
    ]
    for other, message in others:
        with pytest.raises(TypeError, match=message):
            run_dbt_cloud_job(job_id=job, only_loaded=True, pipeline=other)
    assert len(cloud.runs) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [({"status": 403}, DBTCloudAuthError), ({"status": 503}, DBTCloudServerError)],
)
def test_an_error_before_the_trigger_starts_no_run(
    cloud: DBTCloudEmulator,
    loaded_pipeline: dlt.Pipeline,
    job: int,
    clock: FakeClock,
    fault: Any,
    error: Any,
) -> None:
    cloud.fail("get_job_artifact", "status", calls=None, when="before", **fault)
    cloud.fail("get_job", "status", calls=None, skip=1, when="before", **fault)
    load = last_load(loaded_pipeline)
    trigger = Trigger(str(job), {"cause": "x"}, load, only_loaded=True, timeout=0.5)
    config = resolve_configuration(DBTCloudConfiguration(timeout=0.5))
    with connect(config, clock) as client, pytest.raises(error):
        Lifecycle(client, config).run_all([trigger])
    assert len(cloud.runs) == 1


def queued(cloud: DBTCloudEmulator, **data: Any) -> Run:
    """Return a queued run, behind a running one of its job."""
    job = cloud.create_job("Shared", duration=None, artifacts={"manifest.json": MANIFEST})
    started_run(cloud, job, **data)
    return started_run(cloud, job, **data)


def share(run: Run, **options: Any) -> Run:
    job = run["job_definition_id"]
    return run_dbt_cloud_job(job_id=job, reuse_queued_run=True, wait_for_outcome=False, **options)


def test_a_queued_run_is_adopted_and_its_load_gets_no_other_run(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline
) -> None:
    run = queued(cloud)
    assert share(run)["id"] == run["id"]
    assert share(run, pipeline=copy, only_loaded=True)["id"] == run["id"]
    before = len(cloud.requests)
    assert share(run, pipeline=copy)["id"] == run["id"]
    assert [request.method for request in cloud.requests[before:]] == ["GET", "GET"]
    # the load gets no other run when it has begun or ended
    cloud.finish_run(cloud.runs[0]["id"])
    assert share(run, pipeline=copy)["id"] == run["id"]
    cloud.finish_run(run["id"])
    assert share(run, pipeline=copy)["id"] == run["id"]
    assert len(cloud.runs) == 2
    load_tables(copy, "airlines")
    load = last_load(copy)
    assert load
    assert load.adopted_run() is None
    assert share(run, pipeline=copy)["id"] != run["id"]


def test_a_running_run_is_not_adopted(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Shared", duration=None)
    running = started_run(cloud, job)
    assert share(running, pipeline=loaded_pipeline)["id"] != running["id"]
    cancel_dbt_cloud_run(run_id=cloud.runs[-1]["id"])
    assert share(running)["id"] != running["id"]


def test_a_run_with_other_overrides_is_not_adopted(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Shared", duration=None)
    started_run(cloud, job)
    overrides: list[dict[str, Any]] = [
        {"schema_override": "ci"},
        {"threads_override": 2},
        {"git_branch": "x"},
        {"steps_override": ["dbt run"]},
        {"generate_docs_override": True},
    ]
    runs = [started_run(cloud, job, **data) for data in overrides]
    for data, run in zip(overrides, runs, strict=True):
        assert share(run, data=data)["id"] == run["id"]
    assert share(runs[0])["id"] not in [run["id"] for run in runs]


def use_custom_branch(cloud: DBTCloudEmulator, branch: str) -> None:
    api = Api(cloud)
    with api.session:
        (environment,) = api.data("/environments/")
        body = {"custom_branch": branch, "use_custom_branch": True}
        assert api.post(f"/environments/{environment['id']}/", body).ok


def test_a_branch_that_the_service_fills_in_is_not_an_override(cloud: DBTCloudEmulator) -> None:
    use_custom_branch(cloud, "prod")
    run = queued(cloud)
    assert (run["trigger"] or {})["git_branch"] == "prod"
    assert share(run)["id"] == run["id"]
    assert share(run, data={"git_branch": "prod"})["id"] == run["id"]
    assert share(run, data={"git_branch": "fix"})["id"] != run["id"]


def test_an_override_of_the_environments_branch_is_not_adopted(cloud: DBTCloudEmulator) -> None:
    use_custom_branch(cloud, "prod")
    run = queued(cloud, git_branch="fix")
    assert share(run)["id"] != run["id"]


def test_a_narrower_run_is_not_adopted_for_a_wider_one(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    run = queued(cloud, steps_override=["dbt build --select source:landing.carriers+ tag:x"])
    assert share(run)["id"] != run["id"]
    part = {"steps_override": ["dbt build --select tag:x"]}
    assert share(run, data=part)["id"] == run["id"]


def test_an_adopted_run_that_is_cancelled_is_replaced(
    cloud: DBTCloudEmulator,
) -> None:
    run = queued(cloud)
    job = run["job_definition_id"]
    worker = in_background(lambda: run_dbt_cloud_job(job_id=job, reuse_queued_run=True))
    until(lambda: any(f"runs/{run['id']}/" in request.path for request in cloud.requests))
    cancel_dbt_cloud_run(run_id=run["id"])
    until(lambda: len(cloud.runs) == 3)
    cloud.finish_run(cloud.runs[0]["id"])
    until(lambda: cloud.runs[2]["is_running"])
    cloud.finish_run(cloud.runs[2]["id"])
    shared = worker.result()
    assert shared["id"] == cloud.runs[2]["id"]
    assert shared["is_success"]


def test_a_queued_retry_is_not_adopted(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Shared", duration=None)
    first, blocking = (started_run(cloud, job) for _ in range(2))
    cloud.finish_run(first["id"], "error")
    cause = f"x: retry of run {first['id']} [dlt:0123456789ab]"
    again = run_dbt_cloud_job(job_id=job, data={"cause": cause}, wait_for_outcome=False)
    assert again["status_humanized"] == "Queued"
    assert retried_run(cloud.runs[-1]) is None  # its own key comes last
    with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
        queued_retry = client.start_job_run(job, {"cause": cause})
    cancel_dbt_cloud_run(run_id=again["id"])
    assert share(blocking)["id"] != queued_retry["id"]


def test_a_manifest_of_another_target_hides_no_descendants(
    cloud: DBTCloudEmulator, shared_loads: SharedLoads, loaded_pipeline: dlt.Pipeline
) -> None:
    overrides: list[Any] = [{"target_name_override": "ci"}, {"git_branch": "fix"}]
    with shared_loads.pipeline("flights", load_tables, "airlines", "unheard_of") as pipeline:
        for loaded, steps in ((pipeline, None), (loaded_pipeline, NARROWED)):
            job = job_with_manifest(cloud)
            for data in overrides:
                run_dbt_cloud_job(job_id=job, pipeline=loaded, only_loaded=True, data=data)
                assert steps_of(cloud.runs[-1]) == steps
    assert len(cloud.runs) == 2 * (1 + len(overrides))


PROCESS = """
import sys, dlt
from dlt_dbtcloud import run_dbt_cloud_job
from dlt_dbtcloud.loads import last_load

name = sys.argv[1]
destination = dlt.destinations.duckdb(f"{name}.duckdb")
pipeline = dlt.pipeline(name, destination=destination, dataset_name="raw")
pipeline.run([{"id": 1}], table_name="airlines")
run = run_dbt_cloud_job(pipeline=pipeline, reuse_queued_run=True)
print(run["id"], last_load(pipeline).committed)
"""


@pytest.mark.usefixtures("forking")
def test_twenty_pipelines_share_two_runs(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One is in a process of its own, and the others in threads."""
    job = cloud.create_job("Shared", duration=None)
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job))
    monkeypatch.setenv("DBT_CLOUD__WAIT_SECONDS", "0.5")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    caplog.set_level("INFO", "dlt")
    config = resolve_configuration(DBTCloudConfiguration())

    def run(name: str) -> tuple[int | None, float]:
        committed = time.time()
        load = LastLoad(name, str(committed))
        trigger = Trigger(str(job), {"cause": name}, load, reuse_queued_run=True)
        with connect(config) as client:
            return Lifecycle(client, config).run_all([trigger])[0]["id"], committed

    first = started_run(cloud, job)
    with forked(PROCESS, "process") as process:
        threads = [in_background(partial(run, f"t{n}")) for n in range(19)]
        runs_by_worker = partial(waited_for, process, caplog.records)
        # a worker that has triggered or adopted a run may still find an earlier one
        until(lambda: len(runs_by_worker()) == 20 and len({*runs_by_worker().values()}) == 1)
        until(lambda: len(kept(cloud)) == 2)
        cloud.finish_run(first["id"])
        (shared,) = [run for run in kept(cloud) if run["id"] != first["id"]]
        cloud.finish_run(shared["id"])
        ended = [thread.result() for thread in threads]
        assert process.wait() == 0, process.errors
        run_id, committed = process.output.split()
        ended.append((int(run_id), float(committed)))
    assert [run_id for run_id, _ in ended] == [shared["id"]] * 20
    began = time_of(kept(cloud)[1], "started_at") or 0.0
    assert all(began > committed for _, committed in ended)
    assert len(kept(cloud)) == 2


def waited_for(process: Fork, records: Sequence[logging.LogRecord]) -> dict[object, str]:
    """Return the run that each worker logged last as its own, by thread or process."""
    logs: list[tuple[object, str]] = [(process.pid, process.errors)]
    logs += [
        (record.thread, f"|{record.filename}|{record.funcName}|{record.message}\n")
        for record in [*records]
    ]
    named = r"\|(?:start|duplicates)\.py\|.*(?:has run|Triggered run|\|Run) (\d+) "
    found: dict[object, str] = {}
    for worker, text in logs:
        assert "Traceback" not in text, text
        for run_id in re.findall(named, text):
            found[worker] = run_id
    return found


def kept(cloud: DBTCloudEmulator) -> list[Run]:
    return [run for run in cloud.runs if not run["is_cancelled"]]


@pytest.mark.dbt
def test_a_real_load_builds_exactly_its_descendants(flights: Flights, answers: AnswersOf) -> None:
    command = "dbt build --exclude-resource-type test unit_test --exclude tag:history"
    flights.load()
    job = flights.job(command)
    whole = run_dbt_cloud_job(job_id=job, pipeline=flights.pipeline, only_loaded=True)
    assert len(executed(whole["id"])) == 19
    flights.sql("DELETE FROM analytics.dim_planes")
    flights.sql("DELETE FROM analytics.dim_carriers")
    flights.load("planes", "weather")
    plan = plan_dbt_cloud_job(job_id=job, pipeline=flights.pipeline)
    part = run_dbt_cloud_job(
        job_id=job, pipeline=flights.pipeline, only_loaded=True, raise_on_failure=True
    )
    narrowed = ["--select", "source:raw.planes+", "source:raw.weather+"]
    (fed,) = answers("flights").nodes_of([["ls", *command.split()[2:], *narrowed]])
    sources = {uid for uid in fed if uid.startswith("source.")}
    assert {each["unique_id"] for each in own_results(part["id"])} == fed - sources
    assert plan["steps"] == steps_of(part)
    assert plan["nodes"] == sorted(fed - sources)
    assert 0 < (plan["seconds"] or 0) <= (plan["whole_seconds"] or 0)
    ((planes, carriers),) = flights.sql(
        "SELECT (SELECT count(*) FROM analytics.dim_planes), "
        "(SELECT count(*) FROM analytics.dim_carriers)"
    )
    assert planes > 0
    assert carriers == 0


@pytest.mark.parametrize(("duration", "waits"), [(0.03, True), (0, False)])
def test_the_returned_run_has_its_overrides(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, duration: float, waits: bool
) -> None:
    job = cloud.create_job("Slow", duration=duration, artifacts={"manifest.json": MANIFEST})
    ended_run(cloud, job)
    for _ in range(2):
        # first a new run, then the existing one
        run = run_dbt_cloud_job(
            job_id=job, pipeline=loaded_pipeline, only_loaded=True, wait_for_outcome=waits
        )
        assert steps_of(run) == NARROWED
    followed = get_dbt_cloud_run_status(run_id=run["id"], wait_for_outcome=waits)
    assert steps_of(followed) == NARROWED


def test_the_returned_runs_of_many_jobs_have_their_overrides(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    jobs = [
        cloud.create_job(name, duration=0.03, artifacts={"manifest.json": MANIFEST})
        for name in "ab"
    ]
    for job in jobs:
        ended_run(cloud, job)
    runs = run_dbt_cloud_jobs(jobs, pipeline=loaded_pipeline, only_loaded=True)
    assert [steps_of(run) for run in runs] == [NARROWED, NARROWED]


def test_an_adopted_run_has_its_overrides(cloud: DBTCloudEmulator) -> None:
    run = queued(cloud, steps_override=["dbt run"])
    shared = share(run, data={"steps_override": ["dbt run"]})
    assert shared["id"] == run["id"]
    assert steps_of(shared) == ["dbt run"]
    cancelled = cancel_dbt_cloud_run(run_id=run["id"])
    assert steps_of(cancelled) == ["dbt run"]


def test_a_retry_has_its_overrides(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "success"], duration=0.03)
    run = run_dbt_cloud_job(job_id=job, data={"threads_override": 3}, retries=1)
    assert run["is_success"]
    assert (run["trigger"] or {})["threads_override"] == 3
