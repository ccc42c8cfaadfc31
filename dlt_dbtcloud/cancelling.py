"""Cancelling a run so that it is known to have ended."""

from __future__ import annotations

import time

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudAPIError
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import Clock, through_outages, watch_runs

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
    client: DBTCloudClientV2, run_id: int, *, timeout: float = 60.0, clock: Clock = time
) -> Run:
    """Cancel a run and return it when it has ended, which may be another way than cancelled.

    Raises:
        DBTCloudRunTimeout: It goes on after `timeout` seconds.
        DBTCloudAPIError: An error that does not pass by itself, or not within them.
        DBTCloudTransportError: No answer within them.
    """
    request_cancel(client, run_id, timeout=timeout, clock=clock)
    run = Run(id=run_id)
    return watch_runs(client, [run], wait_seconds=1.0, timeout=timeout, clock=clock)[0]
