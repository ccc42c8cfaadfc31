"""Watching of runs until all have finished."""

from __future__ import annotations

from collections.abc import Sequence

from dlt_dbtcloud import DBTCloudClientV2
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
