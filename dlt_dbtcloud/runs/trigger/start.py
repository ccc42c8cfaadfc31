"""Triggers of jobs, and the run that each one leads to: an existing run or a new one.

Its overrides are `TriggerData` in `typing`, and fields of `configuration`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from dlt.common import logger

from dlt_dbtcloud.cause import (
    BoundLoad,
    bound_key,
    bound_load,
    cause_with_key,
    has_cause,
    has_key,
    may_have_cause,
    new_key,
    retried_run,
    retry_cause,
    with_retries,
)
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import SEVERAL_COOL_DOWNS
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import covers
from dlt_dbtcloud.exceptions import run_error
from dlt_dbtcloud.loads import LastLoad, loaded_relations
from dlt_dbtcloud.payloads import has_finished, id_of, run_link, time_of
from dlt_dbtcloud.runs.only_loaded import narrowed_trigger
from dlt_dbtcloud.runs.retry.backlog import Backlogs
from dlt_dbtcloud.runs.retry.coverage import Scope
from dlt_dbtcloud.runs.trigger.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.trigger.history import Found, find_created, recent_runs
from dlt_dbtcloud.runs.trigger.variables import body_with_variables, load_variables
from dlt_dbtcloud.typing import Run, RunStatus, TriggerData
from dlt_dbtcloud.values import as_mapping, as_text

__all__ = [
    "Note",
    "Started",
    "Trigger",
    "existing_run",
    "known_runs",
    "patient",
    "remember",
    "skipped_run",
    "start",
]

Note = Callable[[ExactlyOnce], None]

_SEARCH_LIMIT = 120.0
_STEPS: Final = "steps_override"
_BRANCH: Final = "git_branch"


@dataclass(frozen=True)
class Trigger:
    """A request for one run of a job.

    Args:
        job_id: The job.
        body: The body of the trigger, as `trigger_data` returns it.
        load: The load that the run is bound to.
        retried: The run to retry in part or whole; the retry carries the same key.
        only_loaded: Whether to build only the descendants of the tables of the load.
        reuse_queued_run: Whether to use a run that has not started yet, whoever triggered it.
        variables: Variables for dbt, with the placeholders of the load.
        timeout: Seconds until the run has to be accepted.
        call_key: The key of a run that is bound to no load.
    """

    job_id: str
    body: TriggerData
    load: LastLoad | None = None
    retried: Run | None = None
    only_loaded: bool = False
    reuse_queued_run: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 86400.0
    call_key: str = field(default_factory=new_key)

    @cached_property
    def cause(self) -> str:
        """The cause of the run, with its key."""
        if self.retried:
            return retry_cause(self.retried)
        origin = self.load.origin if self.load else None
        return cause_with_key(self.body["cause"], self.keys[0], origin)

    @cached_property
    def keys(self) -> list[str]:
        """The key of the run, then the key of a run of the whole job."""
        return self.keys_of(self.load) if self.load else [self.call_key]

    def keys_of(self, load: LastLoad) -> list[str]:
        """Return the keys of the same trigger for another load."""
        whole = {**self.body, **({"additional_vars": self.variables} if self.variables else {})}
        bodies = [{**whole, "only_loaded": True}] if self.only_loaded else []
        return [bound_key(load.origin, self.job_id, body) for body in (*bodies, whole)]

    @property
    def related(self) -> Sequence[str]:
        """The objects related to a run by which it is recognized."""
        return ("trigger", "environment") if self.reuse_queued_run else ("trigger",)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may trigger the same run."""
        return bool(self.load or self.retried or self.reuse_queued_run)

    def created(self, run: Run) -> bool:
        """Return whether a run was created by this trigger in any process."""
        if self.retried:
            is_known = run.get("retrying_run_id") or has_cause(run, self.cause)
            return bool(is_known) and retried_run(run) == id_of(self.retried)
        if self.load:
            return has_key(run, self.keys[0], self.load.origin)
        return has_cause(run, self.cause) and not run.get("retrying_run_id")

    def may_have_created(self, run: Run) -> bool:
        """Return whether this trigger may have created a run whose payload is unclear."""
        return not self.created(run) and may_have_cause(run, self.cause)

    def is_satisfied_by(self, run: Run) -> bool:
        """Return whether a run builds the load of this trigger."""
        if self.retried or not self.load:
            return self.created(run)
        origin = self.load.origin
        return any(has_key(run, key, origin) for key in self.keys)

    def is_repeated_by(self, bound: BoundLoad) -> bool:
        """Return whether a run has the same trigger for another load."""
        name = self.load.pipeline_name if self.load else ""
        return bound.pipeline_name == name and bound.key in self.keys_of(LastLoad(*bound[:2]))

    def can_reuse(self, run: Run, body: TriggerData, own: Run | None = None) -> bool:
        """Return whether a queued run builds all that a trigger with this body would.

        Args:
            run: The run, with its trigger and environment.
            body: The body to compare with, with its variables and perhaps narrowed to the load.
            own: A run with this body, with its trigger.
        """
        is_queued = run.get("status") == RunStatus.QUEUED and retried_run(run) is None
        if not self.reuse_queued_run or not is_queued:
            return False
        other = run.get("trigger")
        if not isinstance(other, dict) or any(
            other.get(name) != body.get(name) for name in OVERRIDES if name not in (_STEPS, _BRANCH)
        ):
            return False
        branch = other.get(_BRANCH)
        is_default = not body.get(_BRANCH) and branch in _default_branches(run, own)
        if branch != body.get(_BRANCH) and not is_default:
            return False
        steps, wanted = other.get(_STEPS), body.get(_STEPS)
        # None means all steps of the job, which include ours unless these have other variables
        whole = wanted if self.variables else self.body.get(_STEPS)
        if steps in (wanted, whole):
            return True
        return bool(steps and wanted) and covers(steps or (), wanted or ())


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
    """

    run: Run
    is_new: bool = False
    is_adopted: bool = False
    was_lost: bool = False
    body: TriggerData = field(default_factory=TriggerData)
    newest_id: int = 0
    since: float = 0.0
    scope: Scope | None = None


def start(client: DBTCloudClientV2, trigger: Trigger, note: Note = lambda _: None) -> Started:
    """Return the run of a trigger: existing, new or skipped.

    Args:
        client: The client.
        trigger: The trigger.
        note: Called with each POST before it is sent, as an interrupt may leave its run behind.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, and it could not be found.
        DBTCloudAPIError: The API refused, or returned an error.
        DBTCloudTransportError: The API cannot be reached.
        DBTCloudException: The variables cannot be passed.
    """
    began, since = client.clock.monotonic(), _since(client, trigger)

    def left() -> float:
        return max(0.0, trigger.timeout - (client.clock.monotonic() - began))

    known = known_runs(client, trigger, since)
    existing = _existing(client, trigger, known)
    body, scope = trigger.body, None
    if trigger.only_loaded and trigger.load:
        narrowed = _narrowed_body(client, trigger, trigger.load, existing, known, left())
        if isinstance(narrowed, _NothingToBuild):
            return Started(skipped_run(narrowed.reason))
        body, scope = narrowed
    elif not existing:
        body = _whole_body(client, trigger, left())
    queued = None if existing else _queued_run(client, trigger, body, known)
    if queued:
        remember(trigger, queued)
    found = existing or queued
    if found:
        logger.info(f"Job {trigger.job_id} already has run {found['id']} for this.")
        return Started(found, is_adopted=queued is not None, scope=scope)
    sending = replace(trigger, timeout=left())
    return replace(_send(client, sending, body, known, since, note), scope=scope)


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


def existing_run(client: DBTCloudClientV2, trigger: Trigger) -> Run | None:
    """Return the pending or successful run that builds the load, or its retry.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    return _existing(client, trigger, known_runs(client, trigger, _since(client, trigger)))


