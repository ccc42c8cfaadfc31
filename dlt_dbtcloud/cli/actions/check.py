"""Command `check`: the findings of a check that starts nothing."""

from __future__ import annotations

import argparse

from rich.table import Table
from rich.text import Text

from dlt_dbtcloud.check import check_dbt_cloud
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import helper_arguments
from dlt_dbtcloud.cli.statuses import ExitStatus, worded
from dlt_dbtcloud.redaction import plain_text
from dlt_dbtcloud.typing import ConnectionReport

__all__ = ["check", "report_view"]


def check(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Check the configuration, the account and the job."""
    arguments = helper_arguments(options)
    # the job is a field of the config, which the helper has no argument for
    job_id = arguments.pop("job_id", None)
    credentials = {} if job_id is None else {"job_id": job_id}
    report = console.without_tokens(check_dbt_cloud(credentials, **arguments))
    if console.is_json:
        console.json(report)
    else:
        console.show(report_view(report))
    return ExitStatus.SUCCESS if report["ok"] else ExitStatus.FAILURE


def report_view(report: ConnectionReport) -> Table:
    """Return the findings of a report and their fixes as a table."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report["findings"]:
        label = Text("ok", "green") if finding["ok"] else Text("failed", "red")
        text = plain_text(finding["message"])
        if finding["fix"]:
            text = f"{text}\nfix: {plain_text(worded(finding['fix']))}"
        table.add_row(label, Text(finding["check"]), Text(text))
    return table
