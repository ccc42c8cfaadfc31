"""The web application: who may ask, which handler answers, and what a failure looks like."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Request, Response

from dlt_dbtcloud.emulator import envelope
from dlt_dbtcloud.emulator.call import Call, Handler
from dlt_dbtcloud.emulator.errors import ApiError, bad_request, not_found
from dlt_dbtcloud.emulator.faults import Faults
from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.emulator.recording import RecordedRequest, record
from dlt_dbtcloud.emulator.routes import PAGE, url_map
from dlt_dbtcloud.emulator.state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 10_000_000
SCHEMES = ("token", "bearer")

_logger = logging.getLogger(__name__)


class App:
    """A WSGI application that speaks the API.

    Args:
        state: What the emulator holds.
        handlers: The groups of handlers, found by the names in `routes`.
        token: The one token that is let in.
    """

    def __init__(self, state: State, handlers: Sequence[object], token: str) -> None:
        self.requests: list[RecordedRequest] = []
        self.faults = Faults()
        self._state = state
        self._handlers = handlers
        self._token = token
        self._urls = url_map()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and note it before the answer is sent."""
        request = Request(environ)
        request.max_content_length = MAX_BODY
        body, response = self._receive(request)
        noted = record(request, body, response.status_code, self._token)
        with self._state.changed:
            self.requests.append(noted)
        return response(environ, start_response)

    def _receive(self, request: Request) -> tuple[bytes, Response]:
        try:
            # reading it all keeps the connection usable for the next request
            body = request.get_data()
        except RequestEntityTooLarge:
            response = envelope.detail(413, "Request body is too large.")
            response.headers["Connection"] = "close"
            return b"", response
        return body, self._answer(request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        try:
            return self._route(request, body)
        except ApiError as error:
            return envelope.failure(error)
        except RequestRedirect as redirect:
            return Response.force_type(redirect.get_response(request.environ), request.environ)
        except NotFound:
            return envelope.failure(not_found())
        except MethodNotAllowed:
            return envelope.detail(405, f'Method "{request.method}" not allowed.')
        except Exception:
            _logger.exception("The embedded dbt Cloud failed on %s", request.method)
            return envelope.detail(500, "Internal server error.")

    def _route(self, request: Request, body: bytes) -> Response:
        authorized = self._is_authorized(request)
        if not authorized and not request.path.startswith("/deploy/"):
            raise ApiError(401, "Invalid token.")
        if request.environ["PATH_INFO"].startswith("//"):
            # a base URL with a slash too many; werkzeug would fold it
            raise not_found()
        endpoint, path = self._urls.bind_to_environ(request.environ).match()
        if endpoint != PAGE and not authorized:
            raise ApiError(401, "Invalid token.")
        return self._dispatch(str(endpoint), Call(path, request.args, _decode(body)))

    def _dispatch(self, endpoint: str, call: Call) -> Response:
        """Let a handler take effect, or a fault: the one place where a request does so."""

        def effect() -> Response:
            with self._state.changed:
                return self._handler(endpoint)(call)

        return self.faults.strike(endpoint, call.path.get("id"), effect)

    def _handler(self, endpoint: str) -> Handler:
        for group in self._handlers:
            handler: Handler | None = getattr(group, endpoint, None)
            if handler is not None:
                return handler
        raise not_found()

    def _is_authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        matches = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return scheme.lower() in SCHEMES and matches


def _decode(body: bytes) -> JSON:
    if not body.strip():
        return {}
    try:
        decoded: Mapping[str, Any] | Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is no JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise bad_request("The body is no JSON object.")
    return decoded