@dataclass(frozen=True)
class _NothingToBuild:
    reason: str


def _since(client: DBTCloudClientV2, trigger: Trigger) -> float:
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


def _existing(client: DBTCloudClientV2, trigger: Trigger, known: Sequence[Run]) -> Run | None:
    """Return a run that has certainly built the load, else one in flight."""
    remembered = _remembered_id(trigger)
    candidates = with_retries([run for run in known if trigger.is_satisfied_by(run)], known)
    candidates += [run for run in known if id_of(run) == remembered]
    usable = [run for run in candidates if run_error(run) is None]
    pending = [run for run in usable if not has_finished(run)]
    finished = sorted((run for run in usable if has_finished(run)), key=id_of)
    backlogs = Backlogs(client)
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


def _default_branches(run: Run, own: Run | None) -> list[str | None]:
    """Return the branches that the service fills in for a trigger without one.

    These are the branch of the environment and that of an own run without a branch.
    """
    environment = as_mapping(run.get("environment"))
    custom = environment.get("custom_branch") if environment.get("use_custom_branch") else None
    filled = as_mapping(own.get("trigger")).get(_BRANCH) if own else None
    return [as_text(custom), as_text(filled)]


def _begins_after_load(run: Run, load: LastLoad | None) -> bool:
    if run.get("status") == RunStatus.QUEUED:
        return True
    began = time_of(run, "dequeued_at") or time_of(run, "started_at")
    committed = load.committed if load else None
    return bool(began and committed and began > committed)


