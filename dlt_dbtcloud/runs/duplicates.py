"""Runs of other processes, or of repeated triggers, that build the same load twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudException, run_error
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.exactly_once import keep_one
from dlt_dbtcloud.runs.trigger import (
    Started,
    Trigger,
    created_runs,
    known_runs,
    patient,
    remember,
)
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run

__all__ = ["cancel_duplicates", "keep_earliest"]


def keep_earliest(client: DBTCloudClientV2, trigger: Trigger, started: Started) -> Started:
    """Cancel a new run if an earlier one of another process builds the load."""
    if not (started.is_new and trigger.is_shared):
        return started
    run_id = id_of(started.run)
    try:
        recent = known_runs(client, trigger, started.since)
        earlier = _earlier_run(trigger, started, recent)
        if earlier is None:
            seen = next((run for run in recent if id_of(run) == run_id), started.run)
            return replace(started, run=seen)
        logger.info(f"Run {earlier.run['id']} was triggered first; cancelling run {run_id}.")
        request_cancel(client, run_id)
    except DBTCloudException as error:
        logger.warning(f"Run {run_id} may not be the only one of its trigger. {error}")
        return started
    return earlier


def cancel_duplicates(
    client: DBTCloudClientV2, trigger: Trigger, started: Started, run: Run
) -> None:
    """Cancel the late duplicates of a run whose trigger was repeated."""
    if not started.was_repeated:
        return
    try:
        searcher = patient(client, trigger)
        others = created_runs(searcher, trigger, started.since, started.newest_id)
    except DBTCloudException as error:
        logger.error(f"Run {run['id']} may not be the only one with its cause. {error}")
        return
    keep_one(client, others, keep=run)


def _earlier_run(trigger: Trigger, started: Started, recent: Sequence[Run]) -> Started | None:
    """Return the earlier run of another process that builds the load."""
    earlier = [run for run in reversed(recent) if id_of(run) < id_of(started.run)]
    for run in earlier:
        if trigger.is_satisfied_by(run) and run_error(run) is None:
            return Started(run)
    for run in earlier:
        if trigger.can_reuse(run, started.body):
            remember(trigger, run)
            return Started(run, is_adopted=True)
    return None
