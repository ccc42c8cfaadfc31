"""How one call becomes exactly one run, and one load exactly one that succeeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dlt.common import logger

from dlt_dbtcloud.cause import (
    BoundLoad,
    bound_key,
    bound_load,
    cause_with_key,
    has_key,
    new_key,
    retried_run,
    retry_cause,
    with_retries,
)
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock, through_outages
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import covers
from dlt_dbtcloud.exceptions import DBTCloudException, run_error
from dlt_dbtcloud.loads import LastLoad, loaded_relations
from dlt_dbtcloud.payloads import has_finished, id_of, run_link, time_of
from dlt_dbtcloud.runs.exactly_once import Once
from dlt_dbtcloud.runs.only_loaded import narrowed_trigger
from dlt_dbtcloud.runs.watch import request_cancel
from dlt_dbtcloud.typing import Run, RunStatus, TriggerData

__all__ = ["Trigger", "skipped_run", "start"]


# seconds by which the clocks of the service and of the loader may differ
_CLOCKS_DIFFER = 3600.0
_SEARCH_WITHIN = 120.0
_PAGE = 100
_STEPS: Final = "steps_override"


@dataclass
class Trigger:
    """One call's trigger of a job.

    Args:
        client: What speaks to the API.
        job_id: The job.
        body: The trigger, as `trigger_data` gives it.
        load: The load that the run is bound to.
        retried: The run that it does again, in part or whole; it has that run's key.
        only_loaded: Whether `body` is to be narrowed to what the load changed before it is sent.
        reuse_queued_run: Whether a run that has not started yet will do, whoever triggered it.
        timeout: Seconds that may pass until the run is accepted.
        clock: What the time is told by.

    Attributes:
        adopted: The id of somebody else's run that serves, if one does.
        sent: The run that it has made, unless another one took its place.
    """

    client: DBTCloudClientV2
    job_id: str
    body: TriggerData
    load: LastLoad | None = None
    retried: Run | None = None
    only_loaded: bool = False
    reuse_queued_run: bool = False
    timeout: float = 86400.0
    clock: Clock = time

    def __post_init__(self) -> None:
        """Give the trigger its key."""
        self.adopted: int | None = None
        self.sent: Run | None = None
        self.whole = self.body
        self._keys = self._serving_keys()
        self._cause = (
            retry_cause(self.retried)
            if self.retried
            else cause_with_key(
                self.body["cause"], self._keys[0], self.load.origin if self.load else None
            )
        )
        self._known: list[Run] = []
        self._stale: set[int] = set()
        self._once: Once | None = None
        self._since = self.load.began if self.load else self.clock.time()
        self._began = self.clock.monotonic()

    @property
    def seconds_left(self) -> float:
        """Return how many seconds of `timeout` are left."""
        return max(0.0, self.timeout - (self.clock.monotonic() - self._began))

    def standing_run(self) -> Run | None:
        """Return the run that the load has already, in flight or successful; a retry is one, too.

        Raises:
            DBTCloudAPIError: The API answered with an error.
            DBTCloudTransportError: There was no answer.
        """
        if not self._is_shared:
            return None
        self._known = self._through_outages(self._recent)
        # what failed is not taken for a run of this call
        self._stale = {id_of(run) for run in self._known if self._is_ours(run)}
        serving = with_retries([run for run in self._known if self._serves_load(run)], self._known)
        serving += [run for run in self._known if run["id"] == self._remembered]
        standing = [run for run in serving if run_error(run) is None]
        done = [run for run in standing if has_finished(run)]
        return min(done or standing, key=id_of, default=None)

    def unbuilt_since(self) -> float | None:
        """Return when what the job has not built yet began to be loaded, where its runs tell.

        That is after the newest load for which the same call has succeeded, or else with the first
        for which it has not, in seconds since 1970.
        """
        bound = [
            (float(load.load_id), run)
            for run in self._known
            if has_finished(run) and (load := bound_load(run)) and self._is_same_call(load)
        ]
        built = [began for began, run in bound if run_error(run) is None]
        if built:
            return max(built)
        # ids of loads are moments down to a microsecond
        return min((began - 1e-6 for began, _ in bound), default=None)

    def queued_run(self) -> Run | None:
        """Return a run that has not started yet and builds what this one would, if that will do.

        Raises:
            DBTCloudAPIError: The API answered with an error.
            DBTCloudTransportError: There was no answer.
        """
        queued = min(filter(self._is_reusable, self._known), key=id_of, default=None)
        if queued is None:
            return None
        # it may have started since it was listed, though hardly before the load was committed
        run = self.client.get_run_status(queued["id"])
        if not self._begins_after_load(run):
            return None
        self._adopt(run)
        return run

    def send(self) -> Run:
        """Trigger exactly one run and return it.

        Raises:
            DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
            DBTCloudAPIError: The API refused; there is no run.
            DBTCloudTransportError: The API cannot be reached; there is no run.
        """
        body = {**self.body, "cause": self._cause}
        self._once = Once(
            self.client,
            self.job_id,
            post=lambda: self.client.start_job_run(self.job_id, body),
            search=lambda: [run for run in self._ask() if run["id"] not in self._stale],
            cause=self._cause,
            timeout=self.timeout,
            clock=self.clock,
        )
        self.sent = self._once.send()
        return self.sent

    def end(self, run: Run) -> None:
        """Cancel what turned up beside a run after all, where an answer was lost before it."""
        if not (self._once and self._once.was_repeated):
            return
        try:
            others = [other for other in self._search() if other["id"] not in self._stale]
        except DBTCloudException as error:
            logger.error(
                f"Whether run {run['id']} is the only one with its cause is not known. {error}"
            )
            return
        self._once.only(others, kept=run)

    def elder(self, run: Run) -> tuple[Run | None, Run]:
        """Return the run that another worker triggered before and that serves as well, and ours.

        Raises:
            DBTCloudAPIError: The API answered with an error.
            DBTCloudTransportError: There was no answer.
        """
        if not self._is_shared:
            return None, run
        recent = self._through_outages(self._recent)
        older = [each for each in reversed(recent) if id_of(each) < id_of(run)]
        same = [each for each in older if self._serves_load(each) and run_error(each) is None]
        queued = [each for each in older if self._is_reusable(each)]
        elder = next(iter(same or queued), None)
        if elder and not same:
            self._adopt(elder)
        return elder, next((each for each in recent if each["id"] == run["id"]), run)

    @property
    def _is_shared(self) -> bool:
        """Whether others may trigger the same."""
        return bool(self.load or self.retried or self.reuse_queued_run)

    def _serving_keys(self) -> list[str]:
        """Return the own key, and that of a run of the whole job, which would do as well."""
        if self.retried:
            return []
        return self._keys_of(self.load) if self.load else [new_key()]

    def _keys_of(self, load: LastLoad) -> list[str]:
        whole = bound_key(load.origin, self.job_id, self.whole)
        part = bound_key(load.origin, self.job_id, {**self.whole, "only_loaded": True})
        return [part, whole] if self.only_loaded else [whole]

    def _is_same_call(self, bound: BoundLoad) -> bool:
        """Tell whether a run was triggered by this same call, for another load of its pipeline."""
        name = self.load.pipeline_name if self.load else ""
        return bound.pipeline_name == name and bound.key in self._keys_of(LastLoad(*bound[:2]))

    @property
    def _remembered(self) -> int | None:
        """Return the run that was adopted for the load, where this machine remembers."""
        is_of_load = self.load and self.reuse_queued_run
        return self.load.adopted_run(self._keys[0]) if self.load and is_of_load else None

    def _adopt(self, run: Run) -> None:
        self.adopted = run["id"]
        if self.load:
            self.load.remember_adopted(self._keys[0], id_of(run))

    def _search(self) -> list[Run]:
        """Return the runs that this trigger makes, one or by mischance several, through outages."""
        return self._through_outages(self._ask)

    def _ask(self) -> list[Run]:
        return [run for run in self._recent() if self._is_ours(run)]

    def _recent(self) -> list[Run]:
        """Return the newest runs of the job: a page at least, as clocks may differ by far."""
        newest = self.client.without_retries().list_runs(
            job_definition_id=self.job_id, include_related=["trigger"], order_by="-id"
        )
        found: list[Run] = []
        for run in newest:
            found.append(run)
            created = time_of(run, "created_at")
            is_old = created is not None and created < self._since - _CLOCKS_DIFFER
            if is_old and len(found) >= _PAGE:
                break
        return found

    def _is_ours(self, run: Run) -> bool:
        if self.retried:
            return retried_run(run) == self.retried["id"]
        return has_key(run, self._keys[0]) and retried_run(run) is None

    def _serves_load(self, run: Run) -> bool:
        is_of_load = any(has_key(run, key) for key in self._keys) and retried_run(run) is None
        return is_of_load or self._is_ours(run)

    def _is_reusable(self, run: Run) -> bool:
        """Tell whether a run has not started, and builds what this one would in the same way."""
        is_queued = run.get("status") == RunStatus.QUEUED and retried_run(run) is None
        if not self.reuse_queued_run or not is_queued:
            return False
        theirs, ours = run.get("trigger"), self.body
        if not isinstance(theirs, dict) or any(
            theirs.get(name) != ours.get(name) for name in OVERRIDES if name != _STEPS
        ):
            return False
        steps, own = theirs.get(_STEPS), ours.get(_STEPS)
        # None is all of the job's own, of which ours are a part
        if steps in (own, self.whole.get(_STEPS)):
            return True
        return bool(steps and own) and covers(steps or (), own or ())

    def _begins_after_load(self, run: Run) -> bool:
        if run.get("status") == RunStatus.QUEUED:
            return True
        began = time_of(run, "dequeued_at") or time_of(run, "started_at")
        committed = self.load.committed if self.load else None
        return bool(began and committed and began > committed)

    def _through_outages(self, ask: Callable[[], list[Run]]) -> list[Run]:
        return through_outages(ask, timeout=min(self.timeout, _SEARCH_WITHIN), clock=self.clock)


def skipped_run(reason: str) -> Run:
    """Return what stands for the run where there is nothing to build, and say so."""
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
    )


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
        has_loaded = loaded_relations(load.pipeline) or not has_finished(standing)
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
        request_cancel(trigger.client, id_of(run), clock=trigger.clock)
        trigger.sent = None
    except DBTCloudException as error:
        logger.warning(f"Whether run {run['id']} is the only one is not known. {error}")
        return run
    return elder
