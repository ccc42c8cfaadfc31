"""The run that a trigger leads to: an existing run or a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dlt.common import logger

from dlt_dbtcloud.cause import with_retries
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import SEVERAL_COOL_DOWNS
from dlt_dbtcloud.exceptions import run_error
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import has_finished, id_of, run_link, time_of
from dlt_dbtcloud.runs.only_loaded import Saving
from dlt_dbtcloud.runs.retry.backlog import Backlogs
from dlt_dbtcloud.runs.retry.coverage import Scope
from dlt_dbtcloud.runs.trigger.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.trigger.history import Found, find_created, recent_runs
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.trigger.work import log_work, work_of
from dlt_dbtcloud.typing import Run, RunStatus, TriggerData

__all__ = [
    "Note",
    "Started",
    "existing_among",
    "existing_run",
    "known_runs",
    "patient",
    "remember",
    "since_of",
    "skipped_run",
    "start",
]

Note = Callable[[ExactlyOnce], None]

_SEARCH_LIMIT = 120.0


@dataclass(frozen=True)
class Started:
    """The outcome of a trigger.

    Args:
        run: The run: existing, new or skipped.
        is_new: Whether the trigger created the run.
        is_adopted: Whether the run was not triggered for this load.
        was_lost: Whether a response was lost, so that a second run may appear.
        body: The body of the trigger with its variables, narrowed to the load if requested.
        newest_id: The newest run of the job that was known before the trigger; 0 if none.
        since: The time of the trigger or of its load, in seconds since 1970.
        scope: What a run that the call narrowed is to build.
        saving: What the narrowed run saves.
    """

    run: Run
    is_new: bool = False
    is_adopted: bool = False
    was_lost: bool = False
    body: TriggerData = field(default_factory=TriggerData)
    newest_id: int = 0
    since: float = 0.0
    scope: Scope | None = None
    saving: Saving | None = None


def start(
    client: DBTCloudClientV2,
    trigger: Trigger,
    note: Note = lambda _: None,
    backlogs: Backlogs | None = None,
) -> Started:
    """Return the run of a trigger: existing, new or skipped.

    Args:
        client: The client.
        trigger: The trigger.
        note: Called with each POST before it is sent, as an interrupt may leave its run behind.
        backlogs: The backlogs that are read already.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, and it could not be found.
        DBTCloudAPIError: The API refused, or returned an error.
        DBTCloudTransportError: The API cannot be reached.
        DBTCloudException: The variables cannot be passed.
    """
    began, since = client.clock.monotonic(), since_of(client, trigger)

    def left() -> float:
        return max(0.0, trigger.timeout - (client.clock.monotonic() - began))

    known = known_runs(client, trigger, since)
    existing = existing_among(client, trigger, known, backlogs)
    work = work_of(client, trigger, existing, known, left())
    log_work(client, trigger, work)
    if work.nothing:
        return Started(skipped_run(work.nothing))
    body, scope = work.body, work.scope
    queued = None if existing else _queued_run(client, trigger, body, known)
    if queued:
        remember(trigger, queued)
    found = existing or queued
    if found:
        logger.info(f"Job {trigger.job_id} already has run {found['id']} for this.")
        return Started(found, is_adopted=queued is not None, scope=scope)
    sending = replace(trigger, timeout=left())
    started = _send(client, sending, body, known, since, note)
    return replace(started, scope=scope, saving=work.saving(known))


def skipped_run(reason: str) -> Run:
    """Log that there is nothing to build, and return a skipped run."""
    logger.warning(f"No dbt Cloud job was run: {reason}")
    return Run(
        id=None,
        status_humanized="Skipped",
        status_message=reason,
        is_complete=True,
        is_success=True,
        is_error=False,
        is_cancelled=False,
        in_progress=False,
        trigger=None,
    )


def existing_run(client: DBTCloudClientV2, trigger: Trigger, backlogs: Backlogs) -> Run | None:
    """Return the pending or successful run that builds the load, or its retry.

    Args:
        client: The client.
        trigger: The trigger.
        backlogs: The backlogs that are read already.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    known = known_runs(client, trigger, since_of(client, trigger))
    return existing_among(client, trigger, known, backlogs)


