"""`plan` shows what a run would execute, and triggers nothing."""

from __future__ import annotations

from dlt_dbtcloud.cli.actions.plan import describe_plan
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import Plan
from tests.cli.conftest import Cli

PLAN: Plan = {
    "steps": ["dbt build --select source:raw.flights+"],
    "nodes": ["model.shop.stg_flights", "test.shop.unique_id.1a", "test.shop.not_null_id.2b"],
    "total_nodes": 82,
    "seconds": 4.25,
    "whole_seconds": 39.4,
    "runs_considered": 3,
    "undeclared": [],
    "reason": None,
}


def lines(**changes: object) -> list[str]:
    plan: Plan = {**PLAN, **changes}  # type: ignore[typeddict-item]  # fields of a plan
    return [line.plain for line in describe_plan(plan)]


def test_a_plan_has_nodes_time_commands_and_names() -> None:
    assert lines() == [
        "3 of 82 nodes would run: 1 model, 2 tests",
        "About 4.2 s; the whole job takes about 39 s, by the medians of 3 runs",
        "  $ dbt build --select source:raw.flights+",
        "  model stg_flights",
        "  2 tests",
    ]


def test_unknown_and_omitted_parts_have_a_line() -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"steps": [], "nodes": [], "reason": "Nothing is new."}, "No run would start."),
        ({"steps": [], "nodes": [], "reason": "Nothing is new."}, "Nothing is new."),
        ({"seconds": None}, "The time is unknown: no run of the job has results yet."),
        ({"total_nodes": None, "nodes": []}, "It is unknown which nodes would run."),
        ({"undeclared": ["a", "b"]}, "Loaded tables without a dbt source: a, b"),
        ({"reason": "no manifest \x1b[31m"}, "No manifest"),
        (
            {"runs_considered": 1, "whole_seconds": None},
            "About 4.2 s, by the medians of 1 run",
        ),
    ]
    for changes, line in cases:
        assert line in lines(**changes)


def test_the_plan_is_that_of_the_helper_and_triggers_nothing(
    cli: Cli, cloud: DBTCloudEmulator
) -> None:
    job = cloud.create_job("Nightly", execute_steps=["dbt build", "dbt test"])
    done = cli("plan", job, "--no-only-loaded", "--json")
    assert done.status == 0
    assert done.json["steps"] == ["dbt build", "dbt test"]
    assert cli("plan", job, "--no-only-loaded").status == 0
    assert not cloud.runs


def test_a_plan_of_a_load_needs_a_pipeline(cli: Cli, cloud: DBTCloudEmulator) -> None:
    done = cli("plan", cloud.create_job("Nightly"))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "`--no-only-loaded`" in done.err
