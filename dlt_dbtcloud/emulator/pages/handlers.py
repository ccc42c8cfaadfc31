"""Handlers of the pages: jobs and runs, a run, its logs and its artifacts."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.answers import no_content
from dlt_dbtcloud.emulator.api.payloads import humanize_status
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.errors import ApiError, not_found
from dlt_dbtcloud.emulator.models import Artifacts, Job, Run, Step
from dlt_dbtcloud.emulator.pages.cache import Cache, Page, Render
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

__all__ = ["Pages"]


_NOT_IMPLEMENTED = 501
_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
# seconds between two looks at the overview, at least
_OVERVIEW = 3.0
# runs of a job in the overview, and runs whose earlier times are kept
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
        cache: Keeps the pages.
    """

    def __init__(
        self, state: State, runs: Runs, account_id: int, secret: str, cache: Cache
    ) -> None:
        self._state = state
        self._runs = runs
        self._account_id = account_id
        self._redact = redactor(secret)
        self._cache = cache
        self._past: OrderedDict[int, dict[str, PastTime]] = OrderedDict()

    def show_overview(self, _call: Call) -> Response:
        """Show the jobs and their runs."""
        _check_jinja()
        with self._state.changed:
            account = self._state.account(self._account_id)
            name = str(account.fields["name"])
            jobs = tuple(
                self._job(job)
                for job in self._state.jobs.values()
                if job.account_id == account.id and not job.is_deleted
            )
        # the durations of runs in progress are no events
        events = name, tuple(replace(job, runs=tuple(map(_event, job.runs))) for job in jobs)

        def prepare() -> tuple[str, Render]:
            overview = Overview(name, account.id, jobs)
            return _digest(repr(overview)), lambda pause: render_overview(
                replace(overview, refresh=pause), self._redact
            )

        return _document(self._cache.page(None, events, prepare, is_live=True, shortest=_OVERVIEW))

    def show_icon(self, _call: Call) -> Response:
        """Show that the pages have no icon."""
        return no_content()

    def show_run(self, call: Call) -> Response:
        """Show a run; while it runs, the page reads itself again."""
        _check_jinja()
        with self._state.changed:
            run = self._find(call)
            is_live = not run.is_finished
            steps = tuple((step.status, step.finished_at) for step in run.steps)
            events = run.status, run.status_message, run.updated_at, steps

        def prepare() -> tuple[str, Render]:
            with self._state.changed:
                states = states_of(run, _path(run))
                earlier, before = self._earlier(run), self._before(run)

            def render(pause: float) -> str:
                refresh = pause if is_live else None
                past = self._past_of(run, before)
                page = page_of(run, states, _path(run), earlier, past, refresh)
                return render_run(page, self._redact)

            return _tag(run, states), render

        return _document(self._cache.page(run.id, events, prepare, is_live=is_live))

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

    def _past_of(self, run: Run, before: Sequence[Sequence[Artifacts]]) -> dict[str, PastTime]:
        """Return the times of nodes before a run, which do not change."""
        if run.id not in self._past:
            self._past[run.id] = times_before(before)
            if len(self._past) > _KEPT:
                self._past.popitem(last=False)
        return self._past[run.id]

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


def _event(run: OverviewRun) -> OverviewRun:
    return replace(run, seconds=None)


def _path(run: Run) -> str:
    job = run.job
    return f"/deploy/{job.account_id}/projects/{job.fields['project_id']}/runs/{run.id}/"


def _tag(run: Run, states: Sequence[StepState]) -> str:
    """Return a text that changes whenever the page of a run does."""
    parts = [str(run.status), str(run.updated_at), str(run.status_message)]
    parts += [f"{each.step.status} {each.step.finished_at} {each.step.log}" for each in states]
    return f"{_digest(chr(0).join(parts))}-{len(states)}"


def _digest(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def _document(page: Page) -> Response:
    response = Response(page.text, content_type=_HTML)
    response.set_etag(page.tag)
    # a policy of the header is added to that of the document
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


def _download(text: str, name: str) -> Response:
    response = Response(text, content_type=_TEXT)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Security-Policy"] = _SANDBOX
    return response
