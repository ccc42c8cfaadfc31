"""An HTTP/1.1 server on loopback: it keeps connections alive, and logs nothing."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"
# how soon the server notices that it shall stop, in seconds
POLL = 0.005


class Server(ThreadedWSGIServer):
    """A server whose open connections end with it."""

    daemon_threads = True

    def __init__(self, app: WSGIApplication, listener: socket.socket, tls: SSLContext | None):
        port: int = listener.getsockname()[1]
        fd = listener.fileno()
        super().__init__(HOST, port, app, _RequestHandler, ssl_context=tls, fd=fd)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL,), daemon=True)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and close the connections that clients keep alive."""
        self.shutdown()
        # the thread closes the port, too; until both have, nobody else can have it
        self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                # the client may have closed it in the meantime
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note a connection while it is open."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up, or do not get on with TLS."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _RequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # headers and body leave together, and at once
    wbufsize = -1
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        # werkzeug's own closes each connection; the application has read the whole body here
        environ = self.make_environ()
        if self.requestline.split()[1].startswith("//"):
            # http.server has folded the slashes, for the service they make another path
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
        """Log nothing: the request's path and headers are nobody's business."""


def listen(port: int) -> socket.socket:
    """Open a listening socket on loopback.

    Raises:
        OSError: The port cannot be had; the message names it and the way out.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
        raise OSError(
            error.errno,
            f"The embedded dbt Cloud cannot listen on {HOST}:{port}: the port {why}. Stop what "
            "listens there, or choose another port; 0 takes a free one",
        ) from error
