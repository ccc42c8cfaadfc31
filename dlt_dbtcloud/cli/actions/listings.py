"""Commands `jobs` and `runs`: listings of the account."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rich.table import Table
from rich.text import Text

from dlt_dbtcloud.cli.actions.runs import style_of
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import connected
from dlt_dbtcloud.cli.statuses import ExitStatus
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import find_job_id
from dlt_dbtcloud.redaction import plain_text
from dlt_dbtcloud.typing import Job, Run, RunStatus

__all__ = ["jobs", "jobs_view", "runs", "runs_view"]

# columns of a terminal from which a listing has another column
_WIDE = {"CREATED (UTC)": 60, "DURATION": 80}
# columns of a listing that are cut if it does not fit
_CUT = ("NAME", "COMMANDS", "JOB NAME")
# runs or jobs of one response of the API
_PAGE = 100
# characters of a timestamp up to its minutes
_MINUTES = len("2026-01-31 06:00")


def jobs(options: argparse.Namespace, console: Console) -> ExitStatus:
    """List the jobs of the account."""
    with connected(options) as (client, _):
        filters = {**_filters(options), "name__icontains": options.name}
        listed = client.list_jobs(**_set(filters), limit=min(options.limit, _PAGE))
        found = [*islice(listed, options.limit)]
    return _show(console, found, jobs_view, "No jobs match.")


def runs(options: argparse.Namespace, console: Console) -> ExitStatus:
    """List the last runs of a job or of the account, newest first."""
    with connected(options) as (client, config):
        status = RunStatus[options.status.upper()].value if options.status else None
        filters = {
            **_filters(options),
            "job_definition_id": find_job_id(client.patient(), config),
            "status": status,
            "include_related": ["job"],
            "order_by": "-id",
        }
        listed = client.list_runs(**_set(filters), limit=min(options.limit, _PAGE))
        found = [*islice(listed, options.limit)]
    return _show(console, found, runs_view, "No runs match.")


def jobs_view(jobs: Sequence[Job], width: int) -> Table:
    """Return the table of jobs: id, name, commands."""
    del width
    table = _table("JOB", "NAME", "COMMANDS")
    for job in jobs:
        commands = "; ".join(job.get("execute_steps") or [])
        table.add_row(str(job.get("id")), _text(job.get("name")), _text(commands))
    return table


def runs_view(runs: Sequence[Run], width: int) -> Table:
    """Return the table of runs: id, status and job; time and duration if they fit.

    Args:
        runs: The runs.
        width: The columns of the terminal.
    """
    others = [name for name, columns in _WIDE.items() if width >= columns]
    table = _table("RUN", "STATUS", "JOB NAME", *others)
    for run in runs:
        status = run.get("status_humanized") or "Unknown"
        cells = {
            "CREATED (UTC)": str(run.get("created_at") or "")[:_MINUTES],
            "DURATION": str(run.get("duration") or ""),
        }
        table.add_row(
            str(run.get("id")),
            Text(plain_text(status), style_of(status)),
            _text((run.get("job") or {}).get("name") or run.get("job_definition_id")),
            *(plain_text(cells[name]) for name in others),
        )
    return table


def _show(console: Console, found: Sequence[Any], view: Any, nothing: str) -> ExitStatus:
    found = console.without_tokens(found)
    if console.is_json:
        console.json(found)
    elif not found:
        console.note(nothing)
    else:
        console.show(view(found, console.width))
    return ExitStatus.SUCCESS


def _filters(options: argparse.Namespace) -> dict[str, Any]:
    names = ("project_id", "environment_id")
    given = {name: getattr(options, name) for name in names}
    return {name: int(valid_id(name, value)) for name, value in given.items() if value is not None}


def _set(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _table(*names: str) -> Table:
    """Return a table without lines, whose texts are cut if it does not fit."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, no_wrap=name not in _CUT)
    return table


def _text(value: Any) -> Text:
    text = " ".join(plain_text(str(value or "")).split())
    return Text(text, no_wrap=True, overflow="ellipsis")
