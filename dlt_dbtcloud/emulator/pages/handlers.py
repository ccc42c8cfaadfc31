"""Handlers of the pages: jobs and runs, a run, its logs and its artifacts."""

from __future__ import annotations

import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timezone

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.payloads import humanize_status
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.errors import ApiError, not_found
from dlt_dbtcloud.emulator.models import Artifacts, Job, Run, Step
from dlt_dbtcloud.emulator.pages.run_page import (
    StepState,
    executes,
    page_of,
    states_of,
    times_before,
)
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.report import (
    Overview,
    OverviewJob,
    OverviewRun,
    PastTime,
    redactor,
    render_overview,
    render_run,
)
from dlt_dbtcloud.report.rendering.pages import MissingJinjaError, check_jinja
from dlt_dbtcloud.typing import RunStatus

__all__ = ["Pages", "pause_after"]


_NOT_IMPLEMENTED = 501
_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
# seconds between two looks of a live page, at least, and for each second that it takes to make one
_SHORTEST, _PER_SECOND = 1.0, 25.0
_OVERVIEW = 3.0
# runs of a job in the overview, and pages that are kept
_RUNS, _KEPT = 20, 16
# earlier runs with which the times of nodes are compared
_PAST = 5
# a document of a run, such as dbt's docs, is not a page of this origin
_SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"


class Pages:
    """Handlers of the pages, which acquire the emulator's state only to read it.

    Args:
        state: The emulator's state.
        runs: The handlers of runs, which send artifacts.
        account_id: The account of the overview.
        secret: The API token, which no page shows.
    """

    def __init__(self, state: State, runs: Runs, account_id: int, secret: str) -> None:
        self._state = state
        self._runs = runs
        self._account_id = account_id
        self._redact = redactor(secret)
        self._pages: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self._past: dict[int, dict[str, PastTime]] = {}
        self._lock = threading.Lock()
        self._seconds = self._overview_seconds = 0.0

    def show_overview(self, _call: Call) -> Response:
        """Show the jobs and their runs."""
        _check_jinja()
        began = time.thread_time()
        with self._state.changed:
            account = self._state.account(self._account_id)
            jobs = [
                self._job(job)
                for job in self._state.jobs.values()
                if job.account_id == account.id and not job.is_deleted
            ]
            name = str(account.fields["name"])
        pause = max(_OVERVIEW, pause_after(self._overview_seconds))
        text = render_overview(Overview(name, account.id, tuple(jobs), pause), self._redact)
        self._overview_seconds = time.thread_time() - began
        return _document(text, f"{zlib.crc32(text.encode()):x}")

    def show_run(self, call: Call) -> Response:
        """Show a run; while it runs, the page reads itself again."""
        _check_jinja()
        with self._state.changed:
            run = self._find(call)
            states = states_of(run, _path(run))
            earlier, before = self._earlier(run), self._before(run)
            is_final = run.is_finished
            tag = _tag(run, states)
        # one at a time, so that several readers of a live page cost no more than one
        with self._lock:
            known = self._pages.get(run.id)
            if known is None or known[0] != tag:
                began = time.thread_time()
                pause = None if is_final else pause_after(self._seconds)
                if run.id not in self._past:
                    # what was before a run does not change
                    self._past[run.id] = times_before(before)
                page = page_of(run, states, _path(run), earlier, self._past[run.id], pause)
                known = tag, render_run(page, self._redact)
                self._seconds = time.thread_time() - began
                self._keep(run.id, known)
        return _document(known[1], tag)

    def show_log(self, call: Call) -> Response:
        """Send the log of a step as text."""
        with self._state.changed:
            text = self._step(call).log.text
        return _download(self._redact(text), "log.txt")

    def show_debug_log(self, call: Call) -> Response:
        """Send the debug log of a step as text."""
        with self._state.changed:
            text = self._step(call).debug_logs
        return _download(self._redact(text), "dbt.log")

    def show_file(self, call: Call) -> Response:
        """Send an artifact of a step as a download."""
        with self._state.changed:
            step = self._step(call)
            response = self._runs.send_file(step, call.path["name"])
        response.headers["Content-Disposition"] = "attachment"
        response.headers["Content-Security-Policy"] = _SANDBOX
        return response

    def _keep(self, run_id: int, page: tuple[str, str]) -> None:
        self._pages[run_id] = page
        while len(self._pages) > _KEPT:
            oldest, _ = self._pages.popitem(last=False)
            self._past.pop(oldest, None)

    def _find(self, call: Call) -> Run:
        run = self._state.run(call.account_id, call.id)
        if run.job.fields["project_id"] != call.path["project_id"]:
            raise not_found()
        return run

    def _step(self, call: Call) -> Step:
        steps = self._find(call).steps
        found = next((step for step in steps if step.index == call.path["step"]), None)
        if found is None:
            raise not_found()
        return found

    def _earlier(self, run: Run) -> Artifacts | None:
        """Return the files of the last step with any, of an earlier run of the job."""
        runs = [each for each in self._state.history(run.job) if each.id < run.id]
        steps = (step for each in reversed(runs) for step in reversed(each.steps))
        return next((step.artifacts for step in steps if step.artifacts), None)

    def _before(self, run: Run) -> list[list[Artifacts]]:
        """Return the artifacts of the steps of the last successful runs before a run."""
        runs = [
            each
            for each in self._state.history(run.job)
            if each.id < run.id and each.status == RunStatus.SUCCESS
        ]
        return [[step.artifacts for step in each.steps if executes(step)] for each in runs[-_PAST:]]

    def _job(self, job: Job) -> OverviewJob:
        runs = self._state.history(job)
        return OverviewJob(
            id=job.id,
            name=str(job.fields["name"]),
            commands=tuple(map(str, job.fields["execute_steps"])),
            runs=tuple(_overview_run(run) for run in reversed(runs[-_RUNS:])),
            more=max(0, len(runs) - _RUNS),
        )


def _check_jinja() -> None:
    try:
        check_jinja()
    except MissingJinjaError as error:
        raise ApiError(_NOT_IMPLEMENTED, str(error)) from error


def pause_after(seconds: float) -> float:
    """Return the seconds until a live page reads itself again, so that pages cost little.

    Args:
        seconds: The CPU seconds that the last page took.
    """
    return max(_SHORTEST, _PER_SECOND * seconds)


def _overview_run(run: Run) -> OverviewRun:
    end = run.finished_at or datetime.now(timezone.utc)
    return OverviewRun(
        id=run.id,
        status=humanize_status(run.status),
        url=_path(run),
        created_at=run.created_at.timestamp(),
        seconds=(end - run.created_at).total_seconds(),
        cause=run.trigger["cause"],
    )


def _path(run: Run) -> str:
    job = run.job
    return f"/deploy/{job.account_id}/projects/{job.fields['project_id']}/runs/{run.id}/"


def _tag(run: Run, states: Sequence[StepState]) -> str:
    """Return a text that changes whenever the page of a run does."""
    parts = [str(run.status), str(run.updated_at), str(run.status_message)]
    parts += [f"{each.step.status} {each.step.finished_at} {each.step.log}" for each in states]
    return f"{zlib.crc32(chr(0).join(parts).encode('utf-8', 'replace')):08x}-{len(states)}"


def _document(text: str, tag: str) -> Response:
    response = Response(text, content_type=_HTML)
    response.set_etag(tag)
    # a policy of the header is added to that of the document
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


def _download(text: str, name: str) -> Response:
    response = Response(text, content_type=_TEXT)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Security-Policy"] = _SANDBOX
    return response
