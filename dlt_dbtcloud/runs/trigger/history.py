"""Recent runs of a job, and the search for those that a POST created."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudNotFoundError
from dlt_dbtcloud.payloads import time_of
from dlt_dbtcloud.typing import Run

__all__ = ["Found", "clarified", "find_created", "is_since", "recent_runs"]

# seconds by which the clocks of the service and of the loading machine may differ: some machines
# are set to their local time as if it were UTC
_CLOCK_SKEW = 12 * 3600.0
_PAGE = 100


@dataclass(frozen=True)
class Found:
    """The result of a search for the runs of a POST.

    Args:
        runs: The runs that it created.
        unclear: The runs that it may have created, as their payloads do not show the cause.
    """

    runs: Sequence[Run] = ()
    unclear: Sequence[Run] = ()


def recent_runs(
    client: DBTCloudClientV2,
    job_id: str,
    since: float,
    related: Sequence[str] = ("trigger",),
    *,
    limit: int | None = None,
) -> list[Run]:
    """Return the newest runs of a job, at least a page, as clocks differ.

    Args:
        client: The client.
        job_id: The job.
        since: The time since which all runs are returned, in seconds since 1970.
        related: The related objects to include.
        limit: The number of runs after which older ones are not read.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    newest = client.list_runs(job_definition_id=job_id, include_related=related, order_by="-id")
    found: list[Run] = []
    for run in islice(newest, limit):
        found.append(run)
        if len(found) >= _PAGE and not is_since(run, since):
            break
    return found


def find_created(
    client: DBTCloudClientV2,
    recent: Sequence[Run],
    posted: float,
    *,
    created: Callable[[Run], bool],
    may_be_created: Callable[[Run], bool],
) -> Found:
    """Return the runs that a POST created, or may have created.

    A run whose payload in the list does not show its cause is read by its id.

    Args:
        client: The client.
        recent: The newer runs of the job.
        posted: The time of the POST, in seconds since 1970.
        created: Returns whether the POST created a run.
        may_be_created: Returns whether it may have, although the payload does not show it.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    runs = [run for run in recent if created(run)]
    if runs:
        return Found(runs)
    unclear = [run for run in recent if may_be_created(run) and is_since(run, posted)]
    read = [clarified(client, run) for run in unclear]
    return Found([*filter(created, read)], [*filter(may_be_created, read)])


def clarified(client: DBTCloudClientV2, run: Run) -> Run:
    """Return a listed run with its trigger, or unchanged if it is not found.

    Raises:
        DBTCloudAPIError: The API returned another error.
        DBTCloudTransportError: The API did not respond.
    """
    try:
        return client.get_run_status(run["id"], ["trigger"])
    except DBTCloudNotFoundError:
        return run


def is_since(run: Run, time: float) -> bool:
    """Return whether a run may be newer than a time, in seconds since 1970."""
    created = time_of(run, "created_at")
    return created is None or created >= time - _CLOCK_SKEW
