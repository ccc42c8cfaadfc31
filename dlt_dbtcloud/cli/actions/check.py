"""Command `check`: the findings of a check that starts nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rich.text import Text

from dlt_dbtcloud.check import check_dbt_cloud
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import helper_arguments
from dlt_dbtcloud.cli.statuses import ExitStatus, worded
from dlt_dbtcloud.redaction import plain_text
from dlt_dbtcloud.typing import ConnectionReport

__all__ = ["check", "describe_report"]


def check(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Check the configuration, the account and the job."""
    arguments = helper_arguments(options)
    # the job is a field of the config, which the helper has no argument for
    job_id = arguments.pop("job_id", None)
    credentials = {} if job_id is None else {"job_id": job_id}
    report = check_dbt_cloud(credentials, **arguments)
    if console.is_json:
        console.json(report)
    else:
        console.show(*describe_report(report))
    return ExitStatus.SUCCESS if report["ok"] else ExitStatus.FAILURE


def describe_report(report: ConnectionReport) -> Iterator[Text]:
    """Yield the lines of a report: each finding, and the line that repairs it."""
    width = max((len(finding["check"]) for finding in report["findings"]), default=0)
    for finding in report["findings"]:
        label = Text("ok    ", "green") if finding["ok"] else Text("failed", "red")
        name = finding["check"].ljust(width)
        yield label + Text(f"  {name}  {plain_text(finding['message'])}", "")
        if finding["fix"]:
            yield Text(f"{'':6}  {'':{width}}  fix: {plain_text(worded(finding['fix']))}")
