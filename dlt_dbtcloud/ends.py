"""How a run has ended, or that it has not, by what the API says of it."""

from __future__ import annotations

from typing import Literal

from dlt_dbtcloud.exceptions import DBTCloudRunCancelled, DBTCloudRunError, DBTCloudRunFailed
from dlt_dbtcloud.moments import timestamp
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["is_over", "moment", "run_error"]


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, by what the API says, as its codes may become more."""
    for says, means_over in (("is_complete", True), ("in_progress", False)):
        if isinstance(run.get(says), bool):
            return run.get(says) is means_over
    status = run.get("status")
    return isinstance(status, int) and status >= RunStatus.SUCCESS


def run_error(run: Run) -> DBTCloudRunError | None:
    """Return the error that a run's end means, or None where it succeeded or is not over."""
    if not is_over(run) or run.get("is_success") or run.get("status") == RunStatus.SUCCESS:
        return None
    if run.get("is_cancelled") or run.get("status") == RunStatus.CANCELLED:
        return DBTCloudRunCancelled(run)
    return DBTCloudRunFailed(run)


def moment(
    run: Run, field: Literal["created_at", "dequeued_at", "started_at", "finished_at"]
) -> float | None:
    """Return when something happened to a run, in seconds since 1970, where it says so."""
    said = timestamp(run.get(field))
    return said.timestamp() if said else None
