"""Command `report`: the page of a run or job, written to a file."""

from __future__ import annotations

import argparse
import time
import webbrowser
from pathlib import Path

from dlt.common.exceptions import DltException

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import attached, connected, required_run
from dlt_dbtcloud.cli.statuses import ExitStatus, InputError, message_of
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.helpers import dbt_cloud_run_report
from dlt_dbtcloud.report.jobs import read_trend, stored_trend
from dlt_dbtcloud.report.rendering.pages import render_trend
from dlt_dbtcloud.report.runs import check_jinja, run_report
from dlt_dbtcloud.typing import Run

__all__ = ["report", "report_of"]

_DAYS = 30


def report(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Write the page of a run or of a job, and show it in a browser if wanted."""
    if options.job is not None:
        subject, text = {"job_id": int(valid_id("job_id", options.job))}, _job_page(options)
        name = f"job-{options.job}.html"
    elif options.days is not None or options.pipeline is not None:
        raise InputError("Pass the job whose last runs the page shows: `--job JOB`.")
    else:
        with connected(options) as (client, config):
            run_id = required_run(config)
            subject, text = {"run_id": int(run_id)}, run_report(client, run_id)
        name = f"run-{run_id}.html"
    file = _write(text, options.output or name)
    if console.is_json:
        console.json({**subject, "file": str(file)})
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


def _job_page(options: argparse.Namespace) -> str:
    """Return the page of the last runs of a job, from the tables of results if it has any."""
    check_jinja()
    job_id = int(valid_id("job_id", options.job))
    days = options.days or _DAYS
    if options.pipeline is not None:
        pipeline = attached(options.pipeline, options.pipelines_dir)
        stored = stored_trend(pipeline, job_id, days, time.time())
        if stored is not None:
            return render_trend(stored)
    with connected(options) as (client, _):
        return render_trend(read_trend(client, job_id, days), client.redact)


def _write(text: str, name: str) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")
    return file
