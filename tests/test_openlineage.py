"""OpenLineage events are as the spec wants them, the same each time, and arrive as they are."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
from dlt.common.exceptions import MissingDependencyException
from jsonschema import ValidationError
from openlineage.client import OpenLineageClient
from openlineage.client.transport.http import HttpConfig, HttpTransport
from pytest_httpserver import HTTPServer

from dlt_dbtcloud.openlineage import emit_openlineage, events_of
from dlt_dbtcloud.typing import Run
from tests.nodes import RUN, manifest, node, result
from tests.openlineage_schema import validate
from tests.orchard import Orchard

SOURCE = {
    "unique_id": "source.shop.raw.orders",
    "name": "orders",
    "identifier": "orders_v3",
    "database": "db",
    "schema": "raw",
}
CHECK = {
    "test_metadata": {"name": "not_null", "kwargs": {"column_name": "id"}},
    "column_name": "id",
    "attached_node": "model.shop.a",
    "config": {"severity": "WARN"},
}
SHOP = manifest(
    node("model.shop.a", "source.shop.raw.orders", description="Orders.", meta={"owner": "ann"}),
    node("model.shop.python", "model.shop.a", language="python", compiled_code="def model(): ..."),
    node("seed.shop.days"),
    node("test.shop.not_null_a_id.0f", "seed.shop.days", "model.shop.a", **CHECK),
    node("test.shop.sums_agree", "seed.shop.days", "model.shop.a"),
    SOURCE,
)

Event = dict[str, Any]


@pytest.fixture
def environ(isolated: object) -> Iterator[None]:
    """Undo what the client does to the environment."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def real(orchard: Orchard) -> list[Event]:
    return events_of(
        orchard.run,
        orchard.manifest,
        orchard.results,
        orchard.catalog,
        compiled_code=orchard.compiled_code,
    )


def of_node(events: list[Event], unique_id: str) -> list[Event]:
    return [event for event in events if event["job"]["name"].endswith(f".{unique_id}")]


def ends(*results: Any, run: Run = RUN, **options: Any) -> list[Event]:
    events = events_of(run, SHOP, results, **options)
    for event in events:
        validate(event)
    return [event for event in events[1:] if event["eventType"] != "START"]


def test_a_run_without_nodes_starts_and_ends() -> None:
    start, end = events_of(RUN, {}, [])
    assert (start["eventType"], start["eventTime"]) == ("START", "2026-01-31T06:00:00+00:00")
    assert (end["eventType"], end["eventTime"]) == ("COMPLETE", "2026-01-31T06:05:00+00:00")
    assert start["job"] == end["job"]
    assert (start["job"]["namespace"], start["job"]["name"]) == ("dbt-cloud-1", "job-5")
    assert start["run"]["runId"] == end["run"]["runId"]


@pytest.mark.parametrize(("status", "kind"), [(10, "COMPLETE"), (20, "FAIL"), (30, "ABORT")])
def test_a_run_ends_as_it_ended(status: int, kind: str) -> None:
    [end] = ends(run={**RUN, "status": status, "status_message": "The reason."})
    assert end["eventType"] == kind
    messages = [facet["message"] for name, facet in end["run"]["facets"].items() if "error" in name]
    assert messages == ([] if status == 10 else ["The reason."])


def test_a_run_that_failed_without_a_word_says_where_to_look() -> None:
    [end] = ends(run={**RUN, "status": 20, "status_message": None})
    assert str(RUN["href"]) in end["run"]["facets"]["errorMessage"]["message"]


@pytest.mark.parametrize("status", [1, 2, 3, 99])
def test_a_run_that_goes_on_has_no_end(status: int) -> None:
    run: Run = {**RUN, "status": status, "started_at": None, "finished_at": None}
    [start] = events_of(run, {}, [])
    assert start["eventTime"] == "2026-01-31T05:59:00+00:00"


def test_a_run_without_any_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Run `7` has no `created_at`"):
        events_of({"id": 7}, {}, [])


def test_a_model_is_told_with_what_it_read_and_wrote() -> None:
    model, _ = ends(
        result("model.shop.a", rows_affected=12), compiled_code={"model.shop.a": "select 1"}
    )
    assert model["job"]["name"] == "job-5.model.shop.a"
    assert model["job"]["facets"]["jobType"]["jobType"] == "MODEL"
    sql = model["job"]["facets"]["sql"]
    assert (sql["query"], sql["dialect"]) == ("select 1", "postgres")
    assert [dataset["name"] for dataset in model["inputs"]] == ["db.raw.orders_v3"]
    [output] = model["outputs"]
    assert output["name"] == "db.marts.a"
    assert output["facets"]["documentation"]["description"] == "Orders."
    assert output["facets"]["ownership"]["owners"] == [{"name": "ann"}]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 12
    parent = model["run"]["facets"]["parent"]
    assert parent["job"] == {"namespace": "dbt-cloud-1", "name": "job-5"}


@pytest.mark.parametrize("rows", [None, -1])
def test_a_number_of_rows_that_is_none_is_not_told(rows: int | None) -> None:
    model, _ = ends(result("model.shop.a", rows_affected=rows))
    assert model["outputs"][0]["outputFacets"] == {}


