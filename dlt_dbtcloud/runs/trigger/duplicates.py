"""Runs of other processes or repeated triggers that build the same load twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import SEVERAL_COOL_DOWNS
from dlt_dbtcloud.exceptions import DBTCloudException, run_error
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.runs.trigger.exactly_once import keep_one
from dlt_dbtcloud.runs.trigger.history import clarified, recent_runs
from dlt_dbtcloud.runs.trigger.start import Started, known_runs, patient, remember
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run

__all__ = ["EarlierRuns", "cancel_duplicates", "keep_earliest"]

# seconds after the trigger of a run when earlier ones are searched for again: lists lag
_LOOKS = (2.0, 5.0, 10.0, 16.0)


def keep_earliest(client: DBTCloudClientV2, trigger: Trigger, started: Started) -> Started:
    """Cancel a new run if an earlier one of another process builds the load."""
    if not (started.is_new and trigger.is_shared):
        return started
    run_id = id_of(started.run)
    try:
        recent = known_runs(client, trigger, started.since)
        earlier = _earlier_run(trigger, started, recent)
        seen = next((run for run in recent if id_of(run) == run_id), started.run)
        if earlier and seen.get("is_success"):
            _warn_of_both(earlier.run, seen)
        if earlier is None or seen.get("is_success"):
            return replace(started, run=seen)
        logger.info(f"Run {earlier.run['id']} was triggered first; cancelling run {run_id}.")
        request_cancel(client, run_id, cool_down=min(SEVERAL_COOL_DOWNS, trigger.timeout))
    except DBTCloudException as error:
        logger.warning(f"Run {run_id} may have a duplicate. {error}")
        return started
    return earlier


class EarlierRuns:
    """Earlier runs of other processes, searched for while a new run is watched.

    The list of runs lags by seconds, so that two processes may not see each other's run at first.

    Args:
        client: The client.
        trigger: The trigger of the new run.
        started: The new run.
    """

    def __init__(self, client: DBTCloudClientV2, trigger: Trigger, started: Started) -> None:
        self._client = client
        self._trigger = trigger
        self._started = started
        self._began = client.clock.monotonic()
        is_needed = started.is_new and trigger.is_shared
        self._due: tuple[float, ...] = _LOOKS if is_needed else ()
        self._blockers: set[int] = set()

    def look(self, run: Run) -> Started | None:
        """Return an earlier run that builds the load, and cancel the new one for it.

        Args:
            run: The new run as last seen.
        """
        try:
            earlier = self._earlier(run)
            if earlier is None:
                return None
            if run.get("is_success"):
                _warn_of_both(earlier.run, run)
                self._due = ()
                return None
            logger.info(f"Run {earlier.run['id']} was triggered first; cancelling run {run['id']}.")
            limited = min(SEVERAL_COOL_DOWNS, self._trigger.timeout)
            request_cancel(self._client, id_of(run), cool_down=limited)
        except DBTCloudException as error:
            logger.info(f"Run {run['id']} may have a duplicate. {error}")
            return None
        self._due = ()
        return earlier

    def _earlier(self, run: Run) -> Started | None:
        """Search among the runs that block the new one, and at certain times among all."""
        if not self._due:
            return None
        client = self._client.patient(0)
        found = [*self._new_blockers(client, run)]
        waited = self._client.clock.monotonic() - self._began
        later = tuple(due for due in self._due if due > waited)
        if later != self._due or has_finished(run):
            trigger = self._trigger
            found += recent_runs(client, trigger.job_id, self._started.since, trigger.related)
            self._due = later
        return _earlier_run(self._trigger, self._started, found)

    def _new_blockers(self, client: DBTCloudClientV2, run: Run) -> Iterator[Run]:
        for blocker in run.get("blocked_by") or ():
            if isinstance(blocker, int) and blocker not in self._blockers:
                yield clarified(client, Run(id=blocker))
                self._blockers.add(blocker)


def cancel_duplicates(
    client: DBTCloudClientV2, trigger: Trigger, started: Started, run: Run
) -> None:
    """Cancel the late duplicates of a run if a response to its trigger was lost.

    After a failure, a later run of the same load is not a duplicate.
    """
    if not started.was_lost or (trigger.load and run_error(run)):
        return
    try:
        searcher = patient(client, trigger)
        recent = recent_runs(searcher, trigger.job_id, started.since)
    except DBTCloudException as error:
        logger.error(f"Run {run['id']} may have a duplicate. {error}")
        return
    newer = (each for each in recent if id_of(each) > started.newest_id)
    keep_one(client, filter(trigger.created, newer), keep=run)


def _warn_of_both(earlier: Run, run: Run) -> None:
    logger.warning(f"Both run {earlier['id']} and run {run['id']} have built the same load.")


def _earlier_run(trigger: Trigger, started: Started, recent: Sequence[Run]) -> Started | None:
    """Return the earlier run of another process that builds the load."""
    before = (run for run in recent if id_of(run) < id_of(started.run))
    earlier = sorted(before, key=id_of)
    for run in earlier:
        if trigger.is_satisfied_by(run) and run_error(run) is None:
            return replace(started, run=run, is_new=False)
    for run in earlier:
        if trigger.can_reuse(run, started.body, started.run):
            remember(trigger, run)
            return replace(started, run=run, is_new=False, is_adopted=True)
    return None