def _narrowed_body(
    client: DBTCloudClientV2,
    trigger: Trigger,
    load: LastLoad,
    existing: Run | None,
    known: Sequence[Run],
    timeout: float,
) -> tuple[TriggerData, Scope | None] | _NothingToBuild:
    """Return the body and scope for the changes of a load, or why to skip."""
    if existing:
        has_loaded = load.is_remote or loaded_relations(load.pipeline)
        since = f"has loaded nothing since run {existing['id']}"
        nothing = _NothingToBuild(f"pipeline `{load.pipeline_name}` {since}")
        return (trigger.body, None) if has_loaded or not has_finished(existing) else nothing
    relations = loaded_relations(load.pipeline, _unbuilt_since(trigger, known))
    if not relations:
        logger.warning(
            f"Running all of job {trigger.job_id}: the tables of load {load.load_id} are no longer "
            "known, and no run after it has succeeded."
        )
        return _whole_body(client, trigger, timeout), None
    narrowed = narrowed_trigger(
        client,
        trigger.job_id,
        trigger.body,
        relations,
        variables=load_variables(trigger.variables, load, relations),
        timeout=timeout,
    )
    if narrowed:
        return narrowed
    names = ", ".join(sorted(relation.name for relation in relations))
    return _NothingToBuild(f"nothing that it builds descends from the loaded tables: {names}")


def _whole_body(client: DBTCloudClientV2, trigger: Trigger, timeout: float) -> TriggerData:
    """Return the body of a run of the whole job, with its variables."""
    if not trigger.variables:
        return trigger.body
    relations = loaded_relations(trigger.load.pipeline) if trigger.load else []
    variables = load_variables(trigger.variables, trigger.load, relations)
    return body_with_variables(client, trigger.job_id, trigger.body, variables, timeout=timeout)


def _unbuilt_since(trigger: Trigger, known: Sequence[Run]) -> float | None:
    """Return the time since which loads are unbuilt, in seconds since 1970.

    It is the newest load for which the same trigger succeeded, else the first for which it failed.
    If a run of a load failed after another succeeded, the first did not build all of it.
    """
    bound = [
        (float(load.load_id), run)
        for run in sorted(known, key=id_of)
        if has_finished(run) and (load := bound_load(run)) and trigger.is_repeated_by(load)
    ]
    last = {began: run_error(run) for began, run in bound if not run.get("is_cancelled")}
    built = [began for began, error in last.items() if error is None]
    if built:
        return max(built)
    # load ids are times with microseconds
    return min((began - 1e-6 for began, _ in bound), default=None)


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
