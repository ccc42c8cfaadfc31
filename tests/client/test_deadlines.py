"""A response that drips or is a bomb ends within limits of time and size."""

from __future__ import annotations

import gzip
import io
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from urllib3.exceptions import ReadTimeoutError

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudException,
    DBTCloudServerError,
    DBTCloudTransportError,
    get_dbt_cloud_run_status,
)
from dlt_dbtcloud.client.deadlines import BodyTooLarge, _LimitedBody, _Progressing
from tests.support.clock import PATIENCE, FakeClock
from tests.support.servers.wire import WireServer

TOKEN = "dbtc_s3cr3t"
RUN = "/api/v2/accounts/1/runs/5/"
MANIFEST = f"{RUN}artifacts/manifest.json"
BODY = json.dumps({"status": {"code": 200, "is_success": True}, "data": {"id": 5, "status": 10}})
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
# a hundred bytes in a second, of which a client waits for a tenth
DRIP = 0.01


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.1")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")


CALLS: dict[str, Callable[[DBTCloudClientV2, Path], Any]] = {
    "get": lambda client, _: client.get_run_status(5),
    "post": lambda client, _: client.cancel_run(5),
    "artifact": lambda client, _: client.get_run_artifact(5, "manifest.json"),
    "file": lambda client, folder: client.download_run_artifact(5, "m.json", folder / "m.json"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_response_that_drips_is_given_up(impatient: None, tmp_path: Path, call: str) -> None:
    with (
        WireServer((HEAD + BODY).encode(), drip=DRIP) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
        pytest.raises(DBTCloudTransportError, match="timed out") as caught,
    ):
        CALLS[call](client, tmp_path)
    assert caught.value.may_have_arrived
    assert not list(tmp_path.glob("*m.json*"))


def test_a_body_that_drips_is_given_up(impatient: None) -> None:
    class SlowBody(WireServer):
        def _send(self, connection: socket.socket, answer: bytes) -> None:
            connection.sendall(HEAD.encode())
            super()._send(connection, answer)

    with (
        SlowBody(BODY.encode(), drip=DRIP) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
        pytest.raises(DBTCloudTransportError, match="timed out"),
    ):
        client.get_run_status(5)


def test_the_answer_of_a_proxy_that_drips_is_given_up(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WireServer(b"HTTP/1.1 200 " + b"o" * 100 + b"\r\n\r\n", drip=DRIP) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        with (
            DBTCloudClientV2(TOKEN, 1, "https://dbt.example.com") as client,
            pytest.raises(DBTCloudTransportError, match="timed out") as caught,
        ):
            client.cancel_run(5)
    assert not caught.value.may_have_arrived, "the tunnel was never made"


def test_waiting_for_a_run_ends_although_every_answer_drips(impatient: None) -> None:
    with WireServer(*[(HEAD + BODY).encode()] * 9, drip=DRIP) as server:
        credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": server.url}
        with pytest.raises(DBTCloudException, match="timed out"):
            get_dbt_cloud_run_status(credentials, 5, timeout=0.25)


class Flood(WireServer):
    """Server whose responses have no end, however fast they are sent.

    Args:
        beginning: The beginning of each response.
        block: The bytes that follow again and again.
    """

    def __init__(self, beginning: bytes, block: bytes) -> None:
        super().__init__(beginning)
        self._block = block

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        end = time.monotonic() + PATIENCE
        connection.sendall(answer)
        while time.monotonic() < end:
            try:
                connection.sendall(self._block)
            except OSError:
                return


START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
# gzip without content, and an empty block of it
GZIP = zlib.compressobj(wbits=31).flush(zlib.Z_SYNC_FLUSH)
NO_CONTENT = b"\0\0\0\xff\xff" * 10_000
# of a length that most servers accept
LINE = b"X: %s\r\n" % (b"y" * 4000)
HEADERS = {
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n%s\r\n" % LINE),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\n%s\r\n" % LINE),
    "trailers": (CHUNKED + b"0\r\n", LINE),
}
BODIES = {
    "gzip": (START + b"Content-Encoding: gzip\r\n\r\n" + GZIP, NO_CONTENT),
    "gzip in chunks": (
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        + b"%x\r\n%s\r\n" % (len(GZIP), GZIP),
        b"%x\r\n%s\r\n" % (len(NO_CONTENT), NO_CONTENT),
    ),
}


@pytest.mark.parametrize(
    ("flood", "call"),
    # trailers follow the body, which each of these calls reads in another way
    [
        ("continue", "post"),
        *(("early hints", call) for call in ("get", "file")),
        *(("trailers", call) for call in ("get", "artifact", "file")),
    ],
)
def test_headers_without_an_end_are_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flood: str, call: str
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    with (
        Flood(*HEADERS[flood]) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
        pytest.raises(DBTCloudTransportError, match="headers have more than 256 KiB"),
    ):
        CALLS[call](client, tmp_path)


@pytest.mark.parametrize(("flood", "call"), [*zip(BODIES, ("get", "post"), strict=True)])
def test_a_compressed_body_without_content_is_given_up(
    impatient: None, tmp_path: Path, flood: str, call: str
) -> None:
    with (
        Flood(*BODIES[flood]) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
        pytest.raises(DBTCloudTransportError, match="timed out"),
    ):
        CALLS[call](client, tmp_path)


def test_a_proxy_whose_answer_has_no_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Flood(START, b"X: y\r\n" * 1000) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with (
            DBTCloudClientV2(TOKEN, 1, "https://dbt.example.com") as client,
            pytest.raises(DBTCloudTransportError) as caught,
        ):
            client.cancel_run(5)
    assert not caught.value.may_have_arrived, "the tunnel was never made"


def test_early_hints_precede_the_response_to_the_same_request() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with (
        WireServer(hints + (HEAD + BODY).encode()) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
    ):
        assert client.cancel_run(5)["id"] == 5


def test_redirects_do_not_prolong_a_request(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUN).respond_with_data("", 302, {"Location": RUN})
    with (
        DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client,
        pytest.raises(DBTCloudTransportError, match="redirects"),
    ):
        client.patient(0).get_run_status(5)
    assert len(httpserver.log) <= 4


class Chunks:
    """A raw response whose chunks arrive at the given times."""

    def __init__(self, clock: FakeClock, chunks: Iterator[tuple[float, bytes]]) -> None:
        self.is_closed = False
        self._clock = clock
        self._chunks = chunks

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        for seconds, chunk in self._chunks:
            self._clock.sleep(seconds)
            yield chunk

    def close(self) -> None:
        self.is_closed = True


def test_a_body_ends_in_time_although_it_makes_progress() -> None:
    clock = FakeClock()
    raw = Chunks(clock, ((20.0, b"x") for _ in range(100)))
    with pytest.raises(ReadTimeoutError):
        list(_LimitedBody(raw, 200, 60.0, clock.monotonic).stream(10))
    assert clock.now == 80
    assert raw.is_closed


def test_a_body_has_a_limited_size() -> None:
    raw = Chunks(FakeClock(), ((0.0, bytes(1 << 20)) for _ in range(1000)))
    with pytest.raises(BodyTooLarge, match="64 MiB"):
        list(_LimitedBody(raw, 200, None).stream(10))
    assert raw.is_closed


def test_each_64_kib_of_an_artifact_have_the_whole_timeout() -> None:
    clock = FakeClock()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        with io.BufferedReader(_Progressing(ours, True, clock.monotonic), 1 << 16) as file:
            for _ in range(5):
                theirs.sendall(bytes(1 << 16))
                assert len(file.read(1 << 16)) == 1 << 16
                clock.now += 50
            theirs.sendall(b"x")
            assert file.read(1) == b"x"
            clock.now += 15
            with pytest.raises(TimeoutError):
                file.read(1)


ENCODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lower the limit of a body, as the usual one takes long to decode."""
    monkeypatch.setattr("dlt_dbtcloud.client.deadlines.BODY_LIMIT", 1 << 20)
    return 1 << 20


@pytest.mark.parametrize(
    ("encoding", "call", "status"),
    # artifacts may be large, but not their errors and redirects
    [
        ("gzip", "artifact", 302),
        ("gzip", "file", 503),
        ("deflate", "artifact", 404),
        ("gzip", "get", 503),
        ("deflate", "get", 200),
        ("gzip", "post", 200),
    ],
)
def test_a_bomb_is_an_error(
    httpserver: HTTPServer, tmp_path: Path, limit: int, encoding: str, status: int, call: str
) -> None:
    headers = {"Content-Encoding": encoding, "Location": httpserver.url_for("/elsewhere")}
    bomb = ENCODERS[encoding](b'"' + bytes(limit))
    assert len(bomb) < limit / 64
    httpserver.expect_request("/elsewhere").respond_with_data("never")
    httpserver.expect_request(RUN).respond_with_data(bomb, status, headers)
    for path in (f"{RUN}cancel/", MANIFEST, f"{RUN}artifacts/m.json"):
        httpserver.expect_request(path).respond_with_data(bomb, status, headers)
    with (
        DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client,
        pytest.raises(DBTCloudServerError, match="larger than 1 MiB") as caught,
    ):
        CALLS[call](client.patient(0), tmp_path)
    assert caught.value.status_code == status


def test_an_artifact_may_be_large(httpserver: HTTPServer, limit: int) -> None:
    content = json.dumps({"nodes": "x" * limit}).encode()
    headers = {"Content-Encoding": "gzip"}
    httpserver.expect_request(MANIFEST).respond_with_data(gzip.compress(content, 1), 200, headers)
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        assert len(client.get_run_artifact(5, "manifest.json")["nodes"]) == limit
