"""Cancelling runs so that they are known to have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.exceptions import DBTCloudAPIError, DBTCloudException
from dlt_dbtcloud.outages import through_outages
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import Watch

__all__ = ["cancel_and_confirm", "request_cancel"]


def request_cancel(
    client: DBTCloudClientV2, run_id: int, *, timeout: float = 60.0, clock: Clock = time
) -> None:
    """Ask for a run to be cancelled, again and again until the request is known to have arrived.

    Raises:
        DBTCloudAuthError: The token is not accepted.
        DBTCloudNotFoundError: There is no such run.
        DBTCloudException: An outage lasted for longer than `timeout` seconds.
    """
    once = client.without_retries()
    try:
        through_outages(lambda: once.cancel_run(run_id), timeout=timeout, clock=clock)
    except DBTCloudAPIError as error:
        # one that cannot be cancelled any more has its own end
        if error.status_code != 400:
            raise


def cancel_and_confirm(
    client: DBTCloudClientV2, runs: Sequence[Run], *, timeout: float = 60.0, clock: Clock = time
) -> Watch:
    """Cancel runs, and return what was seen of them when they had ended, or the time was up.

    A run may have come to another end than cancelled; why one is not known to have ended is among
    the `errors`.
    """
    began = clock.monotonic()

    def left() -> float:
        return max(0.0, timeout - (clock.monotonic() - began))

    watch = Watch(client, runs, clock=clock)
    for run in runs:
        try:
            request_cancel(client, run["id"], timeout=left(), clock=clock)
        except DBTCloudException as error:
            watch.errors[run["id"]] = error
    try:
        watch.until(left(), wait_seconds=1.0)
    except DBTCloudException as error:
        watch.errors |= {run["id"]: error for run in watch.pending}
    return watch