def test_code_in_python_is_not_told_as_sql() -> None:
    model, _ = ends(result("model.shop.python"))
    assert "sql" not in model["job"]["facets"]


@pytest.mark.parametrize(
    ("status", "kind", "outputs"),
    [("error", "FAIL", 0), ("runtime error", "FAIL", 0), ("partial success", "FAIL", 1)],
)
def test_a_model_that_failed_says_why(status: str, kind: str, outputs: int) -> None:
    model, _ = ends(result("model.shop.a", status, message="No such column."))
    assert (model["eventType"], len(model["outputs"])) == (kind, outputs)
    assert model["run"]["facets"]["errorMessage"]["message"] == "No such column."
    silent, _ = ends(result("model.shop.a", status))
    assert silent["run"]["facets"]["errorMessage"]["message"] == "dbt gave no reason."


@pytest.mark.parametrize("status", ["skipped", "no-op", "reused"])
def test_what_was_not_executed_is_not_told(status: str) -> None:
    assert len(ends(result("model.shop.a", status))) == 1


@pytest.mark.parametrize("command", ["dbt compile", "dbt docs generate", "dbt source freshness"])
def test_what_was_only_compiled_is_not_told(command: str) -> None:
    assert len(ends(result("model.shop.a", command=command))) == 1


@pytest.mark.parametrize("unique_id", ["exposure.shop.a", "unit_test.shop.a.b", "operation.shop.a"])
def test_what_reads_and_writes_nothing_is_not_told(unique_id: str) -> None:
    assert len(ends(result(unique_id))) == 1


@pytest.mark.parametrize(
    ("status", "kind", "success"),
    [("pass", "COMPLETE", True), ("warn", "COMPLETE", False), ("fail", "FAIL", False)],
)
def test_a_test_asserts_something_of_the_model_it_is_for(
    status: str, kind: str, success: bool
) -> None:
    test, _ = ends(result("test.shop.not_null_a_id.0f", status, failures=3))
    assert (test["eventType"], test["outputs"]) == (kind, [])
    days, model = test["inputs"]
    assert days["inputFacets"] == {}
    assert model["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {
            "assertion": "not_null",
            "success": success,
            "name": "not_null_a_id",
            "column": "id",
            "severity": "warn",
            "actual": "3",
        }
    ]


def test_a_singular_test_asserts_something_of_all_that_it_reads() -> None:
    test, _ = ends(result("test.shop.sums_agree", "pass"))
    for dataset in test["inputs"]:
        [assertion] = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
        assert assertion == {"assertion": "sums_agree", "success": True, "name": "sums_agree"}


def test_times_that_are_missing_or_too_fine_are_mended() -> None:
    times: Any = {"started_at": None, "completed_at": "2026-01-31T08:01:01.123456789+02:00"}
    start, end = of_node(events_of(RUN, SHOP, [result("model.shop.a", **times)]), "model.shop.a")
    assert start["eventTime"] == "2026-01-31T06:00:00+00:00"
    assert end["eventTime"] == "2026-01-31T06:01:01.123456+00:00"


def test_the_same_run_gives_the_same_events_and_another_gives_others() -> None:
    results = [
        result("model.shop.a"),
        result("model.shop.a", step_index=5),
        result("seed.shop.days"),
    ]
    events = events_of(RUN, SHOP, results)
    assert events == events_of(RUN, SHOP, results)
    ids = {event["run"]["runId"] for event in events}
    assert len(ids) == 4
    assert all(str(UUID(run_id)) == run_id for run_id in ids)
    runs: list[Run] = [{**RUN, "id": 8}, {**RUN, "account_id": 2}]
    for run in runs:
        others = events_of(run, SHOP, results)
        assert not ids & {event["run"]["runId"] for event in others}


def test_namespaces_are_the_environments_and_the_accounts_unless_given() -> None:
    model, _ = ends(result("model.shop.a"))
    assert model["outputs"][0]["namespace"] == "postgres://dbt-cloud-environment-4"
    given: Any = {"namespace": "postgres://db:5432", "job_namespace": "nightly"}
    model, end = ends(result("model.shop.a"), **given)
    assert {d["namespace"] for d in (*model["inputs"], *model["outputs"])} == {"postgres://db:5432"}
    assert (model["job"]["namespace"], end["job"]["namespace"]) == ("nightly", "nightly")
    source = model["outputs"][0]["facets"]["dataSource"]
    assert (source["name"], source["uri"]) == ("postgres://db:5432", "postgres://db:5432")


def test_bigquery_needs_no_connection_for_its_namespace() -> None:
    events = events_of(RUN, {"metadata": {"adapter_type": "bigquery"}}, [result("seed.a.b")])
    for event in events:
        validate(event)
    [output] = events[1]["outputs"]
    assert (output["namespace"], output["facets"]["dataSource"]["uri"]) == ("bigquery", "bigquery:")


