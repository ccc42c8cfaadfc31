"""What happens to runs that nobody waits for any longer: Ctrl-C, SIGTERM, or the time is up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from dlt.common import logger

from dlt_dbtcloud.cancelling import cancel_and_confirm
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRunTimeout
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.waiting import Clock

__all__ = ["abandoning"]

# whoever sends a SIGTERM often sends a SIGKILL half a minute later
_CANCEL_WITHIN = 20.0


@contextmanager
def abandoning(
    connect: Callable[[], DBTCloudClientV2],
    runs: Sequence[Run],
    *,
    cancel: bool,
    clock: Clock = time,
) -> Iterator[None]:
    """Say how to go on with runs, or cancel them, where the block that waits for them is left.

    The signals' usual effect follows. Only the main thread gets signals; in others, the block is
    run as it is.

    Args:
        connect: Makes a client to cancel with, as the one that waits may be in use at that moment.
        runs: The runs.
        cancel: Cancel them, and wait for a moment until they are.
        clock: What the time is told by.
    """

    def leave() -> None:
        with connect() as client:
            for run in runs:
                _leave(client, run, cancel, clock)

    with _before_sigterm(leave):
        try:
            yield
        except KeyboardInterrupt:
            leave()
            raise
        except DBTCloudRunTimeout:
            if cancel:
                leave()
            raise


def _leave(client: DBTCloudClientV2, run: Run, cancel: bool, clock: Clock) -> None:
    place = f"Run {run['id']} ({run.get('href')})"
    resume = f"`get_dbt_cloud_run_status(run_id={run['id']})` goes on watching it."
    if not cancel:
        logger.warning(f"{place} is not waited for any longer, and goes on. {resume}")
        return
    try:
        ended = cancel_and_confirm(client, run["id"], timeout=_CANCEL_WITHIN, clock=clock)
        logger.warning(f"{place} is not waited for any longer: {ended.get('status_humanized')}.")
    except DBTCloudException as error:
        logger.error(f"{place} could not be cancelled, and may go on. {resume} {error}")


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
