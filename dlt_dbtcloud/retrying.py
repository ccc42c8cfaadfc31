"""The API's own retry of a run, sent exactly once."""

from __future__ import annotations

import time
from itertools import takewhile

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.keys import retried_run
from dlt_dbtcloud.once import Once
from dlt_dbtcloud.typing import Run

__all__ = ["newer_runs", "retry_once"]


def retry_once(client: DBTCloudClientV2, run: Run, *, timeout: float, clock: Clock = time) -> Run:
    """Retry a failed run through the API, exactly once, and return the run that does it.

    Raises:
        DBTCloudTriggerUnknownError: There may be a run, which cannot be found out.
        DBTCloudAPIError: The API refused; there is no run.
        DBTCloudTransportError: The API cannot be reached; there is no run.
    """

    def search() -> list[Run]:
        return [other for other in newer_runs(client, run) if retried_run(other) == run["id"]]

    return Once(
        client,
        str(run["job_definition_id"]),
        post=lambda: client.retry_run(run["id"]),
        search=search,
        cause=f"a retry of run {run['id']}",
        timeout=timeout,
        clock=clock,
    ).send()


def newer_runs(client: DBTCloudClientV2, run: Run) -> list[Run]:
    """Return the runs of a run's job that were triggered after it, the newest first.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    newest = client.without_retries().list_runs(
        job_definition_id=run["job_definition_id"],
        id__gt=run["id"],
        include_related=["trigger"],
        order_by="-id",
    )
    return list(takewhile(lambda other: other["id"] > run["id"], newest))
