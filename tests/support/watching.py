"""Watching of runs until all have finished."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.runs.watch import Watch
from dlt_dbtcloud.typing import Run


def watch_runs(
    client: DBTCloudClientV2,
    runs: Sequence[Run],
    *,
    wait_seconds: float,
    timeout: float,
    are_new: bool = False,
) -> list[Run]:
    """Return runs when they have finished; raise the first error of the watch."""
    watch = Watch(client, runs, are_new=are_new)
    watch.until(timeout, wait_seconds)
    for error in watch.errors.values():
        raise error
    return [watch.runs[id_of(run)] for run in runs]


def is_waited_for(cloud: DBTCloudEmulator) -> bool:
    """Return whether a client has asked for the status of a run."""
    return any(
        request.method == "GET" and re.search(r"/runs/\d", request.path)
        for request in cloud.requests
    )
