"""The work of a run: its body, or why there is nothing to build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.cause import bound_load
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import run_error
from dlt_dbtcloud.loads import LastLoad, loaded_relations, loaded_tables
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.runs.only_loaded import Narrowing, Saving, log_narrowing, narrowing
from dlt_dbtcloud.runs.retry.coverage import Scope
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.trigger.variables import body_with_variables, load_variables
from dlt_dbtcloud.typing import Run, TriggerData

__all__ = ["Work", "log_work", "work_of"]


@dataclass(frozen=True)
class Work:
    """The body of a trigger, decided before it is sent.

    Args:
        body: The body with its variables, narrowed to the load if requested.
        narrowing: How the body was narrowed; None if it was not to be.
        nothing: Why there is nothing to build, as a clause.
        doubt: Why all of the job runs although it was to be narrowed, as a clause.
    """

    body: TriggerData
    narrowing: Narrowing | None = None
    nothing: str | None = None
    doubt: str | None = None

    @property
    def scope(self) -> Scope | None:
        """The nodes that the narrowed run is to build."""
        return self.narrowing.scope if self.narrowing else None

    def saving(self, known: Sequence[Run]) -> Saving | None:
        """Return what the narrowed run saves, compared with the last whole run among some."""
        return self.narrowing.saving(known) if self.narrowing else None


def work_of(
    client: DBTCloudClientV2,
    trigger: Trigger,
    existing: Run | None,
    known: Sequence[Run],
    timeout: float,
) -> Work:
    """Return the work of a trigger; a run that exists has its own.

    Args:
        client: The client.
        trigger: The trigger.
        existing: The run that builds the load already.
        known: The recent runs of the job.
        timeout: Seconds after which an outage is an error.

    Raises:
        DBTCloudException: The variables cannot be passed.
        DBTCloudAPIError: The API returned an error, or an outage outlasted `timeout`.
        DBTCloudTransportError: The API did not respond within `timeout`.
    """
    load = trigger.load
    if load and trigger.only_loaded:
        if existing:
            return _work_of_existing(trigger, load, existing)
        return _narrowed_work(client, trigger, load, known, timeout)
    return Work(trigger.body if existing else _whole_body(client, trigger, timeout))


def log_work(client: DBTCloudClientV2, trigger: Trigger, work: Work) -> None:
    """Log how a run was narrowed, or why it was not."""
    if work.narrowing:
        log_narrowing(client, trigger.job_id, work.narrowing)
    elif work.doubt:
        logger.warning(f"Running all of job {trigger.job_id}: {work.doubt}.")


def _work_of_existing(trigger: Trigger, load: LastLoad, existing: Run) -> Work:
    has_loaded = load.is_remote or loaded_tables(load.pipeline)
    since = f"has loaded nothing since run {existing['id']}"
    nothing = f"pipeline `{load.pipeline_name}` {since}"
    is_needed = has_loaded or not has_finished(existing)
    return Work(trigger.body, nothing=None if is_needed else nothing)


def _narrowed_work(
    client: DBTCloudClientV2,
    trigger: Trigger,
    load: LastLoad,
    known: Sequence[Run],
    timeout: float,
) -> Work:
    relations = loaded_relations(load.pipeline, _unbuilt_since(trigger, known))
    if not relations:
        doubt = (
            f"the tables of load {load.load_id} are no longer known, and no run after it has "
            "succeeded"
        )
        return Work(_whole_body(client, trigger, timeout), doubt=doubt)
    found = narrowing(
        client,
        trigger.job_id,
        trigger.body,
        relations,
        variables=load_variables(trigger.variables, load, relations),
        timeout=timeout,
    )
    names = ", ".join(sorted(relation.name for relation in relations))
    nothing = f"nothing that it builds descends from the loaded tables: {names}"
    return Work(found.body, found, nothing if found.is_empty else None, found.doubt)


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
