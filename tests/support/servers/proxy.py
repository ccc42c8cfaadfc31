"""An HTTP proxy that refuses tunnels and breaks TLS handshakes when asked to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.clock import PATIENCE

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
PLAIN = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Proxy that connects its clients to one server, whatever host they name.

    `requests` has the first line of each connection.

    Args:
        server: The URL of the server.
        trouble: What happens to the first connections, in this order. `"403 Forbidden"` and the
            like refuse the tunnel, `"close"` closes it unanswered, `"hang"` never answers. The
            TLS handshake is answered with plain HTTP by `"plain"`, with an end or a reset of the
            connection by `"end"` and `"reset"`, and never by `"stall"`.
    """

    def __init__(self, server: str, *trouble: str) -> None:
        self.requests: list[str] = []
        parts = urlsplit(server)
        self._server = (str(parts.hostname), int(parts.port or 443))
        self._trouble = [*trouble]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = self._kept(socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        """Return its URL."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in self._sockets:
            _end(each)
            each.close()
        for thread in self._threads:
            thread.join()

    def _kept(self, new: socket.socket) -> socket.socket:
        self._sockets.append(new)
        return new

    def _start(self, action: Callable[[], None]) -> None:
        thread = threading.Thread(target=action, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._kept(self._listener.accept()[0])
                client.settimeout(PATIENCE)
                self._start(partial(self._connect, client))

    def _connect(self, client: socket.socket) -> None:
        with suppress(OSError):
            head = client.recv(65536, socket.MSG_PEEK)
            self.requests.append(head.partition(b"\r\n")[0].decode())
            if head.startswith(b"CONNECT"):
                while b"\r\n\r\n" not in head:
                    head = client.recv(65536, socket.MSG_PEEK)
                client.recv(len(head))
                if self._refuse(client):
                    return
            server = self._kept(socket.create_connection(self._server, PATIENCE))
            self._start(lambda: _pump(server, client))
            _pump(client, server)

    def _refuse(self, client: socket.socket) -> bool:
        """Answer a CONNECT, and return whether the tunnel ends with that."""
        trouble = self._trouble.pop(0) if self._trouble else ""
        if trouble[:1].isdigit():
            client.sendall(f"HTTP/1.1 {trouble}\r\nContent-Length: 0\r\n\r\n".encode())
        elif trouble not in ("close", "hang"):
            client.sendall(ESTABLISHED)
            if not trouble:
                return False
            client.recv(65536)
            if trouble == "plain":
                client.sendall(PLAIN)
            if trouble == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
        if trouble not in ("hang", "reset", "stall"):
            _end(client)
        return True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on all bytes, then the end of the connection."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _end(sink)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
