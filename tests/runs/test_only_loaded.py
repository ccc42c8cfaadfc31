"""A run is narrowed to the loaded tables if they are known; otherwise all of the job runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import (
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.only_loaded import (
    Narrowing,
    Saving,
    log_saving,
    manifest_of,
    narrowed_by,
    narrowed_trigger,
)
from dlt_dbtcloud.typing import Job, Run, TriggerData
from dlt_dbtcloud.values import Relation
from tests.fixtures import Recorded
from tests.support.clock import FakeClock, clocked
from tests.support.past_runs import ended_run
from tests.support.projects.flights import Flights

SOURCES = {
    f"source.shop.raw.{name}": {
        "package_name": "shop",
        "source_name": "raw",
        "name": name,
        "schema": "raw",
    }
    for name in ("flights", "idle")
}
MANIFEST: dict[str, Any] = {
    "sources": SOURCES,
    "nodes": {"model.shop.stg": {}},
    "child_map": {"source.shop.raw.flights": ["model.shop.stg"]},
}
FLIGHTS = [Relation("flights", "raw")]
FLIGHTS_SOURCE = SOURCES["source.shop.raw.flights"]
DAMAGED: list[Any] = [
    [],
    {"metadata": {}},
    {"sources": {"source.a.b.c": {"schema": "raw"}}, "nodes": {}},
    {"sources": 1, "nodes": 2},
    {**MANIFEST, "sources": {"source.shop.raw.flights": {**FLIGHTS_SOURCE, "schema": None}}},
    {**MANIFEST, "sources": {"source.shop.raw.flights": {**FLIGHTS_SOURCE, "schema": ["raw"]}}},
    {**MANIFEST, "sources": {"source.shop.raw.flights": {**FLIGHTS_SOURCE, "name": None}}},
    {**MANIFEST, "sources": [*SOURCES.values()]},
    {**MANIFEST, "nodes": ["model.shop.stg"]},
    {**MANIFEST, "nodes": {"model.shop.stg": {"depends_on": None}}},
    {**MANIFEST, "child_map": {"source.shop.raw.flights": None}},
    {**MANIFEST, "child_map": []},
    {**MANIFEST, "selectors": [1]},
    {**MANIFEST, "selectors": {"nightly": None}},
    {**MANIFEST, "metadata": {"dbt_schema_version": "https://x/dbt/manifest/v99.json"}},
    {key: value for key, value in MANIFEST.items() if key != "nodes"},
    {key: value for key, value in MANIFEST.items() if key != "child_map"},
]
BODY: TriggerData = {"cause": "a test", "threads_override": 2}


def narrowed_body(*arguments: Any, **options: Any) -> TriggerData | None:
    """Return the narrowed trigger without its scope."""
    narrowed = narrowed_trigger(*arguments, **options)
    return narrowed and narrowed[0]


def job_with(cloud: DBTCloudEmulator, files: Any, **options: Any) -> str:
    """Return a job that has run once."""
    job = cloud.create_job("Nightly", artifacts=files, **options)
    ended_run(cloud, job)
    return str(job)


def test_narrowing_takes_two_requests(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    before = len(cloud.requests)
    narrowed = narrowed_body(client, job, BODY, FLIGHTS)
    assert narrowed == {**BODY, "steps_override": ["dbt build --select source:raw.flights+"]}
    assert len(cloud.requests) - before == 2


def test_the_triggers_own_commands_are_narrowed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    body: TriggerData = {**BODY, "steps_override": ["dbt run -s tag:a"]}
    assert narrowed_body(client, job, body, FLIGHTS) == {
        **BODY,
        "steps_override": ["dbt run --select tag:a,source:raw.flights+"],
    }


def test_the_log_has_what_was_narrowed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dlt")
    more = {"model.shop.other": {}, "model.shop.gone": {"config": {"materialized": "ephemeral"}}}
    nodes = {**MANIFEST["nodes"], **more, "analysis.shop.a": {}}
    job = job_with(
        cloud,
        {"manifest.json": {**MANIFEST, "nodes": nodes}},
        execute_steps=["dbt seed", "dbt build"],
    )
    narrowed_body(client, job, BODY, FLIGHTS)
    assert (
        f"Narrowed job {job} to 1 of 2 nodes, from `dbt seed`, `dbt build` to "
        "`dbt build --select source:raw.flights+`." in caplog.text
    )


def test_the_log_has_what_a_narrowed_run_saved(
    cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dlt")
    source = {**FLIGHTS_SOURCE, "name": "airlines"}
    nodes: dict[str, Any] = {"model.shop.stg": {}, "model.shop.other": {}}
    manifest = {
        "sources": {"source.shop.raw.airlines": source},
        "nodes": nodes,
        "child_map": {"source.shop.raw.airlines": ["model.shop.stg"]},
    }
    built = {"results": [{"unique_id": node, "status": "success"} for node in nodes]}
    job = job_with(cloud, {"manifest.json": manifest, "run_results.json": built})
    options: Any = {"job_id": job, "pipeline": loaded_pipeline, "only_loaded": True}
    run = run_dbt_cloud_job(**options)
    (line,) = [each.message for each in caplog.records if " built " in each.message]
    assert line.startswith(f"Run {run['id']} built 1 of 2 nodes in ")
    assert line.endswith(f" of run {cloud.runs[0]['id']}, the last of the whole job.")
    caplog.clear()
    run_dbt_cloud_job(**options)
    assert " built " not in caplog.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20, "in 20 s, 70 s less than the 90 s of run 1, the last of the whole job."),
        (95, "in 95 s, no less than the 90 s of run 1, the last of the whole job."),
    ],
)
def test_a_saving_is_measured_by_the_durations_of_runs(
    caplog: pytest.LogCaptureFixture, seconds: int, words: str
) -> None:
    caplog.set_level("INFO", "dlt")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def run(number: int, seconds: int) -> Run:
        times = [str(start), str(start + timedelta(seconds=seconds))]
        return Run(id=number, started_at=times[0], finished_at=times[1])

    log_saving(run(2, seconds), Saving(3, 9, run(1, 90)))
    assert caplog.messages == [f"Run 2 built 3 of 9 nodes {words}"]
    caplog.clear()
    log_saving(run(2, seconds), Saving(3, 9))
    assert caplog.messages == ["Run 2 built 3 of 9 nodes."]


def test_a_long_command_is_cut_in_the_log(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dlt")
    job = job_with(cloud, {"manifest.json": MANIFEST}, execute_steps=[f"dbt run -s {'a ' * 2000}"])
    narrowed_body(client, job, BODY, FLIGHTS)
    (line,) = [each.getMessage() for each in caplog.records if "Narrowed" in each.getMessage()]
    assert len(line) < 2000


def test_a_job_without_commands_runs_whole(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST}, execute_steps=[])
    assert narrowed_body(client, job, BODY, FLIGHTS) == BODY
    assert "its commands are not known" in caplog.text


def test_a_table_whose_source_is_elsewhere_runs_the_whole_job(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    elsewhere = Relation("flights", "raw_dev")
    for loaded in ([elsewhere], [elsewhere, Relation("idle", "raw")]):
        caplog.clear()
        assert narrowed_body(client, job, BODY, loaded) == BODY
        assert (
            f"Running all of job {job} instead of only what was loaded: `raw_dev.flights` was "
            "loaded" in caplog.text
        )
        assert "source `raw.flights` as `raw.flights`" in caplog.text
        assert "set `schema: raw_dev` of source `raw.flights`" in caplog.text


def test_one_warning_names_a_few_of_many_tables(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"table_{number:03}" for number in range(50)]
    sources = {f"source.shop.raw.{name}": {**FLIGHTS_SOURCE, "name": name} for name in names}
    job = job_with(cloud, {"manifest.json": {**MANIFEST, "sources": sources}})
    assert narrowed_body(client, job, BODY, [Relation(name, "dev") for name in names]) == BODY
    assert "`dev.table_002`" in caplog.text
    assert "table_003" not in caplog.text
    assert "47 more tables are not declared in their places." in caplog.text


def test_an_override_of_the_schema_may_move_a_source_to_a_declared_table(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    moving = {**FLIGHTS_SOURCE, "source_name": "target", "schema": "prod"}
    sources = {**SOURCES, "source.shop.target.flights": moving}
    job = job_with(cloud, {"manifest.json": {**MANIFEST, "sources": sources}})
    assert "steps_override" in (narrowed_body(client, job, BODY, FLIGHTS) or {})
    body: TriggerData = {**BODY, "schema_override": "raw"}
    assert narrowed_body(client, job, body, FLIGHTS) == body
    assert "may declare other sources for flights than the newest manifest" in caplog.text


UNFED = [Relation("idle", "raw")], [Relation("unknown", "raw")]


def test_tables_without_descendants_need_no_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    for loaded in UNFED:
        assert narrowed_body(client, job, BODY, loaded) is None


def test_an_old_manifest_skips_no_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    """The project may have other sources and models by now, and only a run shows them."""
    written = datetime.now(timezone.utc) - timedelta(days=30)
    metadata = {"generated_at": written.isoformat()}
    job = job_with(cloud, {"manifest.json": {**MANIFEST, "metadata": metadata}})
    # the age is that of the run, unless it only repeats an older manifest
    after_6_days, after_8_days = (
        clocked(client, FakeClock(ahead=86400.0 * days)) for days in (6, 8)
    )
    for loaded in UNFED:
        caplog.clear()
        assert narrowed_body(after_6_days, job, BODY, loaded) is None
        assert "its manifest is older" not in caplog.text
        assert narrowed_body(after_8_days, job, BODY, loaded) == BODY
        assert "its manifest is older than 7 days" in caplog.text


def test_the_manifest_of_a_failed_run_skips_no_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST}, outcome="error")
    for loaded in UNFED:
        caplog.clear()
        assert narrowed_body(client, job, BODY, loaded) == BODY
        assert "failed, so its manifest may lack sources of models" in caplog.text


def test_tables_without_a_source_are_named_once(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dlt")
    job = job_with(cloud, {"manifest.json": MANIFEST})
    narrowed_body(client, job, BODY, [*FLIGHTS, Relation("b", "raw"), Relation("a", "raw")])
    assert caplog.text.count("Loaded tables without a dbt source: a, b.") == 1


@pytest.mark.parametrize(
    "files",
    [{}, {"manifest.json": b"<html>"}, {"manifest.json": DAMAGED[-1]}],
)
def test_without_a_manifest_all_of_the_job_runs_with_a_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, files: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(cloud, files)
    assert narrowed_body(clocked(client, FakeClock()), job, BODY, FLIGHTS) == BODY
    assert f"Running all of job {job}" in caplog.text


def narrowed_with(manifest: Any) -> Narrowing:
    """Narrow a job by a manifest without reading it."""
    job = Narrowing(BODY, Job(id=1), ["dbt build"])
    return narrowed_by(manifest_of(json.dumps(manifest).encode()), job, FLIGHTS, time.time())


def test_with_a_damaged_manifest_all_of_the_job_runs() -> None:
    for manifest in DAMAGED:
        narrowed = narrowed_with(manifest)
        assert narrowed.doubt, manifest
        assert narrowed.body == BODY


def mutations(value: Any) -> Iterator[Any]:
    """Yield copies of a value in each of which another part is of another type."""
    others: tuple[Any, ...] = (None, [], "", 7, {})
    yield from (other for other in others if other != value)
    for key, part in value.items() if isinstance(value, dict) else ():
        yield {other: kept for other, kept in value.items() if other != key}
        yield from ({**value, key: other} for other in mutations(part))
    for index, part in enumerate(value) if isinstance(value, list) else ():
        yield from ([*value[:index], other, *value[index + 1 :]] for other in mutations(part))


def test_no_damage_of_a_manifest_skips_the_run_or_is_an_error() -> None:
    whole = {
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
        "sources": {
            "source.shop.raw.flights": {
                **FLIGHTS_SOURCE,
                "identifier": "flights",
                "database": None,
                "config": {"enabled": True, "meta": {}},
            }
        },
        "nodes": {
            "model.shop.stg": {
                "depends_on": {"nodes": ["source.shop.raw.flights"]},
                "config": {"materialized": "view"},
            }
        },
        "child_map": {"source.shop.raw.flights": ["model.shop.stg"], "model.shop.stg": []},
        "selectors": {"nightly": {"default": False}},
    }
    damaged = [
        each
        for each in mutations(whole)
        # without sources, certainly nothing is fed
        if not (isinstance(each, dict) and each.get("sources") == {})
    ]
    assert len(damaged) > 100
    for manifest in damaged:
        narrowed = narrowed_with(manifest)
        assert not narrowed.is_empty, manifest
        narrowed.saving(())


def test_all_of_a_job_that_has_never_run_is_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    assert narrowed_body(client, str(cloud.create_job("New")), BODY, FLIGHTS) == BODY


def test_the_manifest_of_an_earlier_step_is_found(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, recorded: Recorded, tmp_path: Path
) -> None:
    flights = Flights(recorded("parse_and_deps"), tmp_path)
    job = flights.job("dbt parse", "dbt --no-write-json deps")
    ended_run(cloud, job)
    before = len(cloud.requests)
    body: TriggerData = {"cause": "x", "steps_override": ["dbt run"]}
    narrowed = narrowed_body(client, str(job), body, [Relation("weather", "raw")])
    assert narrowed == {"cause": "x", "steps_override": ["dbt run --select source:raw.weather+"]}
    assert len(cloud.requests) - before == 3


@pytest.mark.parametrize("kind", ["cut", "rate_limit"])
def test_an_outage_is_waited_out(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, kind: Any
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job_artifact", kind, calls=16)
    # the job is read before it, and not again while the outage lasts
    cloud.fail("get_job", kind, skip=1, calls=16)
    clock = FakeClock()
    narrowed = narrowed_body(clocked(client, clock), job, BODY, FLIGHTS)
    assert narrowed is not None
    assert "steps_override" in narrowed
    assert len(cloud.struck) == (16 if kind == "rate_limit" else 32)
    # a single request is retried for two minutes
    assert clock.now > 300


def test_the_job_is_requested_once_per_attempt(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job", "status", calls=7)
    clock = FakeClock()
    assert narrowed_body(clocked(client, clock), job, BODY, FLIGHTS) != BODY
    assert len(clock.sleeps) == 7


@pytest.mark.parametrize(
    ("kind", "spared"),
    # whether the job is answered, so that its manifest is not
    [("html", 0), ("rate_limit", 0), ("status", 1), ("rate_limit", 1)],
)
def test_an_outage_that_outlasts_the_timeout_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, kind: Any, spared: int
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job", kind, skip=spared, calls=None)
    cloud.fail("get_job_artifact", kind, calls=None)
    clock = FakeClock()
    with pytest.raises(DBTCloudException) as caught:
        narrowed_body(clocked(client, clock), job, BODY, FLIGHTS, timeout=150)
    assert caught.value.is_outage
    assert clock.now == pytest.approx(150)


def test_a_retry_after_beyond_the_timeout_is_an_error_at_once(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job_artifact", "rate_limit", retry_after=301)
    clock = FakeClock()
    with pytest.raises(DBTCloudRateLimitError):
        narrowed_body(clocked(client, clock), job, BODY, FLIGHTS, timeout=300)
    assert clock.sleeps == []


@pytest.mark.parametrize(("path", "status"), [("get_job_artifact", 401), ("get_artifact", 403)])
def test_a_rejected_token_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, path: str, status: int
) -> None:
    files = {"manifest.json": MANIFEST} if path == "get_job_artifact" else {}
    job = job_with(cloud, files)
    cloud.fail(path, "status", status=status, when="before")
    with pytest.raises(DBTCloudAuthError, match=str(status)):
        narrowed_body(clocked(client, FakeClock()), job, BODY, FLIGHTS)


@pytest.mark.parametrize(("kind", "said"), [("status", "503"), ("cut", "got no response")])
def test_a_refused_manifest_is_given_up_while_the_api_responds(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    said: str,
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job_artifact", kind, calls=None)
    clock = FakeClock()
    assert narrowed_body(clocked(client, clock), job, BODY, FLIGHTS) == BODY
    (warned,) = [each.getMessage() for each in caplog.records if "all of job" in each.getMessage()]
    assert f"Running all of job {job}" in warned
    assert "its manifest cannot be read" in warned
    assert said in warned
    assert 20 < clock.now < 120


def test_an_outage_does_not_count_as_a_refused_manifest(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = job_with(cloud, {"manifest.json": MANIFEST})
    cloud.fail("get_job_artifact", "status", calls=9)
    # the API answers beside all of the failures but the sixth, and so not six times in a row
    cloud.fail("get_job", "status", skip=6, calls=1)
    narrowed = narrowed_body(clocked(client, FakeClock()), job, BODY, FLIGHTS)
    assert narrowed is not None
    assert "steps_override" in narrowed


def test_a_job_that_does_not_exist_is_an_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    with pytest.raises(DBTCloudNotFoundError):
        narrowed_body(client, "1", BODY, FLIGHTS)
