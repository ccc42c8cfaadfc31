"""All requests share one connection; GETs are retried, POSTs are sent once."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import socket
import ssl
import traceback
import warnings
from base64 import b64encode
from collections.abc import Callable
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
import trustme
from dlt.common.exceptions import TerminalException, TransientException
from dlt.sources.helpers.requests import Client
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudServerError,
    DBTCloudTransportError,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import FakeClock
from tests.support.servers.wire import KeepAliveServer, WireServer

TOKEN = "dbtc_s3cr3t"
RUN = "/api/v2/accounts/1/runs/5/"
OK = {"status": {"code": 200, "is_success": True}, "data": {"id": 5, "status": 1}}
HALF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"data"'
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("answer", [None, HALF, UNAVAILABLE], ids=["cut", "half", "503"])
def test_a_post_is_sent_once(answer: bytes | None) -> None:
    with WireServer(answer, answer) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        with pytest.raises(DBTCloudException) as caught:
            client.trigger_job_run(7)
        assert server.requests == ["POST /api/v2/accounts/1/jobs/7/run/ HTTP/1.1"]
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("answer", [None, UNAVAILABLE], ids=["cut", "503"])
def test_a_post_is_sent_once_through_a_retrying_session_of_dlt(
    answer: bytes | None,
) -> None:
    session = Client().session
    with WireServer(answer, answer) as server, session:
        client = DBTCloudClientV2(TOKEN, 1, server.url, session=session)
        with pytest.raises(DBTCloudException):
            client.trigger_job_run(7)
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [None, HALF, UNAVAILABLE], ids=["cut", "half", "503"])
def test_a_get_is_retried_as_dlt_is_configured(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    answers = [answer] * 4
    with WireServer(*answers) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        with pytest.raises((DBTCloudTransportError, DBTCloudServerError)):
            client.get_run_status(5)
        assert len(server.requests) == 3


def test_a_get_survives_a_short_outage(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request(RUN).respond_with_data("down", 502)
    httpserver.expect_ordered_request(RUN).respond_with_json({}, 429, {"Retry-After": "0"})
    httpserver.expect_ordered_request(RUN).respond_with_json(OK)
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        assert client.get_run_status(5)["status"] == 1


def test_one_connection_serves_all_requests() -> None:
    with KeepAliveServer(OK) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        client.get_run_status(5)
        client.trigger_job_run(7)
        client.cancel_run(5)
        client.get_run_status(5)
        assert server.requests == 4
        assert server.connections == 1


def test_requests_that_are_sent_once_keep_no_cookies(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"{RUN}cancel/").respond_with_json(OK, headers={"Set-Cookie": "a=b"})
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        for _ in range(2):
            client.cancel_run(5)
    assert [request.headers.get("Cookie") for request, _ in httpserver.log] == [None, None]


def test_a_request_on_a_refused_connection_has_not_arrived() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        DBTCloudClientV2(TOKEN, 1, f"127.0.0.1:{port}") as client,
        pytest.raises(DBTCloudTransportError, match=os.strerror(errno.ECONNREFUSED)) as caught,
    ):
        client.cancel_run(5)
    assert not caught.value.may_have_arrived
    assert "object at 0x" not in str(caught.value)


def test_a_request_to_a_refusing_proxy_has_not_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with (
        DBTCloudClientV2("t", 1, "https://dbt.example.com") as client,
        pytest.raises(DBTCloudTransportError) as caught,
    ):
        client.trigger_job_run(5)
    assert not caught.value.may_have_arrived


def test_an_untrusted_certificate_is_refused_before_the_request_is_sent() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with (
        DBTCloudEmulator(ssl_context=context) as cloud,
        DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client,
    ):
        with pytest.raises(DBTCloudTransportError) as caught:
            client.trigger_job_run(5)
        assert isinstance(caught.value.__cause__, requests.exceptions.SSLError)
        assert not caught.value.may_have_arrived
        assert cloud.requests == []


def test_a_request_on_a_cut_connection_may_have_arrived() -> None:
    with (
        WireServer(None) as server,
        DBTCloudClientV2(TOKEN, 1, server.url) as client,
        pytest.raises(DBTCloudTransportError) as caught,
    ):
        client.cancel_run(5)
    assert caught.value.may_have_arrived


QUOTED_IN_A_CHUNK = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TOKEN.encode() + b"\r\n"
)


@pytest.mark.parametrize("answer", [None, QUOTED_IN_A_CHUNK], ids=["cut", "quoted"])
def test_no_exception_of_the_chain_contains_the_token(answer: bytes | None) -> None:
    with WireServer(answer) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        with pytest.raises(DBTCloudTransportError) as caught:
            client.cancel_run(5)
    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_redirect_that_quotes_the_token_does_not_reveal_it(httpserver: HTTPServer) -> None:
    elsewhere = httpserver.url_for("/elsewhere/").replace("localhost", "127.0.0.1")
    location = {"Location": f"{elsewhere}?token={TOKEN}"}
    httpserver.expect_request(RUN).respond_with_data("", 302, location)
    httpserver.expect_request("/elsewhere/").respond_with_data(f"no {TOKEN}", 404)
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        with pytest.raises(DBTCloudException) as caught:
            client.get_run_status(5)
    assert TOKEN not in f"{caught.value} {caught.value.attrs()}"


def test_every_request_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.05")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        DBTCloudClientV2(TOKEN, 1, f"127.0.0.1:{silent.getsockname()[1]}") as client,
        pytest.raises(DBTCloudTransportError) as caught,
    ):
        client.cancel_run(5)
    assert isinstance(caught.value.__cause__, requests.exceptions.ReadTimeout)


def test_a_netrc_does_not_override_the_token(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    httpserver.expect_request(RUN, headers={"Authorization": f"Bearer {TOKEN}"}).respond_with_json(
        OK
    )
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        assert client.get_run_status(5)["id"] == 5


def test_a_post_follows_no_redirect(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"{RUN}cancel/").respond_with_data(
        "", 308, {"Location": httpserver.url_for("/elsewhere/")}
    )
    with (
        DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client,
        pytest.raises(DBTCloudServerError, match="status 308"),
    ):
        client.cancel_run(5)
    assert len(httpserver.log) == 1


def test_a_redirect_to_another_host_does_not_send_the_token(httpserver: HTTPServer) -> None:
    elsewhere = httpserver.url_for("/elsewhere/").replace("localhost", "127.0.0.1")
    httpserver.expect_request(RUN).respond_with_data("", 302, {"Location": elsewhere})
    httpserver.expect_request("/elsewhere/").respond_with_json(OK)
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        client.get_run_status(5)
    assert "Authorization" in httpserver.log[0][0].headers
    assert "Authorization" not in httpserver.log[1][0].headers


def test_the_callers_session_is_used_and_left_open(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUN, headers={"X-Team": "data"}).respond_with_json(OK)
    with requests.Session() as session:
        session.headers["X-Team"] = "data"
        with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"), session=session) as client:
            client.get_run_status(5)
        assert session.get(httpserver.url_for(RUN), timeout=60).ok
        assert "Authorization" not in session.headers


NOT_FOUND = (
    "The requested resource was not found. Please check that you have the proper permissions."
)
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


def envelope(code: int, message: str, developer: str = "", **others: Any) -> dict[str, Any]:
    status = {
        "code": code,
        "is_success": code < 400,
        "user_message": message,
        "developer_message": developer,
    }
    return {"status": status, "data": None, **others}


@pytest.fixture
def client(httpserver: HTTPServer) -> DBTCloudClientV2:
    return DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"))


def answer(httpserver: HTTPServer, status: int, body: Any, **headers: str) -> None:
    expectation = httpserver.expect_request(RUN)
    if isinstance(body, str):
        expectation.respond_with_data(body, status, headers, content_type="text/html")
    else:
        expectation.respond_with_json(body, status, headers)


RESPONSES: list[tuple[int, Any, type[DBTCloudAPIError], str]] = [
    (401, envelope(401, "Invalid token."), DBTCloudAuthError, "Invalid token."),
    (403, envelope(403, "Forbidden: Access denied"), DBTCloudAuthError, "Access denied"),
    (404, envelope(404, NOT_FOUND), DBTCloudNotFoundError, NOT_FOUND),
    (404, HTML, DBTCloudNotFoundError, "Bad Gateway"),
    (
        400,
        envelope(400, "Bad request", data={"status__in": "'X' is not valid"}),
        DBTCloudAPIError,
        "Bad request `status__in`: 'X' is not valid",
    ),
    (
        400,
        envelope(400, "Bad request", data="foo: unknown", extra={}, error_code=None),
        DBTCloudAPIError,
        "Bad request foo: unknown",
    ),
    (
        400,
        envelope(400, "", "cause is needed", data={"cause": "required key not provided"}),
        DBTCloudAPIError,
        "cause is needed `cause`: required key not provided",
    ),
    (405, {"detail": 'Method "GET" not allowed.'}, DBTCloudAPIError, '"GET" not allowed'),
    (405, HTML, DBTCloudAPIError, "check that `base_api_url` is the dbt Cloud API"),
    (405, "", DBTCloudAPIError, "check that `base_api_url` is the dbt Cloud API"),
    (429, envelope(429, "Slow down"), DBTCloudRateLimitError, "Slow down"),
    (429, "", DBTCloudRateLimitError, "no message"),
    (500, {"detail": "Server error"}, DBTCloudServerError, "Server error"),
    (502, HTML, DBTCloudServerError, "502 Bad Gateway Bad Gateway"),
    (503, {"message": "gateway"}, DBTCloudServerError, "gateway"),
    (504, ["x"], DBTCloudServerError, '[ "x" ]'),
    (200, HTML, DBTCloudServerError, "not a dbt Cloud API response: 502 Bad Gateway"),
    (200, "", DBTCloudServerError, "(empty)"),
    (200, [], DBTCloudServerError, "not a dbt Cloud API response"),
    (200, {"status": "ok"}, DBTCloudServerError, "not a dbt Cloud API response"),
    (200, envelope(200, "Success!"), DBTCloudServerError, "not a dbt Cloud API response"),
    (200, envelope(200, "", data={}), DBTCloudServerError, "not a dbt Cloud API response"),
    (200, envelope(401, "Invalid token."), DBTCloudAuthError, "status 401"),
    (200, {"status": {"code": "x", "is_success": False}}, DBTCloudAPIError, "status 200"),
]


def test_each_response_raises_its_exception(
    httpserver: HTTPServer, client: DBTCloudClientV2
) -> None:
    url = httpserver.url_for(RUN)
    with client:
        for status, body, kind, message in RESPONSES:
            httpserver.clear()
            answer(httpserver, status, body)
            with pytest.raises(kind) as caught:
                client.patient(0).get_run_status(5)
            assert type(caught.value) is kind
            assert message in str(caught.value)
            assert f"`GET {url}`" in str(caught.value)
            assert TOKEN not in str(caught.value)


def test_incomplete_json_is_an_error(httpserver: HTTPServer, client: DBTCloudClientV2) -> None:
    httpserver.expect_request(RUN).respond_with_data(
        '{"status": {"code": 200, "is_suc', content_type="application/json"
    )
    with client, pytest.raises(DBTCloudServerError, match="not a dbt Cloud API response"):
        client.get_run_status(5)


RETRY_AFTER = {
    "7": 7.0,
    "soon": None,
    "-5": None,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
    "601": 600.0,
    "9" * 400: 600.0,
    "Fri, 21 Oct 2095 07:28:00 GMT": 600.0,
}


def test_retry_after_is_read(httpserver: HTTPServer, client: DBTCloudClientV2) -> None:
    with client:
        for header, seconds in RETRY_AFTER.items():
            httpserver.clear()
            httpserver.expect_request(f"{RUN}cancel/").respond_with_json(
                envelope(429, "Slow down"), 429, {"Retry-After": header}
            )
            with pytest.raises(DBTCloudRateLimitError) as caught:
                client.cancel_run(5)
            assert caught.value.retry_after == seconds, header


def test_the_error_for_a_wrong_token_mentions_the_host(
    httpserver: HTTPServer, client: DBTCloudClientV2
) -> None:
    answer(httpserver, 401, envelope(401, "Invalid token."))
    with client, pytest.raises(DBTCloudAuthError) as caught:
        client.get_run_status(5)
    assert "another host" in str(caught.value)
    assert "`base_api_url`" in str(caught.value)


def test_a_server_that_quotes_the_request_does_not_reveal_the_token(
    httpserver: HTTPServer, client: DBTCloudClientV2
) -> None:
    def quote(request: Request) -> Response:
        return Response(f"<p>{request.headers}</p>", 404, content_type="text/html")

    httpserver.expect_request(RUN).respond_with_handler(quote)
    with client, pytest.raises(DBTCloudNotFoundError, match=r"Bearer \*\*\*") as caught:
        client.get_run_status(5)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in str(caught.value.attrs())


def test_transient_errors_are_marked_for_dlt() -> None:
    for terminal in (DBTCloudAuthError, DBTCloudNotFoundError):
        assert issubclass(terminal, TerminalException)
    for transient in (DBTCloudRateLimitError, DBTCloudServerError):
        assert issubclass(transient, TransientException)


def test_errors_can_be_pickled() -> None:
    error = DBTCloudNotFoundError("GET", "https://host/api/v2/", 404, NOT_FOUND)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.attrs() == error.attrs()


def test_the_hooks_of_a_callers_session_are_called(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUN).respond_with_json(OK)
    seen: list[int] = []
    with requests.Session() as session:
        session.hooks["response"].append(lambda each, **_: seen.append(each.status_code))
        DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"), session=session).get_run_status(5)
    assert seen == [200]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_requests_to_loopback_never_go_through_a_proxy(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    redirect = {"Location": RUN}
    httpserver.expect_request(RUN[:-1]).respond_with_data("", 308, redirect)
    httpserver.expect_request(RUN).respond_with_json(OK)
    url = httpserver.url_for("/").replace("localhost", host)
    with WireServer(UNAVAILABLE) as proxy, requests.Session() as session:
        session.proxies["all"] = proxy.url
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for given in (None, session):
            client = DBTCloudClientV2(TOKEN, 1, url, session=given)
            assert client.get_endpoint(RUN.removeprefix("/api/v2/")[:-1])["data"]["id"] == 5
        assert proxy.requests == []


def test_the_token_is_sent_as_the_apis_documents_declare(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUN, headers={"Authorization": f"Bearer {TOKEN}"}).respond_with_json(
        OK
    )
    assert DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")).get_run_status(5)["id"] == 5


def test_a_date_to_retry_after_is_compared_with_the_clock(httpserver: HTTPServer) -> None:
    clock = FakeClock(ahead=10_000)
    later = formatdate(clock.time() + 90, usegmt=True)
    httpserver.expect_request(RUN).respond_with_json(
        envelope(429, "Slow down"), 429, {"Retry-After": later}
    )
    with (
        DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"), clock=clock).patient(0) as client,
        pytest.raises(DBTCloudRateLimitError) as caught,
    ):
        client.get_run_status(5)
    assert caught.value.retry_after == pytest.approx(90, abs=1)


def test_a_list_that_repeats_its_first_page_is_an_error() -> None:
    page = [{"id": number} for number in range(1, 101)]
    listed = {**OK, "data": page, "extra": {"pagination": {"total_count": 10**9}}}
    with KeepAliveServer(listed) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        runs = islice(client.list_runs(order_by="-id"), 1000)
        with pytest.raises(DBTCloudServerError, match="repeats"):
            list(runs)
    assert server.requests == 2


# two lengths, many encodings, and a redirect in no encoding
UNREADABLE = (
    b"200 OK\r\nContent-Length: 7, 8",
    b"200 OK\r\nContent-Encoding: " + b",".join([b"gzip"] * 50),
    b"302 Found\r\nLocation: \xff\xfe",
)


def test_the_sockets_of_responses_that_cannot_be_read_are_closed(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    tail = b"\r\nConnection: close\r\n\r\n{}"
    answers = [b"HTTP/1.1 " + head + tail for head in UNREADABLE for _ in range(2)]
    with WireServer(*answers) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        patient = client.patient(0)
        for _ in UNREADABLE:
            with pytest.raises(DBTCloudTransportError):
                patient.get_run_status(5)
            with pytest.raises(DBTCloudTransportError):
                patient.download_run_artifact(5, "m.json", tmp_path / "m.json")
    assert len(server.requests) == len(answers)
    warnings.simplefilter("always")
    gc.collect()
    assert not [each.message for each in recwarn if each.category is ResourceWarning]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "URL": lambda token: quote(token, safe=""),
    "path": quote,
    "form": quote_plus,
    "base64": lambda token: b64encode(token.encode()).decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoded_token_is_not_revealed(httpserver: HTTPServer, encoding: str) -> None:
    token = "s3cr3t+t0ken/of=a?user~"
    encoded = ENCODINGS[encoding](token)
    location = {"Location": f"/login?token={encoded}"}
    httpserver.expect_request(RUN).respond_with_data("", 302, location)
    httpserver.expect_request("/login").respond_with_data(f"Who is {encoded}?", 404)
    with (
        DBTCloudClientV2(token, 1, httpserver.url_for("/")) as client,
        pytest.raises(DBTCloudNotFoundError) as caught,
    ):
        client.get_run_status(5)
    assert encoded not in str(caught.value)
    assert encoded not in str(caught.value.attrs())
    assert "Who is ***" in str(caught.value)


def test_the_password_of_an_unusable_proxy_is_not_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:passw0rd-of-mine@proxy.example:99999")
    with (
        DBTCloudClientV2(TOKEN, 1, "https://dbt.example.com") as client,
        pytest.raises(DBTCloudTransportError, match="Failed to parse") as caught,
    ):
        client.cancel_run(5)
    assert "passw0rd" not in "".join(traceback.format_exception(caught.value))
