"""The runs of one call, from their triggers to the reported outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.artifacts.results import ReadRuns
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import SEVERAL_COOL_DOWNS
from dlt_dbtcloud.configuration import DBTCloudConfiguration, connect
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunTimeout,
    run_error,
)
from dlt_dbtcloud.loads import loaded_relations
from dlt_dbtcloud.payloads import has_finished, id_of, run_name
from dlt_dbtcloud.runs.failure import explain
from dlt_dbtcloud.runs.interrupts import abandoning, leave
from dlt_dbtcloud.runs.parts import Part, note_successes, report
from dlt_dbtcloud.runs.progress import Display, Pace, Progress
from dlt_dbtcloud.runs.retry.backlog import (
    Backlog,
    Backlogs,
    RetryMethod,
    describe_uncertainty,
    uncertain_error,
)
from dlt_dbtcloud.runs.retry.coverage import (
    Scope,
    describe_gap,
    gap,
    incomplete,
    is_narrowed_to_load,
)
from dlt_dbtcloud.runs.retry.methods import retry
from dlt_dbtcloud.runs.trigger.duplicates import EarlierRuns, cancel_duplicates, keep_earliest
from dlt_dbtcloud.runs.trigger.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.trigger.start import existing_run, start
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.watch import Watch, find_run, request_cancel
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["Lifecycle"]

# how often a cancelled run of another process is replaced
_ADOPTIONS = 3
# seconds before each search for the run that was kept, as lists lag
_KEPT_LOOKS = (0.0, 2.0, 4.0, 8.0)
# seconds after which an outage ends the request of a cancellation
_CANCEL_LIMIT = 60.0


class Lifecycle:
    """Triggers the runs of one call, watches them together, retries and reports them.

    A run that fails or cannot be triggered does not affect the others.

    Args:
        client: The client.
        config: How to wait, how often to retry, and whether to raise.
        display: The display of progress; None shows none.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        config: DBTCloudConfiguration,
        display: Display | None = None,
    ) -> None:
        self._client = client
        self._config = config
        self._display = display
        self._pace = Pace(client.clock, client)
        self._began = client.clock.monotonic()
        self._runs = ReadRuns()
        self._backlogs = Backlogs(client, self._runs)
        self._parts: list[Part] = []
        self._watch: Watch | None = None
        # the POST that was sent last, until its run is known
        self._sending: ExactlyOnce | None = None

    def run_all(self, triggers: Iterable[Trigger]) -> list[Run]:
        """Trigger jobs and return their runs in this order, by default when they have finished.

        Raises:
            DBTCloudException: A job could not be triggered, a run is still running, or a run did
                not succeed and the config asks to raise. The first error reports all of them.
        """
        self._parts = [Part(trigger.load, trigger) for trigger in triggers]
        with self._abandoning():
            for part in self._parts:
                self._start(part)
            if self._config.wait_for_outcome:
                self._wait()
                self._replace_cancelled()
                self._cancel_duplicates()
                self._retry()
                note_successes(self._client, self._parts, self._runs, self._config)
            else:
                self._warn_of_retries()
        return self._report()

    def retry(self, run_id: int | str | None) -> Run:
        """Retry a run and return the retry, by default when it has finished.

        Raises:
            DBTCloudException: As for `run_all`.
        """
        run = self._get_run(run_id)
        with self._abandoning():
            self._parts = [Part(run=self._retried(run), is_retry=True)]
            self._sending = None
            if self._config.wait_for_outcome:
                self._wait()
                self._retry()
                note_successes(self._client, self._parts, self._runs, self._config)
            else:
                self._warn_of_retries()
        return self._report()[0]

    def follow(self, run_id: int | str | None) -> Run:
        """Return a run, by default when it has finished.

        Raises:
            DBTCloudException: As for `run_all`.
        """
        run = self._get_run(run_id)
        self._parts = [Part(run=run, is_retry=retried_run(run) is not None)]
        with self._abandoning():
            if self._config.wait_for_outcome:
                self._wait(are_new=False)
                self._reject_uncertain()
                self._reject_empty(self._parts[0])
        return self._report()[0]

    def cancel(self, run_id: int | str | None) -> Run:
        """Cancel a run unless it has finished, and return it.

        By default, return it when it has finished.

        Raises:
            DBTCloudRunTimeout: It is still running.
            DBTCloudAPIError: A permanent error.
            DBTCloudTransportError: The API did not respond.
        """
        part = Part(run=self._get_run(run_id))
        if part.pending:
            seconds = min(_CANCEL_LIMIT, self._seconds_left)
            limited = min(SEVERAL_COOL_DOWNS, self._seconds_left) - seconds
            request_cancel(self._client, id_of(part.pending), timeout=seconds, cool_down=limited)
            part.run = self._get_run(run_id)
            self._parts = [part]
            if self._config.wait_for_outcome:
                self._wait(are_new=False)
        if part.error:
            raise part.error
        run = cast(Run, part.run)
        if has_finished(run) and run.get("status") != RunStatus.CANCELLED:
            logger.warning(f"Run {run_id} had already finished: {run.get('status_humanized')}.")
        return run

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._config.timeout - (self._client.clock.monotonic() - self._began))

    def _abandoning(self) -> AbstractContextManager[None]:
        cancel = self._config.cancel_on_abandon
        clock = self._client.clock
        return abandoning(
            lambda: connect(self._config, clock),
            self._pending,
            sending=lambda: self._sending,
            cancel=cancel,
        )

    def _pending(self) -> list[Run]:
        if self._watch:
            return self._watch.pending
        return [part.pending for part in self._parts if part.pending]

    def _get_run(self, run_id: int | str | None) -> Run:
        """Return a run; wait out an outage if the call waits for the outcome."""
        waits = self._config.wait_for_outcome
        client = self._client.patient(self._seconds_left) if waits else self._client
        return find_run(client, run_id, ["trigger"], timeout=self._seconds_left)

    def _start(self, part: Part) -> None:
        trigger = replace(cast(Trigger, part.trigger), timeout=self._seconds_left)
        try:
            # a new run is known to an interrupt before other requests are sent
            part.started = start(self._client, trigger, self._note, self._backlogs)
            part.run = part.started.run
            self._sending = None
            trigger = replace(trigger, timeout=self._seconds_left)
            part.started = keep_earliest(self._client, trigger, part.started)
            part.run = part.started.run
            part.earlier_runs = EarlierRuns(self._client, trigger, part.started)
            part.is_retry = retried_run(part.run) is not None
        except DBTCloudException as error:
            part.error = error
        self._sending = None

    def _wait(self, *, are_new: bool = True) -> None:
        """Watch all runs until they have finished, or the time is up."""
        watched = [part for part in self._parts if part.pending]
        runs = [part.run for part in watched if part.run]
        self._watch = watch = Watch(
            self._client,
            runs,
            are_new=are_new,
            after_check=self._look_for_earlier_runs,
            progress=Progress(
                self._display, self._pace, self._client.clock, self._client.without_token
            ),
        )
        watch.until(self._seconds_left, self._config.wait_seconds)
        for part in watched:
            run_id = id_of(cast(Run, part.run))
            part.run, part.error = watch.runs[run_id], watch.errors.get(run_id)
        self._watch = None
        self._leave_late(watched)

    def _look_for_earlier_runs(self, watch: Watch) -> None:
        """Watch the earlier run of another process in place of its duplicate."""
        for part in self._parts:
            run = watch.runs.get(part.run["id"] or 0) if part.run else None
            found = part.earlier_runs.look(run) if run and part.earlier_runs else None
            if run and found:
                watch.replace(id_of(run), found.run)
                part.started, part.run, part.earlier_runs = found, found.run, None

    def _leave_late(self, parts: Sequence[Part]) -> None:
        """Report the runs that timed out, cancelled if the config asks for it."""
        late = [(p, p.run) for p in parts if p.run and isinstance(p.error, DBTCloudRunTimeout)]
        runs = [run for _, run in late]
        is_left = bool(runs) and self._config.cancel_on_abandon
        finished = leave(self._client, runs, cancel=True) if is_left else {}
        for part, run in late:
            cause = part.error.__cause__ if part.error else None
            part.error = DBTCloudRunTimeout(
                run,
                self._config.timeout,
                trouble=cause,
                ended=finished.get(id_of(run)),
                resume=self._client.call("get_dbt_cloud_run_status", run["id"]),
            )
            part.error.__cause__ = cause

    def _replace_cancelled(self) -> None:
        """Trigger again if an adopted run was cancelled, or wait for the kept run."""
        for _ in range(_ADOPTIONS):
            lost = [part for part in self._parts if part.has_lost_its_run]
            for part in lost:
                part.run = None
                self._start(part)
            self._find_kept()
            if not any(part.pending for part in self._parts):
                return
            self._wait()

    def _find_kept(self) -> None:
        """Replace cancelled runs of loads by those that other processes kept."""
        cancelled = [part for part in self._parts if part.has_lost_its_duplicate]
        for pause in _KEPT_LOOKS:
            if not cancelled or pause > self._seconds_left:
                return
            self._client.clock.sleep(pause)
            cancelled = [part for part in cancelled if self._may_have_kept(part)]

    def _may_have_kept(self, part: Part) -> bool:
        """Replace a cancelled run by the kept one, or return whether to search for it again."""
        try:
            kept = existing_run(self._client, cast(Trigger, part.trigger), self._backlogs)
        except DBTCloudException as error:
            logger.warning(f"{run_name(cast(Run, part.run))} may be a cancelled duplicate. {error}")
            return False
        if kept:
            part.run, part.is_retry = kept, retried_run(kept) is not None
        return kept is None

    def _cancel_duplicates(self) -> None:
        for part in self._parts:
            if part.trigger and part.started and part.run and part.run["id"]:
                cancel_duplicates(self._client, part.trigger, part.started, part.run)

    def _warn_of_retries(self) -> None:
        if self._config.retries:
            logger.warning("`retries` has no effect without `wait_for_outcome`.")

    def _retry(self) -> None:
        """Retry failed runs as often as the config allows, within its timeout."""
        self._make_certain()
        for attempt in range(1, self._config.retries + 1):
            failed = [part for part in self._parts if part.has_failed]
            if not failed or not self._seconds_left:
                break
            for part in failed:
                self._retry_one(part, f"{attempt} of {self._config.retries}")
            self._wait()
            self._make_certain()

    def _make_certain(self) -> None:
        """Replace successful runs that did not execute the nodes that they were for."""
        self._repeat_uncertain()
        self._reject_uncertain()
        self._run_whole()

    def _retry_one(self, part: Part, attempt: str) -> None:
        run = cast(Run, part.run)
        reason = explain(self._client, run, part.load, self._runs)
        logger.warning(f"{reason}\nRetrying: retry {attempt}.")
        try:
            # another process may have built the load in the meantime
            trigger = part.trigger if part.load else None
            existing = existing_run(self._client, trigger, self._backlogs) if trigger else None
            part.run = existing or self._retried(run)
            part.is_retry = not existing or retried_run(existing) is not None
        except DBTCloudException as error:
            part.error = error
        self._sending = None

    def _retried(self, run: Run) -> Run:
        try:
            left = self._seconds_left
            return retry(self._client, run, self._backlogs, timeout=left, note=self._note)
        except DBTCloudException:
            self._sending = None
            raise

    def _note(self, sending: ExactlyOnce) -> None:
        self._sending = sending

    def _repeat_uncertain(self) -> None:
        """Repeat retries that did not execute their nodes, within the timeout.

        This is not another retry of the user, and each repetition is less narrow.
        """
        for _ in RetryMethod:
            uncertain = [
                (part, backlog) for part, backlog in self._uncertain() if backlog.is_repeatable
            ]
            if not uncertain or not self._seconds_left:
                return
            for part, backlog in uncertain:
                logger.warning(
                    f"{describe_uncertainty(backlog)} Repeating it with a broader selection."
                )
                try:
                    part.run = self._retried(backlog.run)
                except DBTCloudException as error:
                    part.error = error
                self._sending = None
            self._wait()

    def _reject_uncertain(self) -> None:
        """Report retries that did not execute their nodes as errors."""
        for part, backlog in self._uncertain():
            if run_error(backlog.run) is None:
                part.error = uncertain_error(backlog)

    def _reject_empty(self, part: Part) -> None:
        """Report a narrowed run of an unknown load as an error if it executed nothing."""
        run = cast(Run, part.run)
        if not part.is_reported or not has_finished(run) or not is_narrowed_to_load(run):
            return
        try:
            reason = gap(self._client, run, None, self._runs)
            part.error = incomplete(run, reason) if reason else None
        except DBTCloudException as error:
            part.error = error

    def _run_whole(self) -> None:
        """Run all of a job if its narrowed run did not build everything loaded."""
        gaps = [(part, reason) for part in self._parts if (reason := self._gap(part))]
        for part, reason in gaps:
            run, trigger = cast(Run, part.run), cast(Trigger, part.trigger)
            if not self._seconds_left:
                part.error = incomplete(run, reason)
                continue
            logger.warning(f"{describe_gap(run, reason)} Running all of job {trigger.job_id}.")
            part.run = None
            part.trigger = replace(trigger, only_loaded=False, timeout=self._seconds_left)
            self._start(part)
        if gaps:
            self._wait()
            self._repeat_uncertain()
            self._reject_uncertain()

    def _gap(self, part: Part) -> str | None:
        """Return what a successful narrowed run has not built; note if this cannot be read."""
        run, trigger = part.run, part.trigger
        is_narrowed = run and trigger and trigger.load and trigger.only_loaded
        if not is_narrowed or not part.is_reported or not has_finished(cast(Run, run)):
            return None
        try:
            return gap(self._client, cast(Run, run), self._scope(part), self._runs)
        except DBTCloudException as error:
            part.error = error
            return None

    def _scope(self, part: Part) -> Scope:
        """Return the scope of a narrowed run; without nodes if the run was found."""
        if part.started and part.started.scope:
            return part.started.scope
        trigger = cast(Trigger, part.trigger)
        relations = loaded_relations(trigger.load.pipeline) if trigger.load else []
        return Scope(relations, trigger.body.get("steps_override") or ())

    def _uncertain(self) -> list[tuple[Part, Backlog]]:
        """Return the retries whose status does not show the outcome of their nodes."""
        found = []
        for part in self._parts:
            run = part.run if part.is_retry and not part.error else None
            if (
                run is None
                or not has_finished(run)
                or isinstance(run_error(run), DBTCloudRunCancelled)
            ):
                continue
            try:
                backlog = self._backlogs.of(run)
            except DBTCloudException as error:
                # a failure is reported as such
                part.error = None if run_error(run) else error
            else:
                found += [(part, backlog)] if backlog.is_uncertain else []
        return found

    def _report(self) -> list[Run]:
        return report(
            self._client,
            self._parts,
            self._runs,
            raises=self._config.raise_on_failure,
            raises_warnings=self._config.raise_on_warning,
        )
