"""Injected network and service faults, and the limit of requests."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers
from dlt_dbtcloud.emulator.api.routes import ROUTES
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
MINUTE = 60.0


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

    def __post_init__(self) -> None:
        _require("kind", self.kind, KINDS)
        _require("when", self.when, WHENS)

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


@dataclass
class RateLimit:
    """A limit of each account's requests; `DBTCloudEmulator.limit_requests` describes the fields.

    Any 60 seconds are a minute, and refused requests do not count. Both are inferred.
    """

    per_minute: int
    cool_down: float
    sends_retry_after: bool
    clock: Callable[[], float]
    _sent: dict[int, deque[float]] = field(default_factory=dict)
    _until: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.cool_down < 0:
            raise ValueError("`per_minute` must be at least 1, and `cool_down` at least 0.")

    def seconds_left(self, account_id: int) -> float:
        """Count a request of an account, and return for how long it is refused; 0 if it is not."""
        now, sent = self.clock(), self._sent.setdefault(account_id, deque())
        until = self._until.get(account_id, now)
        if now < until:
            return until - now
        while sent and sent[0] <= now - MINUTE:
            sent.popleft()
        if len(sent) < self.per_minute:
            sent.append(now)
            return 0.0
        sent.clear()
        self._until[account_id] = now + self.cool_down
        return self.cool_down


class Faults:
    """The faults of a server by route, of which the first that is due happens."""

    def __init__(self, new_timer: NewTimer = threading.Timer) -> None:
        self._new_timer = new_timer
        # the faults that have happened, oldest first, as route and kind
        self.struck: list[tuple[str, Kind]] = []
        self._limit: RateLimit | None = None
        self._lock = threading.Lock()
        self._faults: dict[str, list[Fault]] = {}
        self._timers: list[Timer] = []
        self._stopped = threading.Event()

    def add(self, route: str, fault: Fault) -> None:
        """Add a fault to a route.

        Raises:
            ValueError: The route is unknown.
        """
        _require("route", route, sorted({name for *_, name in ROUTES}))
        with self._lock:
            self._faults.setdefault(route, []).append(fault)

    def limit(self, limit: RateLimit) -> None:
        """Limit the requests of each account."""
        with self._lock:
            self._limit = limit

    def clear(self) -> None:
        """Remove all faults and the limit of requests, and release hanging requests."""
        with self._lock:
            self._faults.clear()
            self._limit = None
            self.struck.clear()
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._stopped.set()
            self._stopped = threading.Event()

    def strike(self, route: str, path: Mapping[str, Any], handle: Handle) -> Response:
        """Respond to a request as its fault demands, or normally.

        Args:
            route: The name of its handler.
            path: The parameters of its path.
            handle: Makes the request take effect and returns its response.
        """
        refused = self._refused(route, path.get("account_id"))
        if refused is not None:
            return refused
        fault = self._due(route, path.get("id"))
        if fault is None:
            return handle()
        if fault.kind == "late":
            self._handle_later(fault.seconds, handle)
            return answers.detail(504, "Gateway timeout.")
        if fault.kind == "rate_limit":
            return _rate_limited(fault.retry_after)
        takes_effect = fault.when == "after" or fault.kind in ("slow", "lag")
        response = _respond(handle) if takes_effect else answers.success(None)
        distorted = self._distort(fault, response)
        if distorted is not response:
            # it may have an open file
            response.close()
        return distorted

    def _refused(self, route: str, account_id: int | None) -> Response | None:
        """Return a 429 if the account has sent too many requests."""
        with self._lock:
            limit = self._limit
            left = limit.seconds_left(account_id) if limit and account_id is not None else 0.0
            if limit is None or not left:
                return None
            self.struck.append((route, "rate_limit"))
        return _rate_limited(math.ceil(left) if limit.sends_retry_after else None)

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


def _require(name: str, value: str, values: Sequence[str]) -> None:
    if value not in values:
        raise ValueError(f"`{name}={value!r}` is not one of {', '.join(values)}.")


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


def _rate_limited(retry_after: float | None) -> Response:
    response = answers.failure(ApiError(429, "Too many requests."))
    if retry_after is not None:
        response.headers["Retry-After"] = f"{retry_after:g}"
    return response
