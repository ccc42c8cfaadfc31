"""OpenLineage events are valid by the spec, and the same for each call."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from jsonschema import ValidationError

from dlt_dbtcloud import openlineage_events
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.lineage.openlineage import run_events
from dlt_dbtcloud.lineage.outcomes import Outcome
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import Run
from tests.support.dbt.nodes import FILES, RUN, manifest, node, outcome, result
from tests.support.past_runs import ended_run
from tests.support.projects.orchard import Orchard
from tests.support.servers.openlineage_schema import validate

SOURCE = {
    "unique_id": "source.shop.raw.orders",
    "name": "orders",
    "identifier": "orders_v3",
    "database": "db",
    "schema": "raw",
}
NOT_NULL = {
    "test_metadata": {"name": "not_null", "kwargs": {"column_name": "id"}},
    "column_name": "id",
    "attached_node": "model.shop.a",
    "config": {"severity": "WARN"},
}
SHOP = manifest(
    node("model.shop.a", "source.shop.raw.orders", description="Orders.", meta={"owner": "ann"}),
    node("model.shop.python", "model.shop.a", language="python"),
    node("seed.shop.days"),
    node("test.shop.not_null_a_id.0f", "seed.shop.days", "model.shop.a", **NOT_NULL),
    node("test.shop.sums_agree", "seed.shop.days", "model.shop.a"),
    node("test.shop.sums_up", "model.shop.a"),
    SOURCE,
)
Event = dict[str, Any]


@pytest.fixture
def real(orchard: Orchard) -> list[Event]:
    return run_events(orchard.run, orchard.outcomes)


def of_node(events: list[Event], unique_id: str) -> list[Event]:
    return [event for event in events if event["job"]["name"].endswith(f".{unique_id}")]


def ends(*results: Any, run: Run = RUN, **options: Any) -> list[Event]:
    events = run_events(run, [outcome(SHOP, *results)], **options)
    for event in events:
        validate(event)
    return [event for event in events[1:] if event["eventType"] != "START"]


def test_a_run_without_nodes_starts_and_ends() -> None:
    start, end = run_events(RUN, [])
    assert (start["eventType"], start["eventTime"]) == ("START", "2026-01-31T06:00:00+00:00")
    assert (end["eventType"], end["eventTime"]) == ("COMPLETE", "2026-01-31T06:05:00+00:00")
    assert start["job"] == end["job"]
    assert (start["job"]["namespace"], start["job"]["name"]) == ("dbt-cloud-1", "job-5")
    assert start["run"]["runId"] == end["run"]["runId"]


def test_the_end_event_matches_the_status() -> None:
    cases: list[tuple[int, str]] = [(10, "COMPLETE"), (20, "FAIL"), (30, "ABORT")]
    for status, kind in cases:
        [end] = ends(run={**RUN, "status": status, "status_message": "The reason."})
        assert end["eventType"] == kind
        messages = [
            facet["message"] for name, facet in end["run"]["facets"].items() if "error" in name
        ]
        assert messages == ([] if status == 10 else ["The reason."])


def test_a_failed_run_without_a_message_links_to_its_page() -> None:
    cases: list[tuple[Any, str]] = [
        ({}, f"See the run's steps: {RUN['href']}"),
        ({"href": None}, "No reason was given."),
        ({"href": 5}, "No reason was given."),
    ]
    for more, message in cases:
        [end] = ends(run={**RUN, "status": 20, "status_message": None, **more})
        assert end["run"]["facets"]["errorMessage"]["message"] == message


def test_a_failed_run_names_the_failed_nodes() -> None:
    failed = [result("unit_test.shop.a.adds", "fail"), result("operation.shop.hook", "error")]
    run: Run = {**RUN, "status": 20, "status_message": "It failed."}
    *_, end = ends(result("seed.shop.days"), *failed, *failed, run=run)
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message == "It failed. Failed: unit_test.shop.a.adds, operation.shop.hook."
    many = [result(f"model.shop.m{number}", "error") for number in range(22)]
    *_, end = ends(*many, run=run)
    assert end["run"]["facets"]["errorMessage"]["message"].endswith("model.shop.m19 and 2 more.")


def test_an_unknown_status_ends_by_the_flags_of_the_run() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"is_error": True}, "FAIL"),
        ({"is_cancelled": True}, "ABORT"),
        ({"is_success": True}, "COMPLETE"),
        ({}, "FAIL"),
    ]
    for flags, kind in cases:
        run: Any = {**RUN, "status": 40, "is_complete": True, **flags}
        [end] = ends(run=run)
        assert end["eventType"] == kind


def test_a_queued_run_has_no_events() -> None:
    for status in [1, 2, 3]:
        assert (
            run_events({**RUN, "status": status, "started_at": None, "finished_at": None}, []) == []
        )


def test_an_unfinished_run_has_no_end_event() -> None:
    [start] = run_events({**RUN, "status": 3, "finished_at": None}, [])
    assert (start["eventType"], start["eventTime"]) == ("START", "2026-01-31T06:00:00+00:00")


def test_a_run_cancelled_in_the_queue_has_both_events() -> None:
    run: Run = {**RUN, "status": 30, "started_at": None, "finished_at": None}
    times = [(event["eventType"], event["eventTime"]) for event in run_events(run, [])]
    created = "2026-01-31T05:59:00+00:00"
    assert times == [("START", created), ("ABORT", created)]


def test_a_run_without_times_is_refused() -> None:
    with pytest.raises(ValueError, match="Run `7` has no `created_at`"):
        run_events({"id": 7, "status": 10}, [])


def test_a_model_has_inputs_and_outputs() -> None:
    built = result("model.shop.a", rows_affected=12)
    start, model, _ = run_events(
        RUN, [outcome(SHOP, built, compiled_code={"model.shop.a": "select 1"})]
    )[1:]
    assert [d["name"] for d in (*start["inputs"], *start["outputs"])] == [
        "db.raw.orders_v3",
        "db.marts.a",
    ]
    assert start["outputs"][0]["outputFacets"] == {}
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
    assert parent["root"] == {"run": parent["run"], "job": parent["job"]}


def test_each_step_has_its_own_query_and_location() -> None:
    def step(index: int, schema: str) -> Outcome:
        code = {"model.shop.a": f"select {index}"}
        built = result("model.shop.a", step_index=index, relation_name=f'"db"."{schema}"."a"')
        return outcome(SHOP, built, compiled_code=code)

    compiled = outcome(SHOP, result("model.shop.a", command="dbt compile"), compiled_code={})
    events = run_events(RUN, [step(4, "prod"), step(5, "test"), compiled])
    found = [
        (event["outputs"][0]["name"], event["job"]["facets"]["sql"]["query"])
        for event in events[1:-1]
    ]
    assert found == [("db.prod.a", "select 4")] * 2 + [("db.test.a", "select 5")] * 2


def test_secrets_are_redacted() -> None:
    secret = "postgres://me:hunter2@db and TOKEN"
    code = {"model.shop.a": f"select '{secret}'"}
    failed = result("model.shop.a", "error", message=f"No: {secret}")
    run: Run = {**RUN, "status": 20, "status_message": secret}
    events = run_events(
        run,
        [outcome(SHOP, failed, compiled_code=code)],
        redact=lambda text: redact(text, "TOKEN"),
    )
    assert "postgres://me:***@db and ***" in json.dumps(events)
    assert not [word for word in ("hunter2", "TOKEN") if word in json.dumps(events)]


def test_two_sources_of_the_same_table_are_one_input() -> None:
    again = {**SOURCE, "unique_id": "source.shop.again.orders", "description": "Again."}
    both = manifest(node("model.shop.a", SOURCE["unique_id"], again["unique_id"]), SOURCE, again)
    [start, end] = run_events(RUN, [outcome(both, result("model.shop.a"))])[1:3]
    for event in (start, end):
        validate(event)
        [dataset] = event["inputs"]
        assert dataset["facets"]["documentation"]["description"] == "Again."


def test_events_share_no_objects() -> None:
    events = run_events(RUN, [outcome(SHOP, result("model.shop.a"))])
    others = json.dumps(events[:2])
    for dataset in (*events[2]["inputs"], *events[2]["outputs"]):
        dataset["facets"]["dataSource"]["name"] = "mine"
        dataset["facets"].get("ownership", {"owners": []})["owners"].append({})
    events[2]["job"]["facets"]["jobType"]["jobType"] = "MINE"
    events[2]["run"]["facets"]["parent"]["job"]["name"] = "mine"
    assert json.dumps(events[:2]) == others


def test_an_unknown_number_of_rows_has_no_facet() -> None:
    cases: list[tuple[int | None, bool]] = [(None, False), (-1, False), (0, True)]
    for rows, is_known in cases:
        model, _ = ends(result("model.shop.a", rows_affected=rows))
        assert bool(model["outputs"][0]["outputFacets"]) == is_known


def test_python_code_is_not_sql() -> None:
    code = {"model.shop.python": "def model(): ...", "model.shop.a": " \n"}
    results = [result(unique_id) for unique_id in code]
    for event in run_events(RUN, [outcome(SHOP, *results, compiled_code=code)]):
        assert "sql" not in event["job"]["facets"]


def test_a_failed_model_has_its_message() -> None:
    cases: list[tuple[str, str, int]] = [
        ("error", "FAIL", 0),
        ("runtime error", "FAIL", 0),
        ("partial success", "FAIL", 1),
    ]
    for status, kind, outputs in cases:
        model, _ = ends(result("model.shop.a", status, message="No such column."))
        assert (model["eventType"], len(model["outputs"])) == (kind, outputs)
        assert model["run"]["facets"]["errorMessage"]["message"] == "No such column."
        silent, _ = ends(result("model.shop.a", status))
        assert silent["run"]["facets"]["errorMessage"]["message"] == "No reason was given."


def test_a_node_that_was_not_executed_has_no_events() -> None:
    for status in ["skipped", "no-op", "reused"]:
        assert len(ends(result("model.shop.a", status))) == 1


def test_commands_that_execute_nodes_have_events() -> None:
    for command in ["build", "retry", "run", "seed", "snapshot", "-t docs test"]:
        assert len(ends(result("model.shop.a", command=f"dbt {command}"))) == 2


def test_commands_that_do_not_execute_nodes_have_no_events() -> None:
    for command in ["dbt compile", "dbt docs generate", "dbt source freshness"]:
        assert len(ends(result("model.shop.a", command=command))) == 1


def test_nodes_without_inputs_and_outputs_have_no_events() -> None:
    for unique_id in ["exposure.shop.a", "unit_test.shop.a.b", "operation.shop.a"]:
        assert len(ends(result(unique_id))) == 1


def test_a_test_has_an_assertion_on_the_tested_model() -> None:
    cases: list[tuple[str, str, bool]] = [
        ("pass", "COMPLETE", True),
        ("warn", "COMPLETE", False),
        ("fail", "FAIL", False),
    ]
    for status, kind, success in cases:
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


def test_a_test_with_an_error_has_no_assertion() -> None:
    test, _ = ends(result("test.shop.not_null_a_id.0f", "error", message="No such column."))
    assert test["eventType"] == "FAIL"
    assert [dataset["inputFacets"] for dataset in test["inputs"]] == [{}, {}]


def test_a_singular_test_has_an_assertion_if_it_reads_one_table() -> None:
    ambiguous, single, _ = ends(
        result("test.shop.sums_agree", "pass"), result("test.shop.sums_up", "pass")
    )
    assert [dataset["inputFacets"] for dataset in ambiguous["inputs"]] == [{}, {}]
    [dataset] = single["inputs"]
    [assertion] = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert assertion == {"assertion": "sums_up", "success": True, "name": "sums_up"}


def test_a_test_of_an_ephemeral_model_has_no_assertion_on_its_sources() -> None:
    for attached in [{"attached_node": "model.shop.hidden"}, {}]:
        tests = manifest(
            node("model.shop.hidden", SOURCE["unique_id"], config={"materialized": "ephemeral"}),
            node("test.shop.unique_hidden_total.0f", "model.shop.hidden", **attached),
            SOURCE,
        )
        events = run_events(
            RUN, [outcome(tests, result("test.shop.unique_hidden_total.0f", "fail"))]
        )
        assert [dataset["inputFacets"] for dataset in events[2]["inputs"]] == [{}]


def test_a_tests_column_may_be_an_argument() -> None:
    more = {
        "test_metadata": {"name": "unique", "kwargs": {"column_name": "id"}},
        "description": "One row each.",
    }
    tests = manifest(node("test.shop.t", "model.shop.a", **more), node("model.shop.a"))
    test = run_events(RUN, [outcome(tests, result("test.shop.t", "pass"))])[2]
    [assertion] = test["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["column"], assertion["description"]) == ("id", "One row each.")


def test_an_odd_test_still_has_valid_events() -> None:
    odd = {
        "attached_node": ["a"],
        "column_name": 5,
        "test_metadata": {"name": 7, "kwargs": []},
        "config": {"severity": 5},
        "description": {"a": 1},
    }
    tests = manifest(node("test.shop.odd", "model.shop.a", **odd), node("model.shop.a"))
    for event in run_events(RUN, [outcome(tests, result("test.shop.odd", "fail"))]):
        validate(event)


def test_missing_and_too_precise_times_are_corrected() -> None:
    times: Any = {"started_at": None, "completed_at": "2026-01-31T08:01:01.123456789+02:00"}
    start, end = of_node(
        run_events(RUN, [outcome(SHOP, result("model.shop.a", **times))]), "model.shop.a"
    )
    assert start["eventTime"] == "2026-01-31T06:00:00+00:00"
    assert end["eventTime"] == "2026-01-31T06:01:01.123456+00:00"
    times = {"started_at": "now", "completed_at": None}
    start, end = of_node(
        run_events(RUN, [outcome(SHOP, result("model.shop.a", **times))]), "model.shop.a"
    )
    assert start["eventTime"] == end["eventTime"] == "2026-01-31T06:00:00+00:00"


def test_the_ids_depend_on_the_run_alone() -> None:
    results = [
        result("model.shop.a"),
        result("model.shop.a", step_index=5),
        result("seed.shop.days"),
    ]
    events = run_events(RUN, [outcome(SHOP, *results)])
    assert events == run_events(RUN, [outcome(SHOP, *results)])
    ids = {event["run"]["runId"] for event in events}
    assert len(ids) == 4
    assert all(str(UUID(run_id)) == run_id for run_id in ids)
    runs: list[Run] = [{**RUN, "id": 8}, {**RUN, "account_id": 2}]
    for run in runs:
        others = run_events(run, [outcome(SHOP, *results)])
        assert not ids & {event["run"]["runId"] for event in others}


def test_namespaces_default_to_the_environment_and_the_account() -> None:
    model, _ = ends(result("model.shop.a"))
    assert model["outputs"][0]["namespace"] == "postgres://dbt-cloud-environment-4"
    given: Any = {"namespace": "postgres://db:5432", "job_namespace": "nightly"}
    model, end = ends(result("model.shop.a"), **given)
    assert {d["namespace"] for d in (*model["inputs"], *model["outputs"])} == {"postgres://db:5432"}
    assert (model["job"]["namespace"], end["job"]["namespace"]) == ("nightly", "nightly")
    source = model["outputs"][0]["facets"]["dataSource"]
    assert (source["name"], source["uri"]) == ("postgres://db:5432", "postgres://db:5432")


def test_the_namespace_of_bigquery_is_fixed() -> None:
    events = run_events(
        RUN, [outcome({"metadata": {"adapter_type": "bigquery"}}, result("seed.a.b"))]
    )
    for event in events:
        validate(event)
    [output] = events[1]["outputs"]
    assert (output["namespace"], output["facets"]["dataSource"]["uri"]) == ("bigquery", "bigquery:")


def test_events_without_a_manifest_are_valid() -> None:
    foreign: list[Any] = [{}, {"nodes": 1, "sources": {"a": 1}, "metadata": []}]
    for nonsense in foreign:
        results = [result("model.shop.a"), result("test.shop.t.0f", "fail")]
        events = run_events(RUN, [outcome(nonsense, *results, catalog=nonsense)])
        assert len(events) == 6
        for event in events:
            validate(event)


def test_the_schema_refuses_invalid_events() -> None:
    [start, _] = run_events(RUN, [])
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


def test_events_are_read_from_the_artifacts_of_a_run(cloud: DBTCloudEmulator) -> None:
    results: Any = FILES["run_results.json"]
    code = {**results["results"][0], "compiled_code": f"select '{cloud.api_token}'"}
    files = {**FILES, "run_results.json": {"results": [code]}}
    job = cloud.create_job("x", artifacts=files, execute_steps=["dbt run"], generate_docs=True)
    run = ended_run(cloud, job)
    events = openlineage_events(run, namespace="duckdb://shop")
    assert [event["eventType"] for event in events] == ["START", "START", "COMPLETE", "COMPLETE"]
    built = events[2]
    schema = built["outputs"][0]["facets"]["schema"]
    assert schema["fields"] == [{"name": "id", "type": "BIGINT"}]
    named = openlineage_events(run, job_namespace="nightly")
    assert {event["job"]["namespace"] for event in named} == {"nightly"}
    assert built["outputs"][0]["namespace"] == "duckdb://shop"
    assert built["job"]["facets"]["sql"]["query"] == "select '***'"
    assert openlineage_events(str(run["id"]), namespace="duckdb://shop") == events


def test_a_model_that_was_built_with_warnings_has_written() -> None:
    model, test = ends(result("model.shop.a", "warn"), result("test.shop.sums_up", "warn"))[:2]
    assert (model["eventType"], len(model["outputs"])) == ("COMPLETE", 1)
    assert (test["eventType"], test["outputs"]) == ("COMPLETE", [])


def test_a_skipped_run_has_no_events(cloud: DBTCloudEmulator) -> None:
    skipped: Run = {"id": None, "status_humanized": "Skipped"}
    assert openlineage_events(skipped) == []
    assert cloud.requests == []


def test_all_events_of_a_real_run_are_valid(real: list[Event]) -> None:
    for event in real:
        validate(event)
    assert json.loads(json.dumps(real)) == real


def test_each_run_starts_and_ends_once_and_in_order(real: list[Event]) -> None:
    kinds: dict[str, list[str]] = {}
    for event in real:
        kinds.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert {tuple(kind) for kind in kinds.values()} == {("START", "COMPLETE"), ("START", "FAIL")}
    assert len(kinds) == 10
    assert (real[0]["job"]["name"], real[-1]["eventType"]) == (real[-1]["job"]["name"], "FAIL")


def test_a_real_model_reads_a_loaded_table_and_has_typed_columns(real: list[Event]) -> None:
    _, juice = of_node(real, "model.orchard.juice")
    assert [dataset["name"] for dataset in juice["inputs"]] == ["orchard.raw.harvest_2025"]
    assert "raw" in juice["job"]["facets"]["sql"]["query"]
    facets = juice["outputs"][0]["facets"]
    assert facets["schema"]["fields"] == [
        {"name": "sort", "type": "VARCHAR", "description": "Of apples."},
        {"name": "litres", "type": "DOUBLE"},
    ]
    assert facets["ownership"]["owners"] == [{"name": "press@example.com"}]


def test_real_failures_have_messages_and_skipped_nodes_no_events(real: list[Event]) -> None:
    _, broken = of_node(real, "model.orchard.broken")
    assert "no_such_column" in broken["run"]["facets"]["errorMessage"]["message"]
    assert of_node(real, "model.orchard.after_broken") == []


def test_real_tests_have_assertions_on_columns(real: list[Event]) -> None:
    found = {}
    for event in real:
        for dataset in event["inputs"]:
            for facet in dataset["inputFacets"].values():
                [assertion] = facet["assertions"]
                key = (dataset["name"], assertion["column"], assertion["assertion"])
                found[key] = assertion["success"]
    assert found == {
        ("orchard.marts.juice", "sort", "accepted_values"): False,
        ("orchard.marts.juice", "sort", "not_null"): True,
        ("orchard.marts.sorts", "colour", "accepted_values"): False,
    }
