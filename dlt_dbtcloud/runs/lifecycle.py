"""From the triggers of a call to the end of their runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock, through_outages
from dlt_dbtcloud.configuration import DBTCloudConfiguration, connect
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    run_error,
)
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import has_finished, id_of, run_name
from dlt_dbtcloud.runs.failure import explain
from dlt_dbtcloud.runs.interrupts import abandoning, leave
from dlt_dbtcloud.runs.retry import retry
from dlt_dbtcloud.runs.trigger import Trigger, start
from dlt_dbtcloud.runs.watch import Watch, request_cancel
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["Part", "Running", "report"]


@dataclass
class Part:
    """One of the runs of a call, and what keeps it from its end.

    Args:
        load: The load that the run is bound to.
        trigger: What the run came of, unless it was there before.
        run: The run as it was last seen.
        error: Why it is not known how it ends, or why there is no run.
    """

    load: LastLoad | None = None
    trigger: Trigger | None = None
    run: Run | None = None
    error: DBTCloudException | None = None

    @property
    def pending(self) -> Run | None:
        """Return the run while it is waited for, from the moment that it was triggered on."""
        run = self.run or (self.trigger and self.trigger.sent)
        return run if run and not has_finished(run) and not self.error else None

    @property
    def has_failed(self) -> bool:
        """Tell whether the run ended with an error, so that it may be retried."""
        return not self.error and isinstance(self._end, DBTCloudRunFailed)

    @property
    def has_lost_its_run(self) -> bool:
        """Tell whether the run was somebody else's, and is cancelled."""
        is_adopted = self.trigger and self.trigger.adopted
        return bool(is_adopted) and isinstance(self._end, DBTCloudRunCancelled)

    @property
    def is_well(self) -> bool:
        """Tell whether there is a run that nothing is raised for."""
        return bool(self.run and self.run["id"]) and not self.error and not self._end

    @property
    def _end(self) -> DBTCloudException | None:
        return run_error(self.run) if self.run else None


def report(
    client: DBTCloudClientV2, parts: Sequence[Part], *, raises: bool, clock: Clock = time
) -> list[Run]:
    """Return the runs of a call; raise what went wrong, or log it, as no failure is silent.

    Args:
        client: What reads why a run failed.
        parts: The runs.
        raises: Raise where a run did not succeed, and do not just log it.
        clock: What the time is told by.

    Raises:
        DBTCloudException: A job could not be triggered, a run is still going on, or one did not
            succeed and `raises` says so; where it is several, the first tells of all.
    """
    failed = [
        explain(client, part.run, part.load, clock=clock)
        for part in parts
        if part.run and run_error(part.run)
    ]
    raised: list[DBTCloudException] = [part.error for part in parts if part.error]
    if raises:
        raised += failed
    else:
        for error in failed:
            logger.error(str(error))
    if raised:
        raise _one_of(raised, [part.run for part in parts if part.run and part.is_well])
    return [part.run for part in parts if part.run]


def _one_of(errors: Sequence[DBTCloudException], others: Sequence[Run]) -> DBTCloudException:
    """Return the first of some errors, which then tells of all, and of the runs beside them."""
    first, *more = dict.fromkeys(errors)
    said = [f"{run_name(run)}: {run.get('status_humanized')}." for run in others]
    if more:
        numbered = (f"({i}) {error}" for i, error in enumerate((first, *more), start=1))
        first.args = ("\n".join([*numbered, *said]),)
    elif said:
        first.args = ("\n".join([str(first), *said]),)
    return first


# how often another run is looked for, where the one that should serve as well was cancelled
_ADOPTIONS = 3


