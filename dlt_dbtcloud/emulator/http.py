"""HTTP server and WSGI application of the emulator."""

from __future__ import annotations

import errno
import hmac
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

from dlt_dbtcloud.emulator.api import answers
from dlt_dbtcloud.emulator.api.routes import ROUTES, Call, url_map
from dlt_dbtcloud.emulator.errors import ApiError, bad_request, not_found
from dlt_dbtcloud.emulator.faults import Faults
from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.emulator.pages.guard import HEADERS, check_origin, is_page
from dlt_dbtcloud.emulator.state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
# bytes
MAX_BODY = 10_000_000
SCHEMES = ("token", "bearer")
# seconds between the server's checks whether to stop, if it cannot be woken
POLL = 0.05

_PAGES = frozenset(name for _, path, name in ROUTES if not path.startswith("/api/"))

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedRequest:
    """A request and the status of its response, with the API token masked as `***`.

    Args:
        method: The HTTP method.
        path: The path without the query.
        query: All values of each query parameter.
        json: The decoded body, or None if it is not JSON.
        status: The HTTP status of the response; 0 if a fault closed the connection.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    json: Any
    status: int


@dataclass(frozen=True)
class UnhandledRequest:
    """A request that the emulator could not handle.

    Args:
        method: The HTTP method.
        path: The path without the query.
        reason: There is no such route or method, or the handler raised an exception.
    """

    method: str
    path: str
    reason: str


class App:
    """The WSGI application of the API.

    Args:
        state: The emulator's state.
        groups: Objects whose methods handle the routes.
        token: The only accepted API token.
        faults: The faults that are injected.
    """

    def __init__(self, state: State, groups: Sequence[object], token: str, faults: Faults) -> None:
        self.requests: list[RecordedRequest] = []
        self.unhandled: list[UnhandledRequest] = []
        self.faults = faults
        self._state = state
        self._handlers: dict[str, Callable[[Call], Response]] = {
            name: handler
            for group in groups
            for _, _, name in ROUTES
            if (handler := getattr(group, name, None))
        }
        self._token = token
        self._urls = url_map()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond to a request; one of the API is recorded before the response is sent."""
        request = Request(environ)
        request.max_content_length = MAX_BODY
        body, response = self._receive(request)
        if is_page(request.method, request.path):
            # not recorded: they are no requests of the API, and a live page sends many
            response.headers.update(HEADERS)
            if response.get_etag()[0]:
                response.make_conditional(request)
                # the server sends its own
                response.headers.pop("Date", None)
            return response(environ, start_response)
        recorded = _record(request, body, response.status_code, self._token)
        with self._state.changed:
            self.requests.append(recorded)
        return response(environ, start_response)

    def _receive(self, request: Request) -> tuple[bytes, Response]:
        try:
            # an unread body would make the connection unusable for the next request
            body = request.get_data()
        except RequestEntityTooLarge:
            response = answers.detail(413, "Request body is too large.")
            response.headers["Connection"] = "close"
            return b"", response
        return body, self._respond(request, body)

    def _respond(self, request: Request, body: bytes) -> Response:
        try:
            return self._route(request, body)
        except ApiError as error:
            return answers.failure(error)
        except RequestRedirect as redirect:
            return Response.force_type(redirect.get_response(request.environ), request.environ)
        except NotFound:
            self._note(request, "unknown route")
            return answers.failure(not_found())
        except MethodNotAllowed:
            self._note(request, "its route has no such method")
            return answers.detail(405, f'Method "{request.method}" not allowed.')
        except Exception:
            # a server answers, whatever a handler raises
            _logger.exception("The embedded dbt Cloud failed on %s", request.method)
            return answers.detail(500, "Internal server error.")

    def _route(self, request: Request, body: bytes) -> Response:
        if is_page(request.method, request.path):
            check_origin(dict(request.headers))
        elif not self._is_authorized(request):
            raise ApiError(401, "Invalid token.")
        if request.environ["PATH_INFO"].startswith("//"):
            # werkzeug would fold the extra slash of a wrong base URL
            raise NotFound
        endpoint, path = self._urls.bind_to_environ(request.environ).match()
        call = Call(path, request.args, _decode_object(body))

        def handle() -> Response:
            try:
                if endpoint in _PAGES:
                    # making a page takes long, and so it acquires the state itself
                    return self._handlers[str(endpoint)](call)
                with self._state.changed:
                    return self._handlers[str(endpoint)](call)
            except ApiError:
                raise
            except Exception as error:
                self._note(request, f"its handler raised {error!r}")
                raise

        # a fault may take the handler's place
        return self.faults.strike(str(endpoint), path, handle)

    def _note(self, request: Request, reason: str) -> None:
        path, masked = (_mask(text, self._token) for text in (request.path, reason))
        with self._state.changed:
            self.unhandled.append(UnhandledRequest(request.method, path, masked))

    def _is_authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        matches = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return scheme.lower() in SCHEMES and matches


