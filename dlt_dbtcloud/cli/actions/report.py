"""Command `report`: the page of a run, written to a file."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from dlt.common.exceptions import DltException

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import connected, required_run
from dlt_dbtcloud.cli.statuses import ExitStatus, message_of
from dlt_dbtcloud.helpers import dbt_cloud_run_report
from dlt_dbtcloud.report.runs import run_report
from dlt_dbtcloud.typing import Run

__all__ = ["report", "report_of"]


def report(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Write the page of a run, and show it in a browser if wanted."""
    with connected(options) as (client, config):
        run_id = required_run(config)
        text = run_report(client, run_id)
    file = _write(text, options.output or f"run-{run_id}.html")
    if console.is_json:
        console.json({"run_id": int(run_id), "file": str(file)})
    else:
        console.show(str(file))
    if options.open and not webbrowser.open(file.resolve().as_uri()):
        console.note("There is no browser to open it with.")
    return ExitStatus.SUCCESS


def report_of(options: argparse.Namespace, console: Console, run: Run) -> None:
    """Write the page of a run that a command has waited for.

    The outcome of the run is more important, so an error is only shown.

    Args:
        options: The options of the command, with the file as `report`.
        console: The streams of the command.
        run: The run.
    """
    run_id = run.get("id")
    if run_id is None:
        console.note("There is no run, and so no report.")
        return
    try:
        text = dbt_cloud_run_report(run_id=run_id, connection=options.connection)
        file = _write(text, options.report)
    except (DltException, OSError) as error:
        console.error(f"There is no report: {message_of(error)}")
        return
    console.note(f"Wrote the report to {file}.")


def _write(text: str, name: str) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")
    return file
