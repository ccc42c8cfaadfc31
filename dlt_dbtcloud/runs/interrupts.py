"""Runs that are left behind by Ctrl-C, SIGTERM or a timeout.

`cancel_on_abandon` cancels them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from dlt.common import logger

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import id_of, run_link
from dlt_dbtcloud.runs.trigger.exactly_once import ExactlyOnce
from dlt_dbtcloud.runs.watch import cancel_and_confirm
from dlt_dbtcloud.typing import Run

__all__ = ["abandoning", "leave"]


# a SIGKILL often follows a SIGTERM after 30 seconds
_CANCEL_WITHIN = 15.0
# seconds for each search for the run of a POST, and the pauses before them
_SEARCH_WITHIN = 10.0
_SEARCHES = (0.0, 1.0, 2.0, 4.0)


@contextmanager
def abandoning(
    connect: Callable[[], DBTCloudClientV2],
    pending: Callable[[], Sequence[Run]],
    *,
    sending: Callable[[], ExactlyOnce | None] = lambda: None,
    cancel: bool,
) -> Iterator[None]:
    """Log how to resume the pending runs, or cancel them, if interrupted.

    A POST whose run is not known yet may start one: its cause is logged, or its run is searched
    for and cancelled.

    A block is interrupted by a SIGTERM or an exception, such as Ctrl-C or the timeout of an Airflow
    or Prefect task. The exception is raised again, and a SIGTERM has its usual effect
    afterwards; only the main thread receives signals.

    Args:
        connect: Returns a new client, because the waiting one may be in the middle of a request.
        pending: Returns the runs that the block waits for.
        sending: Returns the POST that is under way.
        cancel: Whether to cancel them, and wait a moment for the confirmation.
    """
    left: set[int] = set()
    left_posts: list[ExactlyOnce] = []

    def abandon() -> None:
        # the effect of a SIGTERM may be an exception, which abandons again
        runs = [run for run in pending() if id_of(run) not in left]
        posts = [post for post in (sending(),) if post and post not in left_posts]
        if not runs and not posts:
            return
        with connect() as client:
            if runs:
                leave(client, runs, cancel=cancel)
            left.update(id_of(run) for run in runs)
            for post in posts:
                _leave_post(client, post, cancel=cancel)
            left_posts.extend(posts)

    with _before_sigterm(abandon):
        try:
            yield
        except BaseException:
            abandon()
            raise


def leave(client: DBTCloudClientV2, runs: Sequence[Run], *, cancel: bool) -> Mapping[int, Run]:
    """Log how to resume runs, or cancel all of them within one time limit.

    Args:
        client: The client.
        runs: The runs.
        cancel: Whether to cancel them.

    Returns:
        The runs that are known to have finished, by id.
    """
    if not cancel:
        for run in runs:
            name = f"run {run['id']}{run_link(run)}"
            logger.warning(
                f"Stopped waiting for {name}; it is still running in dbt Cloud. "
                f"{_hint(client, run)}"
            )
        return {}
    watch = cancel_and_confirm(client, runs, timeout=_CANCEL_WITHIN)
    for run in runs:
        name = f"run {run['id']}{run_link(run)}"
        error = watch.errors.get(id_of(run))
        if error:
            logger.error(
                f"Stopped waiting for {name}; it could not be cancelled and may still be running. "
                f"{_hint(client, run)} {error}"
            )
        else:
            status = watch.runs[id_of(run)].get("status_humanized")
            logger.warning(f"Stopped waiting for {name}: {status}.")
    return {run_id: run for run_id, run in watch.runs.items() if run_id not in watch.errors}


def _leave_post(client: DBTCloudClientV2, post: ExactlyOnce, *, cancel: bool) -> None:
    """Log the cause of a pending POST, or search for its run and cancel it."""
    hint = f"look in its run history in dbt Cloud for the cause `{post.cause}`."
    logger.warning(f"Job {post.job_id} may have been triggered: {hint}")
    if not cancel:
        return
    for pause in _SEARCHES:
        client.clock.sleep(pause)
        try:
            runs = post.search(client.patient(0, within=_SEARCH_WITHIN)).runs
        except DBTCloudException as error:
            logger.warning(f"A search for its run failed. {error}")
        else:
            if runs:
                leave(client, runs, cancel=True)
                return
    logger.error(f"No run of job {post.job_id} was found that could be cancelled: {hint}")


def _hint(client: DBTCloudClientV2, run: Run) -> str:
    return f"Call {client.call('get_dbt_cloud_run_status', run['id'])} to keep waiting."


@contextmanager
def _before_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Run an action before a SIGTERM has its previous effect."""
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
