"""Injected network and service faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.models import NewTimer, Timer
from dlt_dbtcloud.emulator.times import now

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Kind = Literal["status", "html", "half", "cut", "hang", "slow", "late", "lag", "rate_limit"]
When = Literal["before", "after"]
Handle = Callable[[], Response]

KINDS: tuple[str, ...] = get_args(Kind)
WHENS: tuple[str, ...] = get_args(When)
PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
SLOW_PIECES = 20
# the recorded status of a request without a response
NO_RESPONSE = 0


@dataclass
class Fault:
    """A fault in some requests of a route; `DBTCloudEmulator.fail` describes the fields."""

    kind: Kind
    when: When = "after"
    calls: int | None = 1
    skip: int = 0
    status: int = 503
    retry_after: float | None = None
    seconds: float = 1.0
    run_id: int | None = None

    def count(self, object_id: int | None) -> bool:
        """Count a request for an object and return whether the fault happens to it."""
        if self.run_id not in (None, object_id):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.calls is not None:
            self.calls -= 1
        return True

    @property
    def is_used_up(self) -> bool:
        """Whether it has happened to all of its requests."""
        return self.calls is not None and self.calls <= 0


class Faults:
    """The faults of a server by route, of which the first that is due happens."""

    def __init__(self, new_timer: NewTimer = threading.Timer) -> None:
        self._new_timer = new_timer
        # the faults that have happened, oldest first, as route and kind
        self.struck: list[tuple[str, Kind]] = []
        self._lock = threading.Lock()
        self._faults: dict[str, list[Fault]] = {}
        self._timers: list[Timer] = []
        self._stopped = threading.Event()

    def add(self, route: str, fault: Fault) -> None:
        """Add a fault to a route."""
        with self._lock:
            self._faults.setdefault(route, []).append(fault)

    def clear(self) -> None:
        """Remove all faults and release hanging requests."""
        with self._lock:
            self._faults.clear()
            self.struck.clear()
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._stopped.set()
            self._stopped = threading.Event()

    def strike(self, route: str, object_id: int | None, handle: Handle) -> Response:
        """Respond to a request as its fault demands, or normally.

        Args:
            route: The name of its handler.
            object_id: The id in its path, if there is one.
            handle: Makes the request take effect and returns its response.
        """
        fault = self._due(route, object_id)
        if fault is None:
            return handle()
        if fault.kind == "late":
            self._handle_later(fault.seconds, handle)
            return answers.detail(504, "Gateway timeout.")
        if fault.kind == "rate_limit":
            return _rate_limited(fault)
        takes_effect = fault.when == "after" or fault.kind in ("slow", "lag")
        response = _respond(handle) if takes_effect else answers.success(None)
        return self._distort(fault, response)

    def _due(self, route: str, object_id: int | None) -> Fault | None:
        with self._lock:
            faults = self._faults.get(route, [])
            # every fault counts the request, but only one happens to it
            due = [each for each in faults if each.count(object_id)]
            fault = due[0] if due else None
            self._faults[route] = [each for each in faults if not each.is_used_up]
            if fault is not None:
                self.struck.append((route, fault.kind))
            return fault

    def _handle_later(self, seconds: float, handle: Handle) -> None:
        timer = self._new_timer(seconds, partial(_respond, handle))
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    def _distort(self, fault: Fault, response: Response) -> Response:
        if fault.kind == "html":
            page = PAGE.format(f"{fault.status} Something is in the way")
            return Response(page, fault.status, content_type="text/html")
        if fault.kind == "half":
            body = response.get_data()
            return Response(body[: len(body) // 2], 200, content_type="application/json")
        if fault.kind == "slow":
            return self._slow(response, fault.seconds)
        if fault.kind == "lag":
            return _lagging(response, fault.seconds)
        if fault.kind in ("cut", "hang"):
            self._stopped.wait(fault.seconds if fault.kind == "hang" else 0)
            return _NoResponse(status=NO_RESPONSE)
        return answers.detail(fault.status, "The service is unavailable.")

    def _slow(self, response: Response, seconds: float) -> Response:
        body = response.get_data()
        size = len(body) // SLOW_PIECES + 1

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), size):
                self._stopped.wait(seconds / SLOW_PIECES)
                yield body[start : start + size]

        response.response = pieces()
        response.content_length = len(body)
        return response


class _NoResponse(Response):
    """A closed connection in place of a response."""

    def __call__(self, _: WSGIEnvironment, __: StartResponse) -> NoReturn:
        raise ConnectionAbortedError("Closed by an injected fault.")


def _respond(handle: Handle) -> Response:
    try:
        return handle()
    except ApiError as error:
        return answers.failure(error)


def _lagging(response: Response, seconds: float) -> Response:
    """Remove the runs of the last seconds from a list."""
    envelope = response.get_json()
    if isinstance(envelope.get("data"), list):
        latest = now() - timedelta(seconds=seconds)
        listed = envelope["data"]
        old = [run for run in listed if datetime.fromisoformat(run["created_at"]) < latest]
        envelope["extra"]["pagination"]["count"] = len(old)
        envelope["extra"]["pagination"]["total_count"] -= len(listed) - len(old)
        response.set_data(json.dumps({**envelope, "data": old}))
    return response


def _rate_limited(fault: Fault) -> Response:
    response = answers.failure(ApiError(429, "Too many requests."))
    if fault.retry_after is not None:
        response.headers["Retry-After"] = f"{fault.retry_after:g}"
    return response
