"""HTTP servers that misbehave, and one that counts connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.support.clock import PATIENCE


class WireServer:
    """Server that answers each request with the next of some bytes and closes the connection.

    `None` closes it without a response. `requests` has the request lines received.

    Args:
        answers: The bytes of each response.
        drip: Seconds between two bytes; 0 sends all at once.
    """

    def __init__(self, *answers: bytes | None, drip: float = 0.0) -> None:
        self.requests: list[str] = []
        self._answers = answers
        self._drip = drip
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Return its URL."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> WireServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            with connection, connection.makefile("rb") as lines:
                self.requests.append(lines.readline().decode().strip())
                length = 0
                while (line := lines.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                lines.read(length)
                if answer is not None:
                    self._send(connection, answer)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        try:
            for start in range(0, len(answer), 1 if self._drip else len(answer)):
                connection.sendall(answer[start : start + 1] if self._drip else answer)
                time.sleep(self._drip)
        except OSError:
            # the client gave up
            return


class KeepAliveServer:
    """Server that answers each request with the same JSON, and counts connections and requests."""

    def __init__(self, answer: Any) -> None:
        self.connections = 0
        self.requests = 0
        body = json.dumps(answer).encode()
        counts = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                counts.connections += 1
                super().setup()

            def do_GET(self) -> None:
                counts.requests += 1
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815, the names are http.server's

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            # seconds until it notices that it has to end
            target=self._server.serve_forever,
            args=(0.02,),
            daemon=True,
        )

    @property
    def url(self) -> str:
        """Return its URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> KeepAliveServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
