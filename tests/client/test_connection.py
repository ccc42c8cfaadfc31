"""A request that never left is distinguished from one that may have arrived."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudConfiguration, DBTCloudTransportError
from dlt_dbtcloud.client.connection import never_left
from dlt_dbtcloud.configuration import connect
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock
from tests.support.servers.proxy import Proxy
from tests.support.servers.wire import WireServer

HOST = "dbt.example.com"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(HOST, "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def secure(
    ca: trustme.CA, context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return an embedded dbt Cloud with TLS, whose host is known to its proxy only."""
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with DBTCloudEmulator(ssl_context=context) as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DBT_CLOUD__BASE_API_URL", f"https://{HOST}")
        yield cloud


def post(cloud: DBTCloudEmulator) -> DBTCloudTransportError:
    """Return the error of one trigger."""
    with (
        DBTCloudClientV2(cloud.api_token, cloud.account_id, f"https://{HOST}") as client,
        pytest.raises(DBTCloudTransportError) as caught,
    ):
        client.trigger_job_run(1)
    return caught.value


def run(job: int) -> Run:
    """Run a job, whose pauses take no time."""
    config = resolve_configuration(DBTCloudConfiguration())
    with connect(config, FakeClock()) as client:
        return Lifecycle(client, config).run_all([Trigger(str(job), {"cause": "a test"})])[0]


def test_a_response_that_is_cut_behind_a_proxy_leaves_one_run(
    secure: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = secure.create_job("Nightly")
    secure.fail("trigger_job", "cut")
    with Proxy(secure.url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert run(job)["is_success"]
        assert all(line.startswith(f"CONNECT {HOST}:443 ") for line in proxy.requests)
    assert len(secure.runs) == 1


def test_a_refused_tunnel_is_tried_again(
    secure: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = secure.create_job("Nightly")
    troubles = ["403 Forbidden", "407 Who are you?", "502 Bad Gateway"]
    with Proxy(secure.url, *troubles, *troubles) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for trouble in troubles:
            error = post(secure)
            assert not error.may_have_arrived
            assert f"Tunnel connection failed: {trouble}" in str(error)
        assert run(job)["is_success"]
    assert len(secure.runs) == 1


@pytest.mark.parametrize("trouble", ["close", "end", "reset", "plain"])
def test_a_failed_tls_handshake_never_left(
    secure: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    with Proxy(secure.url, trouble) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert not post(secure).may_have_arrived
    assert not secure.requests


@pytest.mark.parametrize("trouble", ["hang", "stall"])
def test_a_connection_that_takes_too_long_never_left(
    secure: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.1")
    with Proxy(secure.url, trouble) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert not post(secure).may_have_arrived
    assert not secure.requests


def test_a_certificate_that_is_not_trusted_names_the_setting(
    secure: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with Proxy(secure.url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = post(secure)
    assert not error.may_have_arrived
    assert "`REQUESTS_CA_BUNDLE`" in str(error)
    assert not secure.requests


def test_plain_http_in_place_of_tls_names_the_scheme(cloud: DBTCloudEmulator) -> None:
    url = cloud.url.replace("http:", "https:")
    with DBTCloudClientV2(cloud.api_token, cloud.account_id, url) as client:
        with pytest.raises(DBTCloudTransportError, match="`http://`") as caught:
            client.trigger_job_run(1)
    assert not caught.value.may_have_arrived


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_to_a_proxy_that_is_down_never_left(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        proxies = {scheme: f"http://127.0.0.1:{free.getsockname()[1]}"}
    with pytest.raises(requests.exceptions.ProxyError) as caught:
        requests.post(f"{scheme}://{HOST}/", proxies=proxies, timeout=60)
    assert never_left(caught.value)


def test_a_response_that_a_plain_proxy_cuts_may_have_been_caused() -> None:
    with WireServer(None) as proxy:
        with pytest.raises(requests.exceptions.ProxyError) as caught:
            requests.post(f"http://{HOST}/", proxies={"http": proxy.url}, timeout=60)
        assert proxy.requests == [f"POST http://{HOST}/ HTTP/1.1"]
    assert not never_left(caught.value)


def test_plain_text_within_tls_may_have_been_caused(ca: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, context.wrap_socket(connection, server_side=True) as secured:
            received.append(secured.recv(65536))
            # a middlebox answers on the connection of another
            with socket.socket(fileno=secured.detach()) as bare:
                bare.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(requests.exceptions.RequestException) as caught:
            requests.post(url, verify=str(tmp_path / "ca.pem"), timeout=60)
        server.join()
    assert received
    assert not never_left(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUESTS_CA_BUNDLE", "/nonexistent.pem"),
        ("HTTPS_PROXY", "nonsense://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://"),
        ("HTTPS_PROXY", "http://a:99999"),
    ],
)
def test_a_request_with_unusable_settings_never_left(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with (
        DBTCloudClientV2("t0ken", 1, f"https://{HOST}") as client,
        pytest.raises(DBTCloudTransportError) as caught,
    ):
        client.trigger_job_run(1)
    assert not caught.value.may_have_arrived
