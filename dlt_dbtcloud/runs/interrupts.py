"""What happens to runs that nobody waits for any longer: Ctrl-C, SIGTERM, a timeout."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.payloads import id_of, run_link
from dlt_dbtcloud.runs.watch import cancel_and_confirm
from dlt_dbtcloud.typing import Run

__all__ = ["abandoning", "leave"]


# whoever sends a SIGTERM often sends a SIGKILL half a minute later
_CANCEL_WITHIN = 20.0


@contextmanager
def abandoning(
    connect: Callable[[], DBTCloudClientV2],
    pending: Callable[[], Sequence[Run]],
    *,
    cancel: bool,
    clock: Clock = time,
) -> Iterator[None]:
    """Say how to go on with runs, or cancel them, where the block that waits for them is left.

    That is by whatever is raised into it, which goes on its way: Ctrl-C, or the end of the time
    that Airflow, Prefect or pytest give it. A SIGTERM has its usual effect afterwards; only the
    main thread gets signals.

    Args:
        connect: Makes a client to cancel with, as the one that waits may be in use at that moment.
        pending: Returns the runs that are waited for at that moment.
        cancel: Cancel them, and wait for a moment until they are.
        clock: What the time is told by.
    """
    left: set[int] = set()

    def abandon() -> None:
        # a SIGTERM may have an exception for its effect
        runs = [run for run in pending() if run["id"] not in left]
        if runs:
            with connect() as client:
                leave(client, runs, cancel=cancel, clock=clock)
        left.update(id_of(run) for run in runs)

    with _before_sigterm(abandon):
        try:
            yield
        except BaseException:
            abandon()
            raise


def leave(
    client: DBTCloudClientV2, runs: Sequence[Run], *, cancel: bool, clock: Clock = time
) -> Mapping[int, Run]:
    """Say how to go on with runs, or cancel all of them within one bound.

    Returns:
        The runs that are known to have ended, by their ids.
    """
    if not cancel:
        for run in runs:
            logger.warning(f"{_place(run)} is not waited for any longer, and goes on. {_hint(run)}")
        return {}
    watch = cancel_and_confirm(client, runs, timeout=_CANCEL_WITHIN, clock=clock)
    for run in runs:
        error = watch.errors.get(id_of(run))
        if error:
            said = f"could not be cancelled, and may go on. {_hint(run)} {error}"
            logger.error(f"{_place(run)} {said}")
        else:
            status = watch.runs[id_of(run)].get("status_humanized")
            logger.warning(f"{_place(run)} is not waited for any longer: {status}.")
    return {run_id: run for run_id, run in watch.runs.items() if run_id not in watch.errors}


def _place(run: Run) -> str:
    return f"Run {run['id']}{run_link(run)}"


def _hint(run: Run) -> str:
    return f"`get_dbt_cloud_run_status(run_id={run['id']})` goes on watching it."


@contextmanager
def _before_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Do something before a SIGTERM has the effect that it had."""
    previous = signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or previous in (None, signal.SIG_IGN):
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, previous)
        action()
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
