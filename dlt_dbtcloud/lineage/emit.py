"""Sending OpenLineage events to a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.exceptions import MissingDependencyException

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.facet_v2 import JobFacet, RunFacet

__all__ = ["emit_openlineage"]


def emit_openlineage(
    events: Iterable[Mapping[str, Any]], client: OpenLineageClient | None = None
) -> None:
    """Send OpenLineage events to a backend.

    Args:
        events: The events that `openlineage_events` returns.
        client: An `OpenLineageClient`, which stays open. Without it, a client is configured by
            `OPENLINEAGE_URL`, `openlineage.yml` and the other means of `openlineage-python`.

    Raises:
        TypeError: `events` are not run events; none was sent.
        ConfigurationValueError: No backend is configured; no event was sent.
        MissingDependencyException: `openlineage-python` is not installed.
        requests.RequestException: An HTTP backend cannot be reached or refused an event; earlier
            events were sent. Other transports raise their own errors.
    """
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        raise MissingDependencyException(
            "emit_openlineage",
            ["openlineage-python"],
            "Or install the `openlineage` extra of dlt-dbtcloud.",
        ) from error
    run_events = _run_events(events)
    sender = client or OpenLineageClient()
    try:
        if client is None:
            _refuse_default_transport(sender)
        for event in run_events:
            sender.emit(event)
    finally:
        if client is None:
            sender.close()


def _refuse_default_transport(client: OpenLineageClient) -> None:
    """Refuse the console transport, to which an unconfigured client falls back."""
    configured = (client.config.transport or {}).get("type")
    if client.transport.kind == "console" and not configured:
        raise ConfigurationValueError(
            "No OpenLineage backend is configured, so no event was sent. Set `OPENLINEAGE_URL`, "
            "write an `openlineage.yml`, or pass a `client`."
        )


def _run_events(events: Iterable[Mapping[str, Any]]) -> list[RunEvent]:
    if isinstance(events, Mapping):
        raise TypeError("`events` is a single event. Pass a list of events.")
    try:
        return [_run_event(event) for event in events]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TypeError(
            f"`events` are not OpenLineage run events ({error!r}). "
            "Pass the list that `openlineage_events` returns."
        ) from error


def _run_event(event: Mapping[str, Any]) -> RunEvent:
    """Return an event of the client's class, with copies of edited parts."""
    from openlineage.client import event_v2

    run, job = event["run"], event["job"]
    return event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=event_v2.RunState(event["eventType"]),
        run=event_v2.Run(run["runId"], facets={**run["facets"], **_parent(run["facets"])}),
        job=event_v2.Job(
            job["namespace"], job["name"], facets={**job["facets"], **_job_type(job["facets"])}
        ),
        inputs=[event_v2.InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[event_v2.OutputDataset(**dataset) for dataset in event["outputs"]],
    )


def _parent(facets: Mapping[str, Any]) -> dict[str, RunFacet]:
    """Return the parent facet as an object, for transports and transformers that read it."""
    from openlineage.client.facet_v2 import parent_run

    if "parent" not in facets:
        return {}
    parent = facets["parent"]
    root = parent["root"]
    facet = parent_run.ParentRunFacet(
        run=_object(parent_run.Run, parent["run"]),
        job=_object(parent_run.Job, parent["job"]),
        root=parent_run.Root(
            run=_object(parent_run.RootRun, root["run"]),
            job=_object(parent_run.RootJob, root["job"]),
        ),
        producer=parent["_producer"],
    )
    return {"parent": facet}


def _job_type(facets: Mapping[str, Any]) -> dict[str, JobFacet]:
    """Return the job type facet as an object, for transports that read it."""
    from openlineage.client.facet_v2 import job_type_job

    facet = facets["jobType"]
    fields = {name: value for name, value in facet.items() if not name.startswith("_")}
    return {"jobType": job_type_job.JobTypeJobFacet(**fields, producer=facet["_producer"])}


def _object(facet_class: Any, fields: Mapping[str, Any]) -> Any:
    """Return an object of a client's class, with None for fields that are not given."""
    import attr

    return facet_class(**{**dict.fromkeys(attr.fields_dict(facet_class)), **fields})
