"""Command `report`: the page of a run or job, written to a file."""

from __future__ import annotations

import argparse
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

import dlt
from dlt.common.exceptions import DltException

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.files import STDOUT, check_writable, write_file
from dlt_dbtcloud.cli.inputs import attached, connected, required_run
from dlt_dbtcloud.cli.statuses import ExitStatus, InputError, message_of
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import required_job_id
from dlt_dbtcloud.helpers import dbt_cloud_run_report
from dlt_dbtcloud.loads import RESULTS_SCHEMA
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.report.jobs import read_trend, stored_trend
from dlt_dbtcloud.report.rendering.pages import render_trend
from dlt_dbtcloud.report.runs import check_jinja, run_report
from dlt_dbtcloud.typing import Run

__all__ = ["check_report", "report", "report_of"]

_DAYS = 30


def report(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Write the page of a run or of a job, and show it in a browser if wanted."""
    check_jinja()
    output = options.output
    if output is not None:
        check_writable(output)
    if output == STDOUT and (options.open or console.is_json):
        raise InputError("`-o -` prints the page: leave out `--open` and `--json`.")
    subject, text = _page(options, console)
    (kind, number), *_ = subject.items()
    name = f"{kind.removesuffix('_id')}-{number}.html" if output is None else output
    write_file(text, name)
    if console.is_json:
        console.json({**subject, "file": name})
    elif output != STDOUT:
        console.show(name)
    if options.open and not _open(Path(name).resolve().as_uri()):
        console.note("Found no browser to open it.")
    return ExitStatus.SUCCESS


def check_report(name: str) -> None:
    """Check that a report can be made and written, before anything is started.

    Args:
        name: The file.

    Raises:
        MissingDependencyException: Jinja is not installed.
        InputError: The file cannot be written.
    """
    check_jinja()
    if name == STDOUT:
        raise InputError("`--report -` is not possible, as the run is printed: pass a file.")
    check_writable(name)


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
        console.note("No run was triggered, so no report was written.")
        return
    try:
        text = dbt_cloud_run_report(run_id=run_id, connection=options.connection)
        write_file(text, options.report)
    except (DltException, OSError) as error:
        console.error(f"The report was not written: {message_of(error)}")
        return
    console.note(f"Wrote the report to {options.report}.")


def _page(options: argparse.Namespace, console: Console) -> tuple[dict[str, int], str]:
    """Return the run or job of a page, and the page."""
    is_run = options.run_id is not None or options.bare_run_id is not None
    if options.job is not None and is_run:
        raise InputError("Pass a run for its page, or `--job` for that of a job, not both.")
    if options.job is not None:
        job_id = _job_id(options)
        return {"job_id": job_id}, _job_page(options, console, job_id)
    if options.days is not None:
        raise InputError("`--days` is an option of the page of a job: pass `--job JOB`.")
    if options.pipeline is not None and not is_run:
        raise InputError("Pass the run or the job of the page: `RUN`, or `--job JOB`.")
    if options.pipeline is not None:
        # the page finds the load in the active pipeline
        attached(options.pipeline, options.pipelines_dir)
    with connected(options) as (client, config):
        run_id = required_run(config)
        return {"run_id": int(run_id)}, run_report(client, run_id)


def _job_id(options: argparse.Namespace) -> int:
    """Return the job that was passed, or else the configured one."""
    if options.job is not True:
        return int(valid_id("job_id", options.job))
    with connected(options) as (_, config):
        if not (config.job_id or config.job_name):
            advice = "pass `--job JOB`, or set `job_id` under `[dbt_cloud]`."
            raise InputError(f"No job is configured: {advice}")
        return int(required_job_id(config))


def _job_page(options: argparse.Namespace, console: Console, job_id: int) -> str:
    """Return the page of the last runs of a job."""
    days = options.days or _DAYS
    if options.pipeline is not None:
        pipeline = attached(options.pipeline, options.pipelines_dir)
        stored = stored_trend(pipeline, job_id, days, time.time())
        if stored is not None:
            return render_trend(stored)
        console.note(
            f"Pipeline `{options.pipeline}` has no results of job {job_id}{_place(pipeline)}; "
            "reading the API instead."
        )
    with connected(options) as (client, _):
        return render_trend(read_trend(client, job_id, days), client.redact)


def _place(pipeline: dlt.Pipeline) -> str:
    """Return where the results of a pipeline were looked for, if it has loaded any."""
    if RESULTS_SCHEMA not in pipeline.schema_names:
        return ""
    # the destination of the script may be another one, which its code passes
    with suppress(DltException, ImportError):
        place = redact(str(pipeline.destination_client().config))
        return f" in the configured destination `{place}`"
    return ""


def _open(address: str) -> bool:
    """Return whether a browser was found; it may run without a window, or not at all."""
    try:
        return webbrowser.open(address)
    except (OSError, webbrowser.Error):
        return False