def since_of(client: DBTCloudClientV2, trigger: Trigger) -> float:
    """Return the time since which runs may be those of a trigger, in seconds since 1970."""
    return trigger.load.began if trigger.load else client.clock.time()


def patient(client: DBTCloudClientV2, trigger: Trigger) -> DBTCloudClientV2:
    """Return a client that waits out short outages and cool-downs, within a trigger's timeout."""
    outage, limited = min(trigger.timeout, _SEARCH_LIMIT), min(trigger.timeout, SEVERAL_COOL_DOWNS)
    return client.patient(outage, cool_down=limited - outage)


def known_runs(client: DBTCloudClientV2, trigger: Trigger, since: float) -> list[Run]:
    """Return the runs among which another process may have triggered the same one."""
    if not trigger.is_shared:
        return []
    return recent_runs(patient(client, trigger), trigger.job_id, since, trigger.related)


def existing_among(
    client: DBTCloudClientV2,
    trigger: Trigger,
    known: Sequence[Run],
    backlogs: Backlogs | None = None,
) -> Run | None:
    """Return a run that has certainly built the load, else one in flight.

    Args:
        client: The client.
        trigger: The trigger.
        known: The recent runs of the job.
        backlogs: The backlogs that are read already.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    remembered = _remembered_id(trigger)
    candidates = with_retries([run for run in known if trigger.is_satisfied_by(run)], known)
    candidates += [run for run in known if id_of(run) == remembered]
    usable = [run for run in candidates if run_error(run) is None]
    pending = [run for run in usable if not has_finished(run)]
    finished = sorted((run for run in usable if has_finished(run)), key=id_of)
    backlogs = backlogs or Backlogs(client)
    certain = (run for run in finished if not backlogs.is_uncertain_retry(run))
    return next(certain, min(pending, key=id_of, default=None))


def _queued_run(
    client: DBTCloudClientV2, trigger: Trigger, body: TriggerData, known: Sequence[Run]
) -> Run | None:
    """Return a reusable queued run that builds the same nodes or more."""
    queued = [run for run in known if trigger.can_reuse(run, body)]
    if not queued:
        return None
    # it may have started since it was listed, but hardly before the load was committed
    run = patient(client, trigger).get_run_status(min(map(id_of, queued)), ["trigger"])
    return run if _begins_after_load(run, trigger.load) else None


def _begins_after_load(run: Run, load: LastLoad | None) -> bool:
    if run.get("status") == RunStatus.QUEUED:
        return True
    began = time_of(run, "dequeued_at") or time_of(run, "started_at")
    committed = load.committed if load else None
    return bool(began and committed and began > committed)


def _send(
    client: DBTCloudClientV2,
    trigger: Trigger,
    body: TriggerData,
    known: Sequence[Run],
    since: float,
    note: Note,
) -> Started:
    """Create a run."""
    newest_id = max(map(id_of, known), default=0)
    posted = client.clock.time()
    cause = trigger.cause

    def search(searcher: DBTCloudClientV2) -> Found:
        return find_created(
            searcher,
            [run for run in recent_runs(searcher, trigger.job_id, since) if id_of(run) > newest_id],
            posted,
            created=trigger.created,
            may_be_created=trigger.may_have_created,
        )

    once = ExactlyOnce(
        client,
        trigger.job_id,
        post=lambda sender: sender.start_job_run(trigger.job_id, {**body, "cause": cause}),
        search=search,
        cause=cause,
        timeout=trigger.timeout,
    )
    note(once)
    sent = once.send()
    logger.info(f"Triggered run {sent.run['id']} of job {trigger.job_id}{run_link(sent.run)}.")
    return Started(
        sent.run,
        is_new=True,
        was_lost=sent.was_lost,
        body=body,
        newest_id=newest_id,
        since=since,
    )


def _remembered_id(trigger: Trigger) -> int | None:
    """Return the id of the run that was adopted for the load on this machine."""
    if trigger.load and trigger.reuse_queued_run:
        return trigger.load.adopted_run(trigger.keys[0])
    return None


def remember(trigger: Trigger, run: Run) -> None:
    """Remember on this machine that a run was adopted for a load."""
    if trigger.load:
        trigger.load.remember_adopted(trigger.keys[0], id_of(run))
