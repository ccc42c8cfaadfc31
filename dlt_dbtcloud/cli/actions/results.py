"""Command `results`: the results of the nodes of a run, failures first."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dlt_dbtcloud.artifacts.results import FAILED
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import helper_arguments
from dlt_dbtcloud.cli.statuses import ExitStatus
from dlt_dbtcloud.dbt import TESTS
from dlt_dbtcloud.helpers import get_dbt_cloud_run_results
from dlt_dbtcloud.redaction import first_lines, plain_text, redact
from dlt_dbtcloud.typing import NodeResult

__all__ = ["results", "results_view"]

_STYLES = {**dict.fromkeys(FAILED, "red"), "warn": "yellow", "skipped": "yellow"}
# statuses whose message is shown
_EXPLAINED = FAILED | {"warn"}
_FIRST = (*sorted(FAILED), "warn", "skipped")
# columns of a terminal from which a table has bars, and the columns of the longest one
_WITH_BARS = 60
_BAR = 24
_MESSAGE_LINES = 20


def results(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Show the results of a run."""
    found = console.without_tokens(get_dbt_cloud_run_results(**helper_arguments(options)))
    if console.is_json:
        console.json(found)
    elif not found:
        console.note("The run has no results of nodes.")
    else:
        console.show(results_view(found, console.width, has_blocks=console.has_blocks))
    return ExitStatus.SUCCESS


def results_view(results: Sequence[NodeResult], width: int, *, has_blocks: bool = True) -> Group:
    """Return the results as lines: failures and warnings, others, and a sum.

    Tests that pass or are skipped are one line for each status.

    Args:
        results: The results.
        width: The columns of the terminal, for bars that fit.
        has_blocks: Whether block characters can be shown.
    """
    ordered = sorted(results, key=_order)
    explained = [result for result in ordered if result["status"] in _EXPLAINED]
    folded = [each for each in ordered if _is_folded(each)]
    others = [each for each in ordered if each not in explained and each not in folded]
    longest = max((each["execution_time"] for each in others), default=0.0)
    bar = min(_BAR, width // 4) if width >= _WITH_BARS else 0
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    # the only column that is cut if the table does not fit
    table.add_column()
    table.add_column(no_wrap=True, justify="right")
    if bar:
        table.add_column(no_wrap=True)
    for result in others:
        seconds = result["execution_time"]
        drawn = [_bar(seconds, longest, bar, "━" if has_blocks else "=")] if bar else []
        table.add_row(_status(result), _name(result), f"{seconds:.2f} s", *drawn)
    for status, count, seconds in _counts(folded):
        tests = Text(f"{count} test" + ("s" if count != 1 else ""), no_wrap=True)
        table.add_row(Text(status, _STYLES.get(status, "green")), tests, f"{seconds:.2f} s")
    return Group(*(line for each in explained for line in _explain(each)), table, _sum(results))


def _order(result: NodeResult) -> int:
    status = result["status"]
    return _FIRST.index(status) if status in _FIRST else len(_FIRST)


def _is_folded(result: NodeResult) -> bool:
    return result["resource_type"] in TESTS and result["status"] not in _EXPLAINED


def _explain(result: NodeResult) -> Iterator[Text]:
    """Yield the lines of a node that failed or warns: its name, file and message."""
    place = f" ({result['path']})" if result["path"] else ""
    yield Text.assemble(
        _status(result),
        "  ",
        _name(result),
        plain_text(place),
        f"  {result['execution_time']:.2f} s",
    )
    message = first_lines(redact(result["message"] or ""), _MESSAGE_LINES)
    for line in message.splitlines():
        yield Text(f"    {line}")


def _status(result: NodeResult) -> Text:
    return Text(plain_text(result["status"]), _STYLES.get(result["status"], "green"))


def _name(result: NodeResult) -> Text:
    name = plain_text(f"{result['resource_type']} {result['name']}")
    return Text(name, no_wrap=True, overflow="ellipsis")


def _bar(seconds: float, longest: float, width: int, block: str) -> Text:
    columns = round(seconds / longest * width) if longest > 0 else 0
    return Text(block * columns, "cyan")


def _counts(results: Sequence[NodeResult]) -> Iterator[tuple[str, int, float]]:
    """Yield each status with the number and the time of its results."""
    for status, count in Counter(each["status"] for each in results).items():
        yield status, count, sum(r["execution_time"] for r in results if r["status"] == status)


def _sum(results: Sequence[NodeResult]) -> Text:
    counts = Counter(each["status"] for each in sorted(results, key=_order))
    parts = ", ".join(f"{count} {plain_text(status)}" for status, count in counts.items())
    seconds = sum(each["execution_time"] for each in results)
    nodes = f"{len(results)} node" + ("s" if len(results) != 1 else "")
    return Text(f"{nodes}: {parts}; {seconds:.2f} s")
