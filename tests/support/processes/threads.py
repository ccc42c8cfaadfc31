"""Actions beside a test: in another thread, or raised into the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from traceback import walk_stack
from types import FrameType
from typing import TypeVar

from tests.support.clock import PATIENCE, until

T = TypeVar("T")


class Outcome(Future[T]):
    """The result or error of an action in another thread."""

    def result(self, timeout: float | None = PATIENCE) -> T:
        return super().result(timeout)


def in_background(action: Callable[[], T]) -> Outcome[T]:
    """Start an action in a thread that does not keep the process from ending."""
    outcome: Outcome[T] = Outcome()

    def act() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:  # noqa: BLE001, it is raised by `result`
            outcome.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    return outcome


@contextmanager
def interrupting(error: type[BaseException], condition: Callable[[], object]) -> Iterator[None]:
    """Raise an error into a block of the main thread when a condition is met, as a signal does.

    It is raised between two requests, as within one it may leave urllib3's socket open.
    """
    heard = threading.Event()

    def handle(_: int, frame: FrameType | None) -> None:
        names = {each.f_globals["__name__"] for each, _ in walk_stack(frame)}
        is_between = not any(name.startswith(("requests.", "urllib3.")) for name in names)
        if is_between and not heard.is_set():
            heard.set()
            raise error("time is up")

    def ring() -> None:
        until(lambda: heard.is_set() or condition())
        # a signal that comes right before a `sleep` begins is heard when that ends
        while not heard.wait(0.05):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    ringing = in_background(ring)
    try:
        yield
    finally:
        heard.set()
        ringing.result()
        signal.signal(signal.SIGUSR1, before)
