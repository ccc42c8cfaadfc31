"""A failure's account names what failed, why, what waits for it and what to do, and no secret."""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.failures import advice, describe_nodes, describe_step, node_failures
from dlt_dbtcloud.results import step_results
from dlt_dbtcloud.typing import NodeResult, RunStep

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
    return list(step_results(9001, STEP, {"results": written}, MANIFEST))


FAILED = results(
    ("model.shop.stg", "success", "OK"),
    ("model.shop.orders", "error", "Database Error in model orders\n  no such column"),
    ("model.shop.daily", "skipped", None),
    ("test.shop.x.1", "skipped", None),
    ("test.shop.other.2", "warn", "Got 1 result"),
)


def test_the_account_of_an_error() -> None:
    loads = {"source.shop.raw.payments": "1732150000.123"}
    failures = node_failures(FAILED, MANIFEST, loads)
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


def test_tests_that_failed_are_told_apart_from_errors() -> None:
    both = results(
        ("model.shop.orders", "error", "x"),
        ("test.shop.positive.0", "fail", "Got 3 results, configured to fail if != 0"),
        relation_name='"db"."audit"."positive"',
    )
    failures = node_failures(both, MANIFEST)
    account = describe_nodes(RUN, both, failures)
    assert account.startswith(
        '2 of 2 nodes failed in run 9001 of job "Nightly": 1 error, 1 failed test.\n'
    )
    assert "test.shop.positive.0 (models/shop.yml): failed\n" in account
    assert 'The rows that failed are in "db"."audit"."positive".' in account
    assert "while the data are the same" in advice(RUN, failures, STEP)


def test_many_failures_are_told_within_bounds() -> None:
    many = results(*((f"model.shop.m{i}", "error", "x" * 10_000) for i in range(500)))
    account = describe_nodes(RUN, many, node_failures(many, {}))
    assert account.startswith("500 of 500 nodes failed")
    assert "... and 490 more" in account
    assert len(account) < 8_000


def test_without_a_graph_nothing_is_said_of_it() -> None:
    (failure,) = node_failures(FAILED, {})
    assert (failure["tables"], failure["skipped"], failure["load_id"]) == ([], 0, None)


def test_secrets_in_messages_are_cut_out() -> None:
    leaking = results(("model.shop.orders", "error", "cannot connect: password=hunter2hunter2"))
    (failure,) = node_failures(leaking, MANIFEST)
    assert failure["message"] == "cannot connect: password=***"


def test_without_results_the_end_of_the_log_is_told() -> None:
    log = "\n".join(f"\x1b[31mline {i}\x1b[0m" for i in range(200)) + "\npassword=hunter2hunter2"
    account = describe_step(RUN, RunStep(**{**STEP, "logs": log}))
    first, *lines = account.splitlines()
    assert first == (
        'Run 9001 of job "Nightly" failed in step 4, Invoke dbt with `dbt build`; '
        "the end of its log:"
    )
    assert lines[0] == "     ..."
    assert len(lines) == 51
    assert lines[-2:] == ["     line 199", "     password=***"]


def test_a_step_without_a_log_and_a_run_without_steps() -> None:
    assert "it has no log" in describe_step(RUN, STEP)
    run: Any = {**RUN, "status_message": "No repository"}
    assert describe_step(run, None) == (
        'Run 9001 of job "Nightly" failed before its first step: No repository'
    )


def test_the_advice_says_where_a_retry_is_unlikely_to_help() -> None:
    retry = "`retry_dbt_cloud_run(run_id=9001)`"
    broken = RunStep(**{**STEP, "logs": "Encountered an error:\nCompilation Error\n  in model x"})
    assert "unlikely to help before the project is mended" in advice(RUN, [], broken)
    failures = node_failures(FAILED, MANIFEST)
    assert advice(RUN, failures, STEP) == (
        f"{retry} runs just what failed and what was skipped or never began."
    )
    for step in (broken, STEP, None):
        assert retry in advice(RUN, failures, step)
