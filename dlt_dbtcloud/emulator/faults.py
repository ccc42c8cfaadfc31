"""Faults: what a network or the service does to a request, before or after it took effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers
from dlt_dbtcloud.emulator.errors import ApiError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Kind = Literal["status", "html", "half", "cut", "hang", "slow", "late", "rate_limit"]
When = Literal["before", "after"]
Effect = Callable[[], Response]

WHENS = ("before", "after")
KINDS = ("status", "html", "half", "cut", "hang", "slow", "late", "rate_limit")
PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
SLOW_PIECES = 20
# the status that is noted of a request that got no answer
NO_ANSWER = 0


@dataclass
class Fault:
    """What happens to some requests of a route.

    Args:
        kind: What happens.
        when: Whether the request has taken effect then; `slow` comes after, `late` and
            `rate_limit` come before.
        calls: To how many requests it happens; None: to all.
        skip: How many requests are spared before.
        status: The status of `status` and `html`.
        retry_after: The header of `rate_limit`, in seconds; None: there is none.
        seconds: How long `hang` and `slow` take, or how late `late` is.
        run_id: The run to whose requests it happens; None: to those of all.
    """

    kind: Kind
    when: When = "after"
    calls: int | None = 1
    skip: int = 0
    status: int = 503
    retry_after: float | None = None
    seconds: float = 1.0
    run_id: int | None = None

    def is_due(self, object_id: int | None) -> bool:
        """Count a request for an object, and say whether the fault happens to it."""
        if self.run_id not in (None, object_id):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.calls is not None:
            self.calls -= 1
        return True

    @property
    def is_over(self) -> bool:
        """Say whether it has happened as often as it should."""
        return self.calls is not None and self.calls <= 0


class _Cut(Response):
    """No answer: the connection is cut where there should be one."""

    def __call__(self, _: WSGIEnvironment, __: StartResponse) -> NoReturn:
        raise ConnectionAbortedError("The connection is cut, as a fault has it.")


class Faults:
    """The faults of a server, by route; the first that is due happens."""

    def __init__(self) -> None:
        # what has happened, as route and kind, in this order
        self.struck: list[tuple[str, Kind]] = []
        self._lock = threading.Lock()
        self._faults: dict[str, list[Fault]] = {}
        self._timers: list[threading.Timer] = []
        self._stopped = threading.Event()

    def add(self, route: str, fault: Fault) -> None:
        """Let a fault happen to a route."""
        with self._lock:
            self._faults.setdefault(route, []).append(fault)

    def clear(self) -> None:
        """Let no fault happen any more, and let go of what hangs."""
        with self._lock:
            self._faults.clear()
            self.struck.clear()
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._stopped.set()
            self._stopped = threading.Event()

    def strike(self, route: str, object_id: int | None, effect: Effect) -> Response:
        """Answer a request as its fault has it, or as usual.

        Args:
            route: The name of its handler.
            object_id: What it asks for, where it asks for one object.
            effect: Takes the request's effect and gives its answer.
        """
        fault = self._due(route, object_id)
        if fault is None:
            return effect()
        if fault.kind == "late":
            self._later(fault.seconds, effect)
            return answers.detail(504, "Gateway timeout.")
        if fault.kind == "rate_limit":
            return _rate_limited(fault)
        takes_effect = fault.when == "after" or fault.kind == "slow"
        answer = _quietly(effect) if takes_effect else answers.success(None)
        return self._answer(fault, answer)

    def _due(self, route: str, object_id: int | None) -> Fault | None:
        with self._lock:
            faults = self._faults.get(route, [])
            # all of them count the request, one of them happens to it
            due = [each for each in faults if each.is_due(object_id)]
            fault = due[0] if due else None
            self._faults[route] = [each for each in faults if not each.is_over]
            if fault is not None:
                self.struck.append((route, fault.kind))
            return fault

    def _later(self, seconds: float, effect: Effect) -> None:
        timer = threading.Timer(seconds, _quietly, (effect,))
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    def _answer(self, fault: Fault, answer: Response) -> Response:
        if fault.kind == "html":
            page = PAGE.format(f"{fault.status} Something is in the way")
            return Response(page, fault.status, content_type="text/html")
        if fault.kind == "half":
            body = answer.get_data()
            return Response(body[: len(body) // 2], 200, content_type="application/json")
        if fault.kind == "slow":
            return self._slow(answer, fault.seconds)
        if fault.kind in ("cut", "hang"):
            self._stopped.wait(fault.seconds if fault.kind == "hang" else 0)
            return _Cut(status=NO_ANSWER)
        return answers.detail(fault.status, "The service is not well.")

    def _slow(self, answer: Response, seconds: float) -> Response:
        body = answer.get_data()
        size = len(body) // SLOW_PIECES + 1

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), size):
                self._stopped.wait(seconds / SLOW_PIECES)
                yield body[start : start + size]

        answer.response = pieces()
        answer.content_length = len(body)
        return answer


def _quietly(effect: Effect) -> Response:
    try:
        return effect()
    except ApiError as error:
        return answers.failure(error)


def _rate_limited(fault: Fault) -> Response:
    answer = answers.failure(ApiError(429, "Too many requests."))
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = f"{fault.retry_after:g}"
    return answer
