"""A failed run is explained with as much of its cause as can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
)
from dlt_dbtcloud.artifacts.results import ReadRuns, step_results
from dlt_dbtcloud.dbt import FusionLog, Manifest
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.failure import (
    advice,
    describe_nodes,
    describe_step,
    explain,
    node_failures,
    other_errors,
)
from dlt_dbtcloud.typing import NodeResult, Run, RunStep
from tests.fixtures import Recorded
from tests.support.clock import FakeClock, FakeTimer, clocked
from tests.support.dbt.manifests import read_manifest, read_results
from tests.support.dbt.recordings import load, replayed_job
from tests.support.past_runs import ended_run, started_run
from tests.support.projects.flights import Flights, own_results, statuses
from tests.support.servers.wire import WireServer

ERROR = {
    "unique_id": "model.shop.orders",
    "status": "error",
    "message": "Database Error in model orders",
}
FILES = {"run_results.json": {"results": [ERROR]}, "manifest.json": {"nodes": {}, "sources": {}}}


def failed(cloud: DBTCloudEmulator, files: Any = FILES, **options: Any) -> Run:
    job = cloud.create_job("Nightly", outcome="error", artifacts=files, **options)
    return ended_run(cloud, job)


def test_an_explanation_takes_three_requests(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = failed(cloud)
    before = len(cloud.requests)
    error = explain(client, run)
    assert isinstance(error, DBTCloudRunFailed)
    assert 'in run {} of job "Nightly": 1 error'.format(run["id"]) in str(error)
    assert [failure["unique_id"] for failure in error.failures] == ["model.shop.orders"]
    assert [request.path.rpartition("/runs/")[2] for request in cloud.requests[before:]] == [
        f"{run['id']}/",
        f"{run['id']}/artifacts/run_results.json",
        f"{run['id']}/artifacts/manifest.json",
    ]


def test_a_cool_down_does_not_hide_the_reason(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = failed(cloud)
    clock = FakeClock()
    cloud.limit_requests(1, clock=clock.monotonic)
    error = explain(clocked(client, clock), run)
    assert isinstance(error, DBTCloudRunFailed)
    assert [failure["unique_id"] for failure in error.failures] == ["model.shop.orders"]
    assert cloud.struck


def test_an_outage_does_not_hide_that_the_run_failed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run = failed(cloud)
    cloud.fail("get_run", "status", calls=None)
    error = explain(clocked(client, FakeClock()), run)
    assert isinstance(error, DBTCloudRunFailed)
    assert f"Run {run['id']} of job" in str(error)
    assert "Its steps and logs show the reason; they could not be read: `GET " in str(error)
    assert "503" in str(error)


def test_a_malformed_artifact_does_not_hide_that_the_run_failed(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    malformed: list[Any] = [
        {"run_results.json": b"<html>", "manifest.json": b"{}"},
        {"run_results.json": {"results": [ERROR]}, "manifest.json": b"["},
        {"run_results.json": {"results": [ERROR]}, "manifest.json": {"nodes": 3, "sources": []}},
        {"run_results.json": {"results": [{"status": 1}]}},
        {"run_results.json": {"results": [ERROR]}},
    ]
    for files in malformed:
        error = explain(clocked(client, FakeClock()), failed(cloud, files))
        assert isinstance(error, DBTCloudRunFailed)
        assert "failed" in str(error)


def test_without_results_the_error_quotes_the_log(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    error = explain(clocked(client, FakeClock()), failed(cloud, {}))
    assert "the end of its log" in str(error)
    assert "Encountered an error, as scripted" in str(error)


def test_if_no_failed_node_has_a_message_the_error_quotes_the_log(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    """As after a failed `dbt run-operation` of dbt Core."""
    operation = {"unique_id": "macro.shop.vacuum", "status": "error", "message": None}
    error = explain(client, failed(cloud, {"run_results.json": {"results": [operation]}}))
    assert isinstance(error, DBTCloudRunFailed)
    assert "Encountered an error, as scripted" in str(error)
    assert [failure["unique_id"] for failure in error.failures] == ["macro.shop.vacuum"]


def response(data: Any, code: int = 200) -> bytes:
    """Return a response of the API as bytes."""
    status = {"code": code, "is_success": code == 200, "user_message": "Scripted."}
    body = json.dumps({"status": status, "data": data}).encode()
    head = f"HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def without_results(logs: str | None) -> Run:
    """Return a run that failed before dbt ran a node."""
    step = RunStep(index=3, name="Invoke dbt with `dbt deps`", status=20, logs=logs)
    return Run(id=7, job_definition_id=5, status=20, run_steps=[step])


@pytest.mark.parametrize("missing", ["", None])
def test_a_late_log_is_awaited(missing: str | None) -> None:
    clock = FakeClock()
    early, late = without_results(missing), without_results("No such package.")
    with (
        # the manifest, which is not awaited, is requested in between
        WireServer(response(early), response(None, 404), response(early), response(late)) as server,
        DBTCloudClientV2("a-token", 1, server.url) as client,
    ):
        runs = ReadRuns()
        error = explain(clocked(client, clock), early, runs=runs)
        # without a further request, to which the server would have no response
        assert runs.run(client, 7) == late
    assert "No such package." in str(error)
    assert clock.sleeps == [1.0]


@pytest.mark.parametrize("known", [[ERROR], []])
def test_a_failed_node_whose_result_cannot_be_read_is_named(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, known: list[Any]
) -> None:
    lost = {**ERROR, "unique_id": "model.shop.lost", "status": 5}
    files = {**FILES, "run_results.json": {"results": [*known, lost]}}
    error = explain(clocked(client, FakeClock()), failed(cloud, files))
    assert len(error.failures if isinstance(error, DBTCloudRunFailed) else ()) == len(known)
    place = f"`$.results[{len(known)}].status` of `model.shop.lost`"
    assert f"\nResults that could not be read: {place}." in str(error)


def test_the_token_is_removed_from_messages(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    leaking = {**ERROR, "message": f"401 for {cloud.api_token}"}
    run = failed(cloud, {"run_results.json": {"results": [leaking]}, "manifest.json": {}})
    error = explain(client, run)
    assert "401 for ***" in str(error)
    assert cloud.api_token not in str(error) + str(vars(error))


def test_secrets_in_a_command_are_redacted(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    steps = ['dbt build --vars \'{"db_password": "hunter2"}\'']
    for files in (FILES, {}):
        error = explain(clocked(client, FakeClock()), failed(cloud, files, execute_steps=steps))
        assert "hunter2" not in str(error) + str(vars(error))


def test_a_cancellation_by_a_person_differs_from_a_time_limit() -> None:
    clock = FakeClock()
    with (
        DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud,
        DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client,
    ):
        job = cloud.create_job("Nightly", duration=None)
        cancelled = client.cancel_run(started_run(cloud, job)["id"])
        error = explain(client, client.get_run_status(cancelled["id"]))
        assert isinstance(error, DBTCloudRunCancelled)
        assert not error.timed_out
        assert 'of job "Nightly" was cancelled by Embedded dbt Cloud.' in str(error)

        limited = started_run(cloud, job, timeout_seconds_override=1)
        clock.sleep(1)
        error = explain(client, client.get_run_status(limited["id"]))
        assert isinstance(error, DBTCloudRunCancelled)
        assert error.timed_out
        assert "exceeded its time limit" in str(error)
        assert "`timeout_seconds_override`" in str(error)


def test_the_explanation_of_a_failed_test(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, recorded: Recorded, tmp_path: Path
) -> None:
    flights = Flights(recorded("failed_test"), tmp_path)
    flights.load_for_dbt()
    flights.change("UPDATE raw.flights SET dep_time = 900 WHERE dep_time = 517")
    error = explain(client, ended_run(cloud, flights.job()))
    assert isinstance(error, DBTCloudRunFailed)
    description = str(error)
    (test,) = error.failures
    assert "1 failed test" in description
    # each of them descends from the tested node, not from the test
    skipped = statuses(own_results(error.run_id))["skipped"]
    assert test["skipped"] == skipped > 0
    assert (test["message"] or "").strip()
    assert str(test["message"]).splitlines()[0] in description
    assert 'The rows that failed are in "flights"."analytics_dbt_test__audit"."' in description
    assert "a retry is unlikely to help until the data change" in description


def test_the_explanation_of_a_project_that_does_not_compile(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, recorded: Recorded, tmp_path: Path
) -> None:
    flights = Flights(recorded("unknown_ref"), tmp_path)
    flights.add("models/marts/dim_carriers.sql", "select * from {{ ref('no_such_model') }}")
    error = explain(client, ended_run(cloud, flights.job("dbt seed", "dbt run")))
    assert isinstance(error, DBTCloudRunFailed)
    description = str(error)
    assert "failed in step 4, Invoke dbt with `dbt seed`; the end of its log:" in description
    assert "no_such_model" in description
    assert "Fix the project first" in description
    assert error.failures == []


Fail = Callable[[str], DBTCloudRunFailed]


@pytest.fixture
def replayed_failure(cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path) -> Fail:
    """Return a function that returns the error of a recorded run of dbt Fusion, by its name."""

    def fail(name: str) -> DBTCloudRunFailed:
        error = explain(client, ended_run(cloud, replayed_job(cloud, tmp_path, name)))
        assert isinstance(error, DBTCloudRunFailed)
        return error

    return fail


def test_failures_on_dbt_fusion_are_explained_as_on_dbt_core(replayed_failure: Fail) -> None:
    error = replayed_failure("failures")
    model, test = error.failures
    assert f"2 of 11 nodes failed in run {error.run_id}" in str(error)
    assert '"Press": 1 error, 1 failed test, 3 skipped.' in str(error)
    assert "no_such_column" in (model["message"] or "")
    assert (model["skipped"], model["tables"]) == (1, ["raw.harvest_2025"])
    assert test["message"] == "Got 1 result, configured to fail if != 0"
    # the seed's two models, as a snapshot is not skipped
    assert test["skipped"] == 2
    assert "Of the tests, 1 only warned: accepted_values_juice_sort__boskoop." in str(error)
    assert "a retry is unlikely to help until the data change" in str(error)


def test_an_unknown_ref_on_dbt_fusion_is_quoted_from_the_log(replayed_failure: Fail) -> None:
    error = replayed_failure("unknown_ref")
    (model,) = error.failures
    assert model["unique_id"] == "model.orchard.bad"
    assert (model["message"] or "").splitlines() == [
        "[error] [DependencyNotFound (dbt1048)]: Ref 'no_such_model' not found in project. "
        "Searched for 'orchard.no_such_model, no_such_model'",
        "  --> models/bad.sql:1:15",
    ]
    assert "Fix the project first; then" in str(error)


def test_an_error_that_makes_nodes_fail_on_dbt_fusion_is_quoted_beside_them(
    replayed_failure: Fail,
) -> None:
    """The nodes lack a source because its YAML file is broken."""
    error = replayed_failure("broken_yaml")
    assert {failure["unique_id"] for failure in error.failures} == {"model.orchard.picked"}
    assert str(error).count("Source 'raw.harvest' not found in project") == 1
    assert "Other errors in its log:\n     [error] [SerializationError (dbt1013)]" in str(error)
    assert "--> models/schema.yml:2:1" in str(error)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        (
            "jinja_error",
            "     [error] [MacroSyntaxInvalid (dbt1502)]: Failed to render SQL syntax error: "
            "unexpected end of block\n     (in models/bad.sql:1:14)\n",
        ),
        (
            "stale_source",
            "     [error] [StaleSource (dbt1063)]: Stale source source.orchard.stock.",
        ),
        ("no_database", "     [error] [DbDriverFailed (dbt1308)]: Failed to create schema 'marts'"),
    ],
)
def test_an_error_of_no_node_on_dbt_fusion_is_quoted_without_its_backtrace(
    replayed_failure: Fail, name: str, quoted: str
) -> None:
    error = replayed_failure(name)
    assert f"failed in step 4, Invoke dbt with `{load(name)[0]['command']}`; its errors:" in str(
        error
    )
    assert quoted in str(error)
    assert "<unknown>" not in str(error)
    assert "start_thread" not in str(error)
    # without a database, all nodes have the message "Compilation Error"
    assert error.failures == []
    assert ("Fix the project first" in str(error)) is (name == "jinja_error")


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("fail_fast", "fail", "Got 1 result, configured to fail if != 0"),
        ("fail_fast_cancelled", "error", "Failed [  "),
    ],
)
def test_with_fail_fast_on_dbt_fusion_only_what_failed_is_reported(
    replayed_failure: Fail, name: str, status: str, message: str
) -> None:
    error = replayed_failure(name)
    (test,) = error.failures
    assert test["name"] == "accepted_values_sorts_colour__green"
    assert test["status"] == status
    assert (test["message"] or "").startswith(message)
    assert f"1 of 3 nodes failed in run {error.run_id}" in str(error)


RETRY = "`retry_dbt_cloud_run(run_id=9001)`"
RUN: Any = {"id": 9001, "job_definition_id": 7, "job": {"name": "Nightly"}}
STEP = RunStep(index=4, name="Invoke dbt with `dbt build`", status=20)
MANIFEST = {
    "nodes": {
        "model.shop.orders": {
            "name": "orders",
            "resource_type": "model",
            "original_file_path": "models/orders.sql",
        },
        "test.shop.positive.0": {
            "name": "positive",
            "resource_type": "test",
            "original_file_path": "models/shop.yml",
        },
    },
    "sources": {
        f"source.shop.raw.{name}": {"name": name, "identifier": name.upper(), "schema": "raw"}
        for name in ("payments", "refunds")
    },
    "parent_map": {
        "model.shop.orders": ["model.shop.stg"],
        "model.shop.stg": ["source.shop.raw.payments", "source.shop.raw.refunds"],
        "test.shop.positive.0": ["model.shop.orders"],
    },
    "child_map": {"model.shop.orders": ["model.shop.daily"], "model.shop.daily": ["test.shop.x.1"]},
}


def results(*statuses: tuple[str, str, str | None], **fields: Any) -> list[NodeResult]:
    written = [
        {"unique_id": unique_id, "status": status, "message": message, **fields}
        for unique_id, status, message in statuses
    ]
    found = read_results({"results": written})
    return list(step_results(9001, STEP, found, read_manifest(MANIFEST)))


FAILED = results(
    ("model.shop.stg", "success", "OK"),
    ("model.shop.orders", "error", "Database Error in model orders\n  no such column"),
    ("model.shop.daily", "skipped", None),
    ("test.shop.x.1", "skipped", None),
    ("test.shop.other.2", "warn", "Got 1 result"),
)


def test_the_description_of_an_error() -> None:
    loads = {"source.shop.raw.payments": "1732150000.123"}
    failures = node_failures(FAILED, read_manifest(MANIFEST), loads)
    assert describe_nodes(RUN, FAILED, failures) == (
        '1 of 5 nodes failed in run 9001 of job "Nightly": 1 error, 2 skipped.\n'
        "  1. model.shop.orders (models/orders.sql): error\n"
        "       Database Error in model orders\n"
        "         no such column\n"
        "     Skipped because of it: 2 nodes.\n"
        "     It is fed by raw.PAYMENTS, raw.REFUNDS, last by load 1732150000.123.\n"
        "Of the tests, 1 only warned: other."
    )
    assert failures == [
        {
            "unique_id": "model.shop.orders",
            "name": "orders",
            "resource_type": "model",
            "status": "error",
            "message": "Database Error in model orders\n  no such column",
            "path": "models/orders.sql",
            "relation_name": None,
            "step_index": 4,
            "command": "dbt build",
            "skipped": 2,
            "tables": ["raw.PAYMENTS", "raw.REFUNDS"],
            "load_id": "1732150000.123",
        }
    ]


def test_failed_tests_are_counted_apart_from_errors() -> None:
    both = results(
        ("model.shop.orders", "error", "x"),
        ("test.shop.positive.0", "fail", "Got 3 results, configured to fail if != 0"),
        relation_name='"db"."audit"."positive"',
    )
    failures = node_failures(both, read_manifest(MANIFEST))
    description = describe_nodes(RUN, both, failures)
    assert description.startswith(
        '2 of 2 nodes failed in run 9001 of job "Nightly": 1 error, 1 failed test.\n'
    )
    assert "test.shop.positive.0 (models/shop.yml): failed\n" in description
    assert 'The rows that failed are in "db"."audit"."positive".' in description
    assert "until the data change" in advice(RETRY, failures, STEP)


STOPPED = results(
    ("model.shop.orders", "error", "Compilation Error"),
    ("model.shop.daily", "error", "Compilation Error"),
)


@pytest.mark.parametrize(
    ("log", "named"),
    [
        ("", ["orders", "daily"]),
        ("[error] [DbDriverFailed (dbt1308)]: no driver", []),
        ("Failed [  0.1s] model daily (table)", ["daily"]),
        ("[error] [JinjaError (dbt1501)]: x\n  --> models/orders.sql:1:1", ["orders"]),
    ],
)
def test_if_dbt_fusion_reports_all_nodes_alike_the_log_names_those_that_failed(
    log: str, named: list[str]
) -> None:
    failures = node_failures(STOPPED, read_manifest(MANIFEST), log=FusionLog(log))
    assert [failure["name"] for failure in failures] == named


@pytest.mark.parametrize(("message", "count"), [("Compilation Error", 1), ("No such column", 0)])
def test_errors_in_the_project_are_quoted_only_if_no_node_ran(message: str, count: int) -> None:
    """Else they are in the messages of nodes, too."""
    failed = {"unique_id": "unit_test.shop.b", "status": "error", "message": message}
    step = RunStep(index=4, name="Invoke dbt with `dbt build`")
    results = [*step_results(7, step, read_results({"results": [failed]}), Manifest())]
    log = FusionLog("[error] [JinjaError (dbt1501)]: No such column")
    assert len(other_errors(results, Manifest(), log)) == count


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "Got 3 results, configured to fail if != 0"),
        ({"error_if": "> 2"}, "Got 3 results, configured to fail if > 2"),
    ],
)
def test_the_failures_of_a_test_are_counted_if_its_message_is_empty(
    config: dict[str, str], message: str
) -> None:
    nodes = {"test.shop.positive.0": {"name": "positive", "config": config}}
    failed = results(("test.shop.positive.0", "fail", "Error"), failures=3)
    (failure,) = node_failures(failed, read_manifest({"nodes": nodes, "sources": {}}))
    assert failure["message"] == message


def test_a_message_with_content_is_kept() -> None:
    log = FusionLog("[error] [JinjaError (dbt1501)]: x\n  --> models/orders.sql:1:1")
    failed = results(("model.shop.orders", "error", "Database Error"), failures=3)
    assert node_failures(failed, read_manifest(MANIFEST), log=log)[0]["message"] == "Database Error"


def test_models_with_warnings_are_not_tests_that_warn() -> None:
    warned = results(
        ("model.shop.daily", "warn", "Warn"),
        ("test.shop.positive.0", "warn", "Warn"),
        ("model.shop.orders", "error", "x"),
    )
    description = describe_nodes(RUN, warned, node_failures(warned, read_manifest(MANIFEST)))
    assert description.endswith(
        "Of the tests, 1 only warned: positive.\nBuilt with warnings: daily."
    )


def test_the_description_of_many_failures_is_short() -> None:
    many = results(*((f"model.shop.m{i}", "error", "x" * 10_000) for i in range(60)))
    description = describe_nodes(RUN, many, node_failures(many, read_manifest({})))
    assert description.startswith("60 of 60 nodes failed")
    assert "... and 50 more" in description
    assert len(description) < 8_000


def test_without_a_manifest_there_is_no_lineage() -> None:
    (failure,) = node_failures(FAILED, read_manifest({}))
    assert (failure["tables"], failure["skipped"], failure["load_id"]) == ([], 0, None)


def test_secrets_in_messages_are_redacted() -> None:
    leaking = results(("model.shop.orders", "error", "cannot connect: password=hunter2hunter2"))
    (failure,) = node_failures(leaking, read_manifest(MANIFEST))
    assert failure["message"] == "cannot connect: password=***"


def test_without_results_the_description_quotes_the_log() -> None:
    log = "\n".join(f"\x1b[31mline {i}\x1b[0m" for i in range(200)) + "\npassword=hunter2hunter2"
    description = describe_step(RUN, RunStep(**{**STEP, "logs": log}))
    first, *lines = description.splitlines()
    assert first == (
        'Run 9001 of job "Nightly" failed in step 4, Invoke dbt with `dbt build`; '
        "the end of its log:"
    )
    assert lines[0] == "     ..."
    assert len(lines) == 51
    assert lines[-2:] == ["     line 199", "     password=***"]


def test_the_description_of_a_step_without_a_log_and_of_a_run_without_steps() -> None:
    assert "it has no log" in describe_step(RUN, STEP)
    run: Any = {**RUN, "status_message": "No repository"}
    assert describe_step(run, None) == (
        'Run 9001 of job "Nightly" failed before its first step: No repository'
    )


def test_the_advice_depends_on_the_cause() -> None:
    broken = RunStep(**{**STEP, "logs": "Encountered an error:\nCompilation Error\n  in model x"})
    assert "Fix the project first; then" in advice(RETRY, [], broken)
    failures = node_failures(FAILED, read_manifest(MANIFEST))
    assert advice(RETRY, failures, STEP) == (
        f"{RETRY} runs only the nodes and steps that failed, were skipped or never began."
    )
    for step in (broken, STEP, None):
        assert RETRY in advice(RETRY, failures, step)
