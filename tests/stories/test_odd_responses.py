"""Whatever a server responds, a public function returns or raises a `DBTCloudException`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudConfiguration, DBTCloudException
from dlt_dbtcloud.artifacts.results import node_results
from dlt_dbtcloud.configuration import connect
from dlt_dbtcloud.lineage.assets import read_assets
from dlt_dbtcloud.lineage.openlineage import read_events
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from tests.support.clock import FakeClock
from tests.support.servers.wire import WireServer

TOKEN = "dbtc_s3cr3t0123456789"
# on a fake clock, enough for a second attempt and for a search for a run whose trigger was lost
SECONDS = 1.0
JSON = b"Content-Type: application/json"
FIELDS = (
    b'"job_definition_id":7,"created_at":"2026-01-31 06:00:00+00:00",'
    b'"finished_at":"2026-01-31 06:01:00+00:00"'
)


def response(status: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    head = b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"Connection: close"])
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def redirect(location: bytes) -> bytes:
    return response(b"302 Found", b"", b"Location: " + location)


def page(charset: bytes, status: bytes = b"404 Not Found") -> bytes:
    return response(status, b"<h1>\xff", b"Content-Type: text/html; charset=" + charset)


def encoded(encoding: bytes) -> bytes:
    return response(b"200 OK", b"xxx", b"Content-Encoding: " + encoding)


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def limited(retry_after: bytes) -> bytes:
    return response(b"429 Slow Down", b"", b"Retry-After: " + retry_after)


def payload(body: bytes, status: bytes = b"200 OK") -> bytes:
    return response(status, body, JSON)


def run(fields: bytes) -> bytes:
    return payload(
        b'{"status":{"code":200,"is_success":true},"data":{"id":5,%s,%s}}' % (FIELDS, fields)
    )


def data(value: bytes) -> bytes:
    return payload(b'{"status":{"code":200,"is_success":true},"data":' + value + b"}")


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


LONG_ID = b"9" * 400
ODD_FIELDS = (
    b'"status_humanized":5,"href":7,"run_steps":5,"trigger":[],"job":3,"finished_at":{},'
    b'"status_message":["x"],"audit":{"cancellation":5},"retrying_run_id":"x"'
)
# each reader of JSON fails in its first request
WITHOUT_PAYLOAD = {
    "redirect to itself": redirect(b"/api/v2/accounts/1/runs/5/"),
    "redirect to no URL": redirect(b"ht!tp://[::1"),
    "redirect in no encoding": redirect(b"\xff\xfe://\xff"),
    "redirect to a port": redirect(b"http://example.com:99999/"),
    "redirect to a file": redirect(b"file:///etc/passwd"),
    "redirect to a long label": redirect(b"http://" + b"a" * 70 + b".x/"),
    "redirect to an empty label": redirect(b"http://.example/"),
    "redirect to nowhere": response(b"302 Found"),
    "continue": response(b"100 Continue"),
    "switching": response(b"101 Switching Protocols"),
    "early hints": response(b"103 Early Hints"),
    "not modified": response(b"304 Not Modified"),
    "no content": response(b"204 No Content"),
    "status 0": response(b"0 X"),
    "status 600": response(b"600 X", b"x"),
    "status 999": response(b"999 X", b"x"),
    "status abc": response(b"abc X"),
    "charset nonsense": page(b"nonsense"),
    "charset nonsense of a success": page(b"nonsense", b"200 OK"),
    "charset undefined": page(b"undefined"),
    "charset idna": page(b"idna"),
    "charset hex": page(b"hex"),
    "charset of a NUL": page(b"\x00"),
    "charset of bytes": page(b"\xff"),
    **{f"invalid {name}": encoded(name.encode()) for name in ("gzip", "deflate", "br", "zstd")},
    "unknown encoding": encoded(b"nonsense"),
    "many encodings": encoded(b",".join([b"gzip"] * 50)),
    "long header": response(b"200 OK", b"", b"X: " + b"y" * 100_000),
    "many headers": response(b"200 OK", b"", *[b"X: y"] * 500),
    "invalid header": response(b"200 OK", b"", b"nonsense", b" x"),
    "nothing": b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\n",
    "invalid chunk": chunked(b"zz\r\n"),
    "negative chunk": chunked(b"-5\r\nabc\r\n"),
    "huge chunk": chunked(b"F" * 40 + b"\r\nabc\r\n"),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 7, 8\r\n\r\n{}",
    "negative Retry-After": limited(b"-5"),
    "long Retry-After": limited(b"9" * 500),
    "Retry-After of nonsense": limited(b"Fri, 99 Foo 99999999999 99:99:99 +9999"),
    "Retry-After of a digit": limited(b"\xb2"),
}
PAYLOADS = {
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n{}",
    "UTF-16": response(
        b"200 OK", '{"status":{},"data":{"id":5}}'.encode("utf-16"), JSON + b"; charset=utf-16"
    ),
    "empty list": data(b"[]"),
    "number": data(b"5"),
    "text": data(b'"x"'),
    "null": data(b"null"),
    "NaN": data(b'{"id":NaN}'),
    "long id": data(b'{"id":' + LONG_ID + b"}"),
    "fraction": data(b'{"id":5.5}'),
    "negative id": data(b'{"id":-5}'),
    "other id": data(b'{"id":6,"status":10}'),
    "deep data": data(nested(100_000)),
    "deep message": payload(
        b'{"status":{"code":400,"is_success":false,"user_message":%s},"data":{"x":%s}}'
        % (nested(1000), nested(1000)),
        b"400 Bad Request",
    ),
    "deep detail": payload(b'{"detail":%s}' % nested(1020), b"400 Bad Request"),
    "deep run": run(b'"status":20,"trigger":{"steps_override":%s}' % nested(1000)),
    "lone surrogate": data(b'{"id":5,"x":"\\ud800"}'),
    "invalid UTF-8": data(b'{"id":5,"x":"\xff"}'),
    "list of a status": payload(b'{"status":[],"data":{"id":5}}'),
    "code of letters": payload(b'{"status":{"code":"x","is_success":false}}'),
    "odd status": run(b'"status":"x","is_complete":"no",' + ODD_FIELDS),
    "odd success": run(b'"status":10,' + ODD_FIELDS),
    "odd failure": run(b'"status":20,' + ODD_FIELDS),
    "odd cancellation": run(b'"status":30,' + ODD_FIELDS),
    "odd steps": run(b'"status":20,"run_steps":[5,null,{"index":"x","logs":5,"name":7}]'),
    "odd job": run(b'"status":20,"job":{"name":5,"execute_steps":["dbt build",5]}'),
    "failure": run(b'"status":20,"can_retry":true'),
}


class Caller:
    """A configuration and a client of a server, for all functions."""

    def __init__(self, url: str) -> None:
        self.config = DBTCloudConfiguration(TOKEN, "1", url, run_id="5", timeout=SECONDS)
        self.client = connect(self.config, FakeClock())

    @property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(self.client, self.config)


# the calls behind the public functions, which resolve no config
CALLS: dict[str, Callable[[Caller], Any]] = {
    "run_dbt_cloud_job": lambda caller: caller.lifecycle.run_all(
        [Trigger("7", {"cause": "x"}, timeout=SECONDS)]
    ),
    "retry_dbt_cloud_run": lambda caller: caller.lifecycle.retry(5),
    "get_dbt_cloud_run_status": lambda caller: caller.lifecycle.follow(5),
    "cancel_dbt_cloud_run": lambda caller: caller.lifecycle.cancel(5),
    "get_dbt_cloud_run_results": lambda caller: node_results(caller.client, 5),
    "materialized_assets": lambda caller: read_assets(caller.client, "5"),
    "openlineage_events": lambda caller: read_events(caller.client, "5"),
    "get_account": lambda caller: caller.client.get_account(),
    "list_runs": lambda caller: [*caller.client.list_runs()],
    "list_jobs": lambda caller: [*caller.client.list_jobs()],
    "list_run_artifacts": lambda caller: caller.client.list_run_artifacts(5),
    "get_run_artifact": lambda caller: caller.client.get_run_artifact(5, "manifest.json"),
    "download_run_artifact": lambda caller: caller.client.download_run_artifact(
        5, "manifest.json", Path("manifest.json")
    ),
    "get_endpoint": lambda caller: caller.client.get_endpoint("x/"),
    "post_endpoint": lambda caller: caller.client.post_endpoint("x/"),
}


# calls by the one whose first request is sent and read alike
ALIKE = {
    "cancel_dbt_cloud_run": "get_dbt_cloud_run_status",
    "retry_dbt_cloud_run": "get_dbt_cloud_run_status",
    "get_dbt_cloud_run_results": "get_dbt_cloud_run_status",
    "materialized_assets": "get_dbt_cloud_run_status",
    "openlineage_events": "get_dbt_cloud_run_status",
    "get_account": "get_dbt_cloud_run_status",
    "get_endpoint": "get_dbt_cloud_run_status",
    "list_jobs": "list_runs",
    "list_run_artifacts": "list_runs",
    "post_endpoint": "run_dbt_cloud_job",
}


@pytest.mark.parametrize("responses", [WITHOUT_PAYLOAD, PAYLOADS], ids=["other", "payloads"])
def test_every_error_is_one_of_ours(
    responses: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    calls = [call for call in CALLS if responses is PAYLOADS or call not in ALIKE]
    for name in responses:
        messages: dict[str, str] = {}
        with WireServer(*[responses[name]] * 10_000) as server:
            caller = Caller(server.url)
            for call in calls:
                # a run without a `created_at` has no events, as the docstring says
                named: type[Exception] = (
                    ValueError if call == "openlineage_events" else DBTCloudException
                )
                answered = len(server.requests)
                try:
                    CALLS[call](caller)
                except (DBTCloudException, named) as error:
                    messages[call] = str(error)
                assert len(server.requests) > answered
        assert responses is PAYLOADS or {*ALIKE.values()} <= {*messages}
        assert TOKEN not in str(messages)
    assert TOKEN not in caplog.text