def test_events_without_a_manifest_are_still_events() -> None:
    foreign: list[Any] = [None, [], {"nodes": 1, "sources": {"a": 1}, "metadata": []}]
    for nonsense in foreign:
        results = [result("model.shop.a"), result("test.shop.t.0f", "fail")]
        events = events_of(RUN, nonsense, results, nonsense)
        assert len(events) == 6
        for event in events:
            validate(event)


def test_the_schema_finds_what_is_wrong() -> None:
    [start, _] = events_of(RUN, {}, [])
    wrong: list[Event] = [
        {**start, "run": {"runId": "7", "facets": {}}},
        {**start, "eventType": "BEGIN"},
        {**start, "eventTime": "yesterday"},
        {**start, "job": {"namespace": "a"}},
        {**start, "inputs": [{"name": "a"}]},
        {**start, "producer": "us"},
    ]
    for event in wrong:
        with pytest.raises(ValidationError):
            validate(event)


@pytest.mark.dbt
def test_all_events_of_a_real_run_are_as_the_spec_wants_them(real: list[Event]) -> None:
    for event in real:
        validate(event)
    assert json.loads(json.dumps(real)) == real


@pytest.mark.dbt
def test_each_run_starts_and_ends_once_and_in_order(real: list[Event]) -> None:
    kinds: dict[str, list[str]] = {}
    for event in real:
        kinds.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert {tuple(kind) for kind in kinds.values()} == {("START", "COMPLETE"), ("START", "FAIL")}
    assert len(kinds) == 10
    assert (real[0]["job"]["name"], real[-1]["eventType"]) == (real[-1]["job"]["name"], "FAIL")


@pytest.mark.dbt
def test_a_real_model_reads_what_dlt_loaded_and_has_typed_columns(real: list[Event]) -> None:
    _, juice = of_node(real, "model.orchard.juice")
    assert [dataset["name"] for dataset in juice["inputs"]] == ["orchard.raw.harvest_2025"]
    assert "raw" in juice["job"]["facets"]["sql"]["query"]
    facets = juice["outputs"][0]["facets"]
    assert facets["schema"]["fields"] == [
        {"name": "sort", "type": "VARCHAR", "description": "Of apples."},
        {"name": "litres", "type": "DOUBLE"},
    ]
    assert facets["ownership"]["owners"] == [{"name": "press@example.com"}]


@pytest.mark.dbt
def test_real_failures_say_why_and_what_was_skipped_is_silent(real: list[Event]) -> None:
    _, broken = of_node(real, "model.orchard.broken")
    assert "no_such_column" in broken["run"]["facets"]["errorMessage"]["message"]
    assert of_node(real, "model.orchard.after_broken") == []


@pytest.mark.dbt
def test_real_tests_assert_something_of_columns(real: list[Event]) -> None:
    found = {}
    for event in real:
        for dataset in event["inputs"]:
            for facet in dataset["inputFacets"].values():
                [told] = facet["assertions"]
                found[dataset["name"], told["column"], told["assertion"]] = told["success"]
    assert found == {
        ("orchard.marts.juice", "sort", "accepted_values"): False,
        ("orchard.marts.juice", "sort", "not_null"): True,
        ("orchard.marts.sorts", "colour", "accepted_values"): False,
    }


def received(server: HTTPServer) -> list[Event]:
    """Return what arrived, without the one tag that the client signs each run with."""
    events = [request.get_json() for request, _ in server.log]
    for event in events:
        tags = event["run"]["facets"].pop("tags")["tags"]
        assert [tag["key"] for tag in tags] == ["openlineage_client_version"]
    return events


def test_events_arrive_as_they_are(
    environ: None, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/api/v1/lineage", method="POST").respond_with_json({})
    monkeypatch.setenv("OPENLINEAGE_URL", httpserver.url_for(""))
    results = [
        result("model.shop.a", rows_affected=1),
        result("model.shop.a", "error", step_index=5, message="No."),
        result("test.shop.not_null_a_id.0f", "warn", failures=1),
    ]
    events = events_of(RUN, SHOP, results)
    before = json.dumps(events)
    emit_openlineage(events)
    assert received(httpserver) == events
    assert json.dumps(events) == before


def test_a_client_of_ones_own_is_used_and_stays_open(environ: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/lineage", method="POST").respond_with_json({})
    config = HttpConfig.from_dict({"url": httpserver.url_for(""), "endpoint": "lineage"})
    client = OpenLineageClient(transport=HttpTransport(config))
    events = events_of(RUN, {}, [])
    emit_openlineage(events[:1], client)
    emit_openlineage(events[1:], client)
    assert received(httpserver) == events


def test_a_backend_that_refuses_is_an_error(environ: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/lineage", method="POST").respond_with_data("no", status=400)
    config = HttpConfig.from_dict({"url": httpserver.url_for(""), "endpoint": "lineage"})
    client = OpenLineageClient(transport=HttpTransport(config))
    with pytest.raises(requests.HTTPError, match="400"):
        emit_openlineage(events_of(RUN, {}, []), client)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(MissingDependencyException, match=r"dlt-dbtcloud\[openlineage\]"):
        emit_openlineage([])
