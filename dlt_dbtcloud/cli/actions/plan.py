"""Command `plan`: what a run would execute, without starting it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import helper_arguments
from dlt_dbtcloud.cli.statuses import ExitStatus
from dlt_dbtcloud.dbt import TESTS, resource_type_in
from dlt_dbtcloud.helpers import plan_dbt_cloud_job
from dlt_dbtcloud.redaction import plain_text, redact
from dlt_dbtcloud.typing import Plan

__all__ = ["describe_plan", "plan"]


def plan(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Show what a run would execute."""
    found = console.without_tokens(plan_dbt_cloud_job(**helper_arguments(options)))
    if console.is_json:
        console.json(found)
    else:
        console.show(*describe_plan(found))
    return ExitStatus.SUCCESS


def describe_plan(plan: Plan) -> Iterator[Text]:
    """Yield the lines of a plan: size, time, commands, nodes and omissions.

    Args:
        plan: The plan.
    """
    if plan["steps"]:
        yield Text(_size(plan), "bold")
        yield Text(_time(plan))
    else:
        yield Text("No run would start.", "bold")
    if plan["reason"]:
        reason = plain_text(plan["reason"])
        yield Text(f"{reason[:1].upper()}{reason[1:]}", "yellow")
    for step in plan["steps"]:
        yield Text(f"  $ {redact(plain_text(step))}", "cyan")
    for unique_id in plan["nodes"]:
        if resource_type_in(unique_id) not in TESTS:
            yield Text(f"  {_name(unique_id)}")
    if tests := sum(resource_type_in(each) in TESTS for each in plan["nodes"]):
        yield Text(f"  {_counted(tests, 'test')}")
    if plan["undeclared"]:
        tables = ", ".join(map(plain_text, plan["undeclared"]))
        yield Text(f"Loaded tables without a dbt source: {tables}", "yellow")


def _size(plan: Plan) -> str:
    """Return how many nodes would run, by type."""
    if plan["total_nodes"] is None and not plan["nodes"]:
        return "It is unknown which nodes would run."
    total = "" if plan["total_nodes"] is None else f" of {plan['total_nodes']}"
    count = len(plan["nodes"])
    types = Counter(resource_type_in(each) for each in plan["nodes"])
    listed = ", ".join(_counted(number, plain_text(name)) for name, number in types.items())
    nodes = "node" if (plan["total_nodes"] or count) == 1 else "nodes"
    return f"{count}{total} {nodes} would run" + (f": {listed}" if listed else "")


def _time(plan: Plan) -> str:
    """Return the predicted times, and from how many runs."""
    if plan["seconds"] is None:
        return "The time is unknown: no run of the job has results yet."
    whole = plan["whole_seconds"]
    others = "" if whole is None else f"; the whole job takes about {_seconds(whole)}"
    runs = _counted(plan["runs_considered"], "run")
    return f"About {_seconds(plan['seconds'])}{others}, by the medians of {runs}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _name(unique_id: str) -> str:
    """Return the type and name of a node of a unique id such as `model.shop.orders`."""
    kind, _, rest = plain_text(unique_id).partition(".")
    return f"{kind} {rest.partition('.')[2] or rest}"
