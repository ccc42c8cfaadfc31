"""Commands that start, watch and cancel a run: `run`, `status`, `retry`, `cancel`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from rich.text import Text

from dlt_dbtcloud.cli.actions.report import check_report, report_of
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import helper_arguments
from dlt_dbtcloud.cli.statuses import ExitStatus, message_of, status_of_error, status_of_run
from dlt_dbtcloud.exceptions import DBTCloudRunError
from dlt_dbtcloud.helpers import (
    cancel_dbt_cloud_run,
    get_dbt_cloud_run_status,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.payloads import has_finished, run_name
from dlt_dbtcloud.redaction import plain_text, redact
from dlt_dbtcloud.typing import Run

__all__ = ["cancel", "describe_run", "retry", "run", "status", "style_of"]

_STYLES = {
    "success": "green",
    "error": "red",
    "cancelled": "yellow",
    "skipped": "yellow",
}


def run(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Trigger a job."""
    return _show(options, console, run_dbt_cloud_job)


def status(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Show a run."""
    return _show(options, console, get_dbt_cloud_run_status)


def retry(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Retry a run."""
    return _show(options, console, retry_dbt_cloud_run)


def cancel(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Cancel a run."""
    payload = cancel_dbt_cloud_run(**helper_arguments(options))
    _print_run(console, payload)
    # a run that had ended before was not cancelled
    is_cancelled = payload.get("is_cancelled") or not has_finished(payload)
    return ExitStatus.SUCCESS if is_cancelled else ExitStatus.FAILURE


def describe_run(run: Run) -> Iterator[Text]:
    """Yield the lines that describe a run: its status, times, cause and page.

    Args:
        run: The run.
    """
    name = run.get("status_humanized") or "Unknown"
    if run.get("id") is None:
        yield Text.assemble((name, style_of(name)), f": {_line(run.get('status_message'))}")
        return
    yield Text.assemble((_line(name), style_of(name)), f": {_line(run_name(run, 'run'))}")
    duration = run.get("run_duration") or run.get("duration")
    queued = run.get("queued_duration")
    if duration:
        yield Text(
            f"  duration  {_line(duration)}" + (f", queued {_line(queued)}" if queued else "")
        )
    if cause := (run.get("trigger") or {}).get("cause"):
        yield Text(f"  cause     {_line(cause)}")
    if message := run.get("status_message"):
        yield Text(f"  message   {_line(message)}")
    if href := run.get("href"):
        yield Text(f"  page      {_line(href)}")


def style_of(status: str) -> str:
    """Return the style of a status."""
    return _STYLES.get(status.lower(), "cyan")


def _show(options: argparse.Namespace, console: Console, helper: Callable[..., Run]) -> ExitStatus:
    """Call a helper and print the run that it returns.

    If the helper raises, a run that has finished is printed as well.
    """
    if options.report is not None:
        check_report(options.report)
    try:
        payload = helper(**helper_arguments(options))
    except DBTCloudRunError as error:
        # the outcome of a run that is still running is unknown
        for each in filter(has_finished, error.runs):
            _print_run(console, each)
            _report(options, console, each)
        console.error(message_of(error))
        return status_of_error(error)
    _print_run(console, payload)
    _report(options, console, payload)
    return status_of_run(payload)


def _report(options: argparse.Namespace, console: Console, payload: Run) -> None:
    if options.report is not None:
        report_of(options, console, payload)


def _print_run(console: Console, payload: Run) -> None:
    payload = console.without_tokens(payload)
    if console.is_json:
        console.json(payload)
    else:
        console.show(*describe_run(payload))


def _line(value: Any) -> str:
    return " ".join(redact(plain_text(str(value or ""))).split())
