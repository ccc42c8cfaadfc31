"""A trigger of a job, and the existing runs that it may use.

Its overrides are `TriggerData` in `typing`, and fields of `configuration`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from dlt_dbtcloud.cause import (
    BoundLoad,
    bound_key,
    cause_with_key,
    has_cause,
    has_key,
    may_have_cause,
    new_key,
    retried_run,
    retry_cause,
)
from dlt_dbtcloud.configuration import OVERRIDES
from dlt_dbtcloud.dbt import covers
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.typing import Run, RunStatus, TriggerData
from dlt_dbtcloud.values import as_mapping, as_text

__all__ = ["Trigger"]


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


def _default_branches(run: Run, own: Run | None) -> list[str | None]:
    """Return the branches that the service fills in for a trigger without one.

    These are the branch of the environment and that of an own run without a branch.
    """
    environment = as_mapping(run.get("environment"))
    custom = environment.get("custom_branch") if environment.get("use_custom_branch") else None
    filled = as_mapping(own.get("trigger")).get(_BRANCH) if own else None
    return [as_text(custom), as_text(filled)]
