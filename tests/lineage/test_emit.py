"""OpenLineage events arrive as they are, whatever sends them, and are never lost in silence."""

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
from tests.support.nodes import RUN, manifest, node, outcome, result

SHOP = manifest(
    node("model.shop.a"),
    node("test.shop.not_null_a_id.0f", "model.shop.a", attached_node="model.shop.a"),
)

Event = dict[str, Any]


@pytest.fixture
def environ(isolated: object) -> Iterator[None]:
    """Undo what the client does to the environment."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def received(server: HTTPServer) -> list[Event]:
    """Return what arrived, without the one tag that the client signs each run with."""
    events = [request.get_json() for request, _ in server.log]
    for event in events:
        tags = event["run"]["facets"].pop("tags")["tags"]
        assert [tag["key"] for tag in tags] == ["openlineage_client_version"]
    return events


def test_events_arrive_as_they_are(
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


class Kept(Transport):
    """Keeps what it is to send."""

    kind = "kept"
    config_class = Config
    last: ClassVar[Kept]

    def __init__(self, config: Config | None = None) -> None:  # noqa: ARG002, as the client calls it
        Kept.last = self
        self.events: list[RunEvent] = []
        self.closed = 0

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def close(self, timeout: float = -1) -> bool:  # noqa: ARG002, as the client calls it
        self.closed += 1
        return True


def shop_events() -> list[Event]:
    results = [result("model.shop.a"), result("test.shop.not_null_a_id.0f", "pass")]
    return run_events(RUN, [outcome(SHOP, *results)])


def test_a_client_of_ones_own_is_used_and_stays_open(environ: None) -> None:
    kept = Kept()
    client = OpenLineageClient(transport=kept)
    emit_openlineage(shop_events()[:1], client)
    emit_openlineage(shop_events()[1:], client)
    assert len(kept.events) == 6
    assert kept.closed == 0


def test_a_client_that_is_made_here_is_closed(environ: None, isolated: Path) -> None:
    config = "transport: {type: tests.lineage.test_emit.Kept}"
    (isolated / "openlineage.yml").write_text(config)
    emit_openlineage(shop_events())
    assert (len(Kept.last.events), Kept.last.closed) == (6, 1)


def test_transports_find_the_parent_and_the_kind_of_a_job(environ: None) -> None:
    kept = Kept()
    emit_openlineage(shop_events(), OpenLineageClient(transport=kept))
    kafka = object.__new__(KafkaTransport)
    assert {kafka._get_message_key(event) for event in kept.events} == {"run:dbt-cloud-1/job-5"}
    kinds = [(event.job.facets or {})["jobType"] for event in kept.events]
    told = [(getattr(kind, "integration", ""), getattr(kind, "jobType", "")) for kind in kinds]
    assert told[:2] == [("DBT", "JOB"), ("DBT", "MODEL")]


def test_a_transformer_of_the_client_changes_the_parent_too(
    environ: None, httpserver: HTTPServer
) -> None:
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


def test_without_a_backend_nothing_is_lost_in_silence(environ: None) -> None:
    with pytest.raises(ConfigurationValueError, match="Set `OPENLINEAGE_URL`"):
        emit_openlineage(shop_events())


@pytest.mark.parametrize(
    ("name", "value"), [("_DISABLED", "true"), ("__TRANSPORT__TYPE", "console")]
)
def test_what_is_to_be_silent_is(
    environ: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"OPENLINEAGE{name}", value)
    emit_openlineage(shop_events())


@pytest.mark.parametrize(
    "events", [shop_events()[0], [shop_events()[0], {}], json.dumps(shop_events()), [None]]
)
def test_what_are_no_events_is_refused_before_any_is_sent(environ: None, events: Any) -> None:
    kept = Kept()
    with pytest.raises(TypeError, match="`events`"):
        emit_openlineage(events, OpenLineageClient(transport=kept))
    assert kept.events == []


def test_a_backend_that_refuses_is_an_error(environ: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/lineage", method="POST").respond_with_data("no", status=400)
    config = HttpConfig.from_dict({"url": httpserver.url_for(""), "endpoint": "lineage"})
    client = OpenLineageClient(transport=HttpTransport(config))
    with pytest.raises(requests.HTTPError, match="400"):
        emit_openlineage(run_events(RUN, []), client)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(MissingDependencyException, match=r"dlt-dbtcloud\[openlineage\]"):
        emit_openlineage([])
