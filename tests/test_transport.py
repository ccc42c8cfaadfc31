"""One connection serves all requests, GETs are sent again, and a POST never is."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import requests
import trustme
from dlt.sources.helpers.requests import Client
from pytest_httpserver import HTTPServer

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudException,
    DBTCloudServerError,
    DBTCloudTransportError,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.wire import KeepAliveServer, WireServer

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
def test_a_post_is_sent_once_through_a_session_of_dlts_that_would_send_it_again(
    answer: bytes | None,
) -> None:
    session = Client().session
    with WireServer(answer, answer) as server, session:
        client = DBTCloudClientV2(TOKEN, 1, server.url, session=session)
        with pytest.raises(DBTCloudException):
            client.trigger_job_run(7)
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [None, HALF, UNAVAILABLE], ids=["cut", "half", "503"])
def test_a_get_is_sent_again_as_often_as_dlt_is_told_to(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    answers = [answer] * 4
    with WireServer(*answers) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        with pytest.raises((DBTCloudTransportError, DBTCloudServerError)):
            client.get_run_status(5)
        assert len(server.requests) == 3


def test_a_get_outlives_a_short_outage(httpserver: HTTPServer) -> None:
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


def test_a_refused_connection_is_known_not_to_have_arrived() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        DBTCloudClientV2(TOKEN, 1, f"127.0.0.1:{port}") as client,
        pytest.raises(DBTCloudTransportError, match="Connection refused") as caught,
    ):
        client.cancel_run(5)
    assert not caught.value.may_have_arrived
    assert "object at 0x" not in str(caught.value)


def test_a_proxy_that_refuses_is_known_not_to_have_passed_anything_on(
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


def test_a_certificate_that_nobody_vouches_for_is_looked_at_before_anything_is_sent() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with (
        DBTCloudEmulator(ssl_context=context) as cloud,
        DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client,
    ):
        with pytest.raises(DBTCloudTransportError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            client.trigger_job_run(5)
        assert not caught.value.may_have_arrived
        assert cloud.requests == []


def test_a_cut_connection_may_have_arrived() -> None:
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
def test_no_exception_of_the_chain_holds_the_token(answer: bytes | None) -> None:
    with WireServer(answer) as server, DBTCloudClientV2(TOKEN, 1, server.url) as client:
        with pytest.raises(DBTCloudTransportError) as caught:
            client.cancel_run(5)
    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_redirect_that_quotes_the_token_does_not_give_it_away(httpserver: HTTPServer) -> None:
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
        pytest.raises(DBTCloudTransportError, match="timed out"),
    ):
        client.cancel_run(5)


def test_the_token_is_what_authorises_whatever_a_netrc_says(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    httpserver.expect_request(RUN, headers={"Authorization": f"Token {TOKEN}"}).respond_with_json(
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


def test_a_redirect_to_another_host_does_not_take_the_token_along(httpserver: HTTPServer) -> None:
    elsewhere = httpserver.url_for("/elsewhere/").replace("localhost", "127.0.0.1")
    httpserver.expect_request(RUN).respond_with_data("", 302, {"Location": elsewhere})
    httpserver.expect_request("/elsewhere/").respond_with_json(OK)
    with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/")) as client:
        client.get_run_status(5)
    assert "Authorization" in httpserver.log[0][0].headers
    assert "Authorization" not in httpserver.log[1][0].headers


def test_a_session_of_the_callers_is_used_and_left_open(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUN, headers={"X-Team": "data"}).respond_with_json(OK)
    with requests.Session() as session:
        session.headers["X-Team"] = "data"
        with DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"), session=session) as client:
            client.get_run_status(5)
        assert session.get(httpserver.url_for(RUN), timeout=5).ok
        assert "Authorization" not in session.headers
