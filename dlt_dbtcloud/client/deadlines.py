"""Time and size limits of responses."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ReadTimeoutError

__all__ = ["BODY_LIMIT", "BodyTooLarge", "DeadlineAdapter", "limit_body"]

# a run with the debug logs of all steps has megabytes; artifacts are not limited
BODY_LIMIT = 1 << 26
# bytes that have to arrive within the timeout of a request
_PROGRESS = 1 << 16
_HEADERS_LIMIT = 1 << 18
# whether the next response is a file, which may take as long as it makes progress
_is_file: ContextVar[bool] = ContextVar("is_file", default=False)


class BodyTooLarge(requests.RequestException):
    """The decoded body of a response exceeds the limit.

    Attributes:
        status_code: The HTTP status of the response.
    """

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        super().__init__(f"the response is larger than {BODY_LIMIT >> 20} MiB")


class DeadlineAdapter(HTTPAdapter):
    """Adapter whose responses end if they do not make progress.

    A timeout of requests limits each wait for a byte, so that a response of one byte per minute
    never ends. With this adapter, the headers and then each 64 KiB arrive within the timeout.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of a proxy; those of SOCKS have connections of their own."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def limit_body(response: requests.Response, **options: Any) -> None:
    """Limit the size and time of a response's body; a hook of requests.

    A streamed file is not limited, but a redirect or an error in its place is.

    Args:
        response: The response, whose body is not read yet.
        **options: Those of the request: `stream`, `timeout`.
    """
    if not options.get("stream") or response.is_redirect or not response.ok:
        seconds = _read_timeout(options.get("timeout"))
        response.raw = _LimitedBody(response.raw, response.status_code, seconds)


def _read_timeout(timeout: Any) -> float | None:
    """Return the read timeout of a request, which is a number or a pair."""
    seconds = timeout[-1] if isinstance(timeout, tuple) else timeout
    return float(seconds) if isinstance(seconds, int | float) else None


class _LimitedBody:
    """A raw response of urllib3 that is read within limits.

    Args:
        raw: The raw response.
        status_code: The HTTP status.
        seconds: The longest time for the body; None is no limit.
        now: Seconds that never run backwards.
    """

    def __init__(
        self,
        raw: Any,
        status_code: int,
        seconds: float | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._raw = raw
        self._status_code = status_code
        self._seconds = seconds
        self._now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the decoded body in chunks.

        Raises:
            BodyTooLarge: It exceeds `BODY_LIMIT`.
            ReadTimeoutError: Its time is up.
        """
        size, began = 0, self._now()
        # urllib3 before 2.6 copies the rest of what it decoded for each chunk
        for chunk in self._raw.stream(max(amount, _PROGRESS), decode_content=decode_content):
            size += len(chunk)
            if size > BODY_LIMIT:
                self._raw.close()
                raise BodyTooLarge(self._status_code)
            if self._seconds is not None and self._now() - began > self._seconds:
                self._raw.close()
                raise ReadTimeoutError(self._raw, None, f"no end after {self._seconds:g} seconds")
            yield chunk


class _Progressing(io.RawIOBase):
    """The bytes from a socket, which arrive within its timeout; of a file, each 64 KiB do.

    Args:
        sock: The socket.
        is_file: Whether it is a file.
        now: Seconds that never run backwards.
    """

    def __init__(self, sock: Any, is_file: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._is_file = is_file
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._timeout: float | None = sock.gettimeout()
        self._now = now
        self._began = now()
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._timeout is not None:
            left = self._began + self._timeout - self._now()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        size: int | None = self._file.readinto(buffer)
        self._size += size or 0
        if self._is_file and self._size >= _PROGRESS:
            self._began, self._size = self._now(), 0
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


class _Reader(io.BufferedReader):
    """A reader of responses whose headers have a limited size.

    Headers are lines in a row, among them those of interim responses, and those after a body.
    """

    _size = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._size += len(line)
        if self._size > _HEADERS_LIMIT:
            raise HTTPException(f"the headers have more than {_HEADERS_LIMIT >> 10} KiB")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        self._size = 0
        return super().read(size)


class _Socket:
    """The part of a socket that `http.client.HTTPResponse` uses.

    Args:
        sock: The socket.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Reader(_Progressing(self._sock, _is_file.get()))


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_Socket(sock), *args, **options)  # type: ignore[arg-type]  # it uses only `makefile`

    def begin(self) -> None:
        super().begin()
        # it skips 100 only, and would return the final response to the next request
        while HTTPStatus.SWITCHING_PROTOCOLS < self.status < HTTPStatus.OK:
            self.headers = None  # type: ignore[assignment]  # None before the first headers
            super().begin()


class _Connection(HTTPConnection):
    """A connection that closes a response whose headers urllib3 refuses."""

    _newest: _Response | None = None

    def response_class(self, sock: Any, *args: Any, **options: Any) -> _Response:  # type: ignore[override]  # called like the class
        """Return a response, and remember it until its headers are read."""
        self._newest = _Response(sock, *args, **options)
        return self._newest

    def getresponse(self) -> Any:
        """Return the response to the request."""
        try:
            response = super().getresponse()
        except BaseException:
            if self._newest is not None:
                self._newest.close()
            raise
        self._newest = None
        return response


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}