class Running:
    """The runs of one call: triggered, watched together, retried, reported.

    One that cannot be triggered, or fails, keeps none of the others from ending.

    Args:
        client: What speaks to the API.
        config: How to wait, how often to retry, and whether to raise.
        clock: What the time is told by.
    """

    def __init__(
        self, client: DBTCloudClientV2, config: DBTCloudConfiguration, clock: Clock = time
    ) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._began = clock.monotonic()
        self._parts: list[Part] = []
        self._watch: Watch | None = None

    def run_all(self, triggers: Iterable[Trigger]) -> list[Run]:
        """Trigger jobs and return their runs in this order, when they are over.

        Raises:
            DBTCloudException: A job could not be triggered, a run is still going on, or one did not
                succeed and the config says to raise; where it is several, the first tells of all.
        """
        self._parts = [Part(trigger.load, trigger) for trigger in triggers]
        with self._abandoning():
            for part in self._parts:
                self._start(part)
            if self._config.wait_for_outcome:
                self._wait()
                self._replace_cancelled()
                self._end_triggers()
                self._retry()
            elif self._config.retries:
                logger.warning("`retries` does nothing without `wait_for_outcome`.")
        return self._report()

    def retry(self, run: Run) -> Run:
        """Retry a run and return the run that does it, when that is over.

        Raises:
            DBTCloudException: As for `run_all`.
        """
        with self._abandoning():
            self._parts = [Part(run=retry(self._client, run, clock=self._clock))]
            if self._config.wait_for_outcome:
                self._wait()
                self._retry()
        return self._report()[0]

    def follow(self, run_id: int | str | None) -> Run:
        """Return a run, when it is over if the config says to wait.

        Raises:
            DBTCloudException: As for `run_all`.
        """
        self._parts = [Part(run=self._look(run_id))]
        with self._abandoning():
            if self._config.wait_for_outcome:
                self._wait(are_new=False)
        return self._report()[0]

    def cancel(self, run_id: int | str | None) -> Run:
        """Cancel a run that is not over, and return it when it is, if the config says to wait.

        Raises:
            DBTCloudRunTimeout: It is still going on.
            DBTCloudAPIError: An error that does not pass by itself.
            DBTCloudTransportError: There was no answer.
        """
        part = Part(run=self._look(run_id))
        if part.pending:
            request_cancel(self._client, id_of(part.pending), clock=self._clock)
            part.run = self._look(run_id)
            self._parts = [part]
            if self._config.wait_for_outcome:
                self._wait(are_new=False)
        if part.error:
            raise part.error
        run = cast(Run, part.run)
        if has_finished(run) and run.get("status") != RunStatus.CANCELLED:
            logger.warning(f"Run {run_id} had already ended: {run.get('status_humanized')}.")
        return run

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._config.timeout - (self._clock.monotonic() - self._began))

    def _abandoning(self) -> AbstractContextManager[None]:
        cancel = self._config.cancel_on_abandon
        return abandoning(
            lambda: connect(self._config), self._pending, cancel=cancel, clock=self._clock
        )

    def _pending(self) -> list[Run]:
        if self._watch:
            return self._watch.pending
        return [part.pending for part in self._parts if part.pending]

    def _look(self, run_id: int | str | None) -> Run:
        """Return a run as it is; who waits for its end also waits for the first answer."""
        if not self._config.wait_for_outcome:
            return self._client.get_run_status(run_id)
        once = self._client.without_retries()
        return through_outages(
            lambda: once.get_run_status(run_id), timeout=self._seconds_left, clock=self._clock
        )

    def _start(self, part: Part) -> None:
        try:
            part.run = start(cast(Trigger, part.trigger))
        except DBTCloudException as error:
            part.error = error

    def _wait(self, *, are_new: bool = True) -> None:
        """Watch all runs to their end, and note what keeps one from it."""
        watched = [part for part in self._parts if part.pending]
        runs = [part.pending for part in watched if part.pending]
        self._watch = watch = Watch(self._client, runs, are_new=are_new, clock=self._clock)
        try:
            watch.until(self._seconds_left, self._config.wait_seconds)
        except DBTCloudException as error:
            watch.errors |= {id_of(run): error for run in watch.pending}
        for part, run in zip(watched, runs, strict=True):
            part.run, part.error = watch.runs[id_of(run)], watch.errors.get(id_of(run))
        self._watch = None
        self._leave_late([part for part in watched if isinstance(part.error, DBTCloudRunTimeout)])

    def _leave_late(self, parts: Sequence[Part]) -> None:
        """Cancel runs for which the time is up, if the config says so, and tell how they are."""
        runs = [part.run for part in parts if part.run]
        is_left = bool(runs) and self._config.cancel_on_abandon
        ended = leave(self._client, runs, cancel=True, clock=self._clock) if is_left else {}
        for part, run in zip(parts, runs, strict=True):
            trouble = part.error.__cause__ if part.error else None
            part.error = DBTCloudRunTimeout(
                run, self._config.timeout, trouble=trouble, ended=ended.get(id_of(run))
            )
            part.error.__cause__ = trouble

    def _replace_cancelled(self) -> None:
        """Start anew where somebody else's run, which was to serve as well, was cancelled."""
        for _ in range(_ADOPTIONS):
            lost = [part for part in self._parts if part.has_lost_its_run]
            for part in lost:
                part.run = None
                self._start(part)
            if lost:
                self._wait()

    def _end_triggers(self) -> None:
        for part in self._parts:
            if part.trigger and part.run and part.run["id"]:
                part.trigger.end(part.run)

    def _retry(self) -> None:
        """Retry runs that failed, as often as the config says, within its timeout for all tries."""
        for attempt in range(1, self._config.retries + 1):
            failed = [part for part in self._parts if part.has_failed]
            if not failed or not self._seconds_left:
                return
            for part in failed:
                self._retry_one(part, f"{attempt} of {self._config.retries}")
            self._wait()

    def _retry_one(self, part: Part, attempt: str) -> None:
        run = cast(Run, part.run)
        why = explain(self._client, run, part.load, clock=self._clock)
        logger.warning(f"{why}\nIt is retried now: retry {attempt}.")
        try:
            # another worker may have had the same load built meanwhile
            standing = part.trigger.standing_run() if part.trigger and part.load else None
            part.run = standing or retry(
                self._client, run, timeout=self._seconds_left, clock=self._clock
            )
        except DBTCloudException as error:
            part.error = error

    def _report(self) -> list[Run]:
        return report(
            self._client, self._parts, raises=self._config.raise_on_failure, clock=self._clock
        )
