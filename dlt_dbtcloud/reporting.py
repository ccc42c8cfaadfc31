"""What became of the runs of a call, and how that is told: returned, logged, or raised as one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.ends import is_over, run_error
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
)
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.naming import run_name
from dlt_dbtcloud.postmortem import explain
from dlt_dbtcloud.triggering import Trigger
from dlt_dbtcloud.typing import Run

__all__ = ["Part", "report"]


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
        return run if run and not is_over(run) and not self.error else None

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
