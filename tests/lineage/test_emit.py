"""Sent events equal the built events, and none is dropped silently."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.exceptions import MissingDependencyException
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport import Config, Transport
from openlineage.client.transport.http import HttpConfig, HttpTransport
from openlineage.client.transport.kafka import KafkaTransport
from openlineage.client.transport.transform import TransformConfig, TransformTransport
from pytest_httpserver import HTTPServer

from dlt_dbtcloud.lineage.emit import emit_openlineage
from dlt_dbtcloud.lineage.openlineage import run_events
from tests.support.dbt.nodes import RUN, manifest, node, outcome, result

SHOP = manifest(
    node("model.shop.a"),
    node("test.shop.not_null_a_id.0f", "model.shop.a", attached_node="model.shop.a"),
)

Event = dict[str, Any]


@pytest.fixture
def environ(isolated: object) -> Iterator[None]:
    """Restore the environment, which the client changes."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def received(server: HTTPServer) -> list[Event]:
    """Return the received events without the version tag that the client adds to each run."""
    events = [request.get_json() for request, _ in server.log]
    for event in events:
        tags = event["run"]["facets"].pop("tags")["tags"]
        assert [tag["key"] for tag in tags] == ["openlineage_client_version"]
    return events


def test_received_events_equal_sent_events(
    environ: None, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/api/v1/lineage", method="POST").respond_with_json({})
    monkeypatch.setenv("OPENLINEAGE_URL", httpserver.url_for(""))
    results = [
        result("model.shop.a", rows_affected=1),
        result("model.shop.a", "error", step_index=5, message="No."),
        result("test.shop.not_null_a_id.0f", "warn", failures=1),
    ]
    events = run_events(RUN, [outcome(SHOP, *results)])
    before = json.dumps(events)
    emit_openlineage(events)
    assert received(httpserver) == events
    assert json.dumps(events) == before


class MemoryTransport(Transport):
    """A transport that stores events in memory."""

    kind = "memory"
    config_class = Config
    last: ClassVar[MemoryTransport]

    def __init__(self, config: Config | None = None) -> None:  # noqa: ARG002, as in the base class
        MemoryTransport.last = self
        self.events: list[RunEvent] = []
        self.closed = 0

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def close(self, timeout: float = -1) -> bool:  # noqa: ARG002, as in the base class
        self.closed += 1
        return True


def shop_events() -> list[Event]:
    results = [result("model.shop.a"), result("test.shop.not_null_a_id.0f", "pass")]
    return run_events(RUN, [outcome(SHOP, *results)])


def test_a_given_client_is_used_and_stays_open(environ: None) -> None:
    transport = MemoryTransport()
    client = OpenLineageClient(transport=transport)
    emit_openlineage(shop_events()[:1], client)
    emit_openlineage(shop_events()[1:], client)
    assert len(transport.events) == 6
    assert transport.closed == 0


def test_an_own_client_is_closed(environ: None, isolated: Path) -> None:
    config = "transport: {type: tests.lineage.test_emit.MemoryTransport}"
    (isolated / "openlineage.yml").write_text(config)
    emit_openlineage(shop_events())
    assert (len(MemoryTransport.last.events), MemoryTransport.last.closed) == (6, 1)


def test_transports_can_read_the_parent_and_the_job_type(environ: None) -> None:
    transport = MemoryTransport()
    emit_openlineage(shop_events(), OpenLineageClient(transport=transport))
    kafka = object.__new__(KafkaTransport)
    assert {kafka._get_message_key(event) for event in transport.events} == {
        "run:dbt-cloud-1/job-5"
    }
    facets = [(event.job.facets or {})["jobType"] for event in transport.events]
    types = [(getattr(facet, "integration", ""), getattr(facet, "jobType", "")) for facet in facets]
    assert types[:2] == [("DBT", "JOB"), ("DBT", "MODEL")]


def test_a_transformer_changes_the_parent_too(environ: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/lineage", method="POST").respond_with_json({})
    name = "openlineage.client.transport.transform.JobNamespaceReplaceTransformer"
    to = {"type": "http", "url": httpserver.url_for(""), "endpoint": "lineage"}
    config = {
        "type": "transform",
        "transformer_class": name,
        "transformer_properties": {"new_job_namespace": "mine"},
        "transport": to,
    }
    client = OpenLineageClient(transport=TransformTransport(TransformConfig.from_dict(config)))
    emit_openlineage(shop_events(), client)
    for event in received(httpserver):
        parents = [facet for name, facet in event["run"]["facets"].items() if name == "parent"]
        jobs = [event["job"], *(each["job"] for p in parents for each in (p, p["root"]))]
        assert {job["namespace"] for job in jobs} == {"mine"}


def test_without_a_backend_emitting_raises(environ: None) -> None:
    with pytest.raises(ConfigurationValueError, match="Set `OPENLINEAGE_URL`"):
        emit_openlineage(shop_events())


@pytest.mark.parametrize(
    ("name", "value"), [("_DISABLED", "true"), ("__TRANSPORT__TYPE", "console")]
)
def test_a_backend_can_be_disabled_or_be_the_console(
    environ: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"OPENLINEAGE{name}", value)
    emit_openlineage(shop_events())


@pytest.mark.parametrize(
    "events", [shop_events()[0], [shop_events()[0], {}], json.dumps(shop_events()), [None]]
)
def test_invalid_events_are_refused_before_any_is_sent(environ: None, events: Any) -> None:
    transport = MemoryTransport()
    with pytest.raises(TypeError, match="`events`"):
        emit_openlineage(events, OpenLineageClient(transport=transport))
    assert transport.events == []


def test_a_refusing_backend_raises(environ: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/lineage", method="POST").respond_with_data("no", status=400)
    config = HttpConfig.from_dict({"url": httpserver.url_for(""), "endpoint": "lineage"})
    client = OpenLineageClient(transport=HttpTransport(config))
    with pytest.raises(requests.HTTPError, match="400"):
        emit_openlineage(run_events(RUN, []), client)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(MissingDependencyException, match="`openlineage` extra of dlt-dbtcloud"):
        emit_openlineage([])
