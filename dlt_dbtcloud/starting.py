"""Getting to the one run of a trigger: one that is there already and serves, or a new one."""

from __future__ import annotations

from typing import cast

from dlt.common import logger

from dlt_dbtcloud.cancelling import request_cancel
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.naming import run_link
from dlt_dbtcloud.narrowing import narrowed_trigger
from dlt_dbtcloud.relations import loaded_relations
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run

__all__ = ["skipped_run", "start"]


def skipped_run(reason: str) -> Run:
    """Return what stands for the run where there is nothing to build, and say so."""
    logger.warning(f"No dbt Cloud job was run: {reason}")
    flags = {"is_success": True, "is_error": False, "is_cancelled": False, "in_progress": False}
    skipped = {"id": None, "status_humanized": "Skipped", "status_message": reason}
    return cast(Run, {**skipped, "is_complete": True, **flags})


def start(trigger: Trigger) -> Run:
    """Return the one run of a trigger: one that serves already, or a new one, or none: "Skipped".

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
        DBTCloudAPIError: The API refused, or answered with an error.
        DBTCloudTransportError: The API cannot be reached.
    """
    standing = trigger.standing_run()
    reason = _narrow(trigger, standing) if trigger.only_loaded else None
    if reason:
        return skipped_run(reason)
    found = standing or trigger.queued_run()
    if found:
        logger.info(f"Job {trigger.job_id} has run {found['id']} for this already.")
        return found
    run = trigger.send()
    logger.info(f"Run {run['id']} of job {trigger.job_id} was triggered{run_link(run)}.")
    return _eldest(trigger, run)


def _narrow(trigger: Trigger, standing: Run | None) -> str | None:
    """Narrow a trigger to what its load changed, unless it has a run; tell if nothing is to do."""
    load = trigger.load
    if load is None:
        return None
    if standing:
        has_loaded = loaded_relations(load.pipeline) or not is_over(standing)
        since = f"has loaded nothing since run {standing['id']}"
        return None if has_loaded else f"pipeline `{load.pipeline_name}` {since}"
    relations = loaded_relations(load.pipeline, trigger.unbuilt_since())
    if not relations:
        logger.warning(
            f"Job {trigger.job_id} is run whole: what load {load.load_id} changed is not known any "
            "more, and no run after it has succeeded."
        )
        return None
    narrowed = narrowed_trigger(
        trigger.client,
        trigger.job_id,
        trigger.whole,
        relations,
        timeout=trigger.seconds_left,
        clock=trigger.clock,
    )
    if narrowed:
        trigger.body = narrowed
        return None
    names = ", ".join(sorted(relation.name for relation in relations))
    return f"nothing that it builds descends from what was loaded: {names}"


def _eldest(trigger: Trigger, run: Run) -> Run:
    """Return the run of another worker that was faster and serves as well, or ours."""
    try:
        elder, seen = trigger.elder(run)
        if elder is None:
            return seen
        logger.info(f"Run {elder['id']} came before: run {run['id']} is cancelled.")
        request_cancel(trigger.client, run["id"], clock=trigger.clock)
        trigger.sent = None
    except DBTCloudException as error:
        logger.warning(f"Whether run {run['id']} is the only one is not known. {error}")
        return run
    return elder