class Server(ThreadedWSGIServer):
    """An HTTP server that closes open connections when it stops."""

    daemon_threads = True

    def __init__(self, app: WSGIApplication, listener: socket.socket, tls: SSLContext | None):
        port: int = listener.getsockname()[1]
        fd = listener.fileno()
        super().__init__(HOST, port, app, _RequestHandler, ssl_context=tls, fd=fd)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL,), daemon=True)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Accept requests in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close the connections that clients keep alive."""
        # on Linux, the server wakes; on other systems this is an error
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.shutdown()
        # `serve_forever` closes the socket as well; the port is free after both calls
        self._thread.join()
        self.server_close()
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections that clients keep alive."""
        with self._lock:
            for connection in self._open:
                # the client may have closed it already
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Track an open connection."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Stop tracking a closed connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect or fail the TLS handshake."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def listen(port: int) -> socket.socket:
    """Open a listening socket on loopback.

    Raises:
        OSError: The port is in use or not permitted.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = "in use" if error.errno == errno.EADDRINUSE else f"not available ({error})"
        raise OSError(
            error.errno,
            f"The embedded dbt Cloud cannot listen on {HOST}:{port}: the port is {reason}. Stop "
            "the program that uses it, or choose another port; 0 takes a free one",
        ) from error


class _RequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # send headers and body together and without delay
    wbufsize = -1
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        # werkzeug's own closes each connection, since an app might not read the whole body
        try:
            environ = self.make_environ()
        except ValueError:
            # not a URL, such as `http://[`
            self.path = "/not-a-url"
            environ = self.make_environ()
        if self.requestline.split()[1].startswith("//"):
            # http.server has folded the slashes, but to the service it is another path
            environ["PATH_INFO"] = "/" + environ["PATH_INFO"]
        chunks, status, headers = run_wsgi_app(self.server.app, environ)
        try:
            code, _, reason = status.partition(" ")
            self.send_response(int(code), reason)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._write(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def _write(self, chunks: Iterable[bytes]) -> None:
        for number, chunk in enumerate(chunks):
            if number:
                self.wfile.flush()
            self.wfile.write(chunk)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing, because paths and headers can contain the token."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Format no line that is not logged."""


def _record(request: Request, body: bytes, status: int, token: str) -> RecordedRequest:
    query = {
        _mask(key, token): [_mask(value, token) for value in request.args.getlist(key)]
        for key in request.args
    }
    return RecordedRequest(
        method=request.method,
        path=_mask(request.path, token),
        query=query,
        json=_decode_or_none(body, token),
        status=status,
    )


def _mask(text: str, token: str) -> str:
    return text.replace(token, "***")


def _decode_or_none(body: bytes, token: str) -> Any:
    try:
        decoded = json.loads(body) if body else None
        # the text of JSON can contain the token escaped
        return _mask_values(decoded, token)
    except (ValueError, RecursionError):
        return None


def _mask_values(value: Any, token: str) -> Any:
    if isinstance(value, str):
        return _mask(value, token)
    if isinstance(value, list):
        return [_mask_values(item, token) for item in value]
    if isinstance(value, dict):
        return {_mask(key, token): _mask_values(item, token) for key, item in value.items()}
    return value


def _decode_object(body: bytes) -> JSON:
    if not body.strip():
        return {}
    try:
        decoded: JSON | Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise bad_request("The body is not a JSON object.")
    return decoded
