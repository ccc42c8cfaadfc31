"""How OpenLineage events are sent to a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.exceptions import MissingDependencyException

__all__ = ["emit_openlineage"]


if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.facet_v2 import JobFacet, RunFacet


def emit_openlineage(
    events: Iterable[Mapping[str, Any]], client: OpenLineageClient | None = None
) -> None:
    """Send OpenLineage events to a backend, with all their facets.

    Args:
        events: As `openlineage_events` makes them.
        client: A client of `openlineage-python`, which stays open. Without it, one is made that is
            configured by that package's own means: `OPENLINEAGE_URL`, `openlineage.yml` …

    Raises:
        TypeError: `events` are not what `openlineage_events` makes; nothing was sent.
        ConfigurationValueError: No backend is configured; nothing was sent.
        MissingDependencyException: `openlineage-python` is not installed.
        requests.RequestException: A backend cannot be reached by HTTP, or refuses; other
            transports raise errors of their own. What was sent before stays sent.
    """
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        raise MissingDependencyException(
            "emit_openlineage", ["dlt-dbtcloud[openlineage]"]
        ) from error
    told = _run_events(events)
    sender = client or OpenLineageClient()
    try:
        if client is None:
            _refuse_silence(sender)
        for event in told:
            sender.emit(event)
    finally:
        if client is None:
            sender.close()


def _refuse_silence(sender: OpenLineageClient) -> None:
    """Refuse what the client falls back to: a log that nobody has asked to see."""
    configured = (sender.config.transport or {}).get("type")
    if sender.transport.kind == "console" and not configured:
        raise ConfigurationValueError(
            "No OpenLineage backend is configured, so nothing was sent. Set `OPENLINEAGE_URL`, "
            "write an `openlineage.yml`, or pass a `client`."
        )


def _run_events(events: Iterable[Mapping[str, Any]]) -> list[RunEvent]:
    if isinstance(events, Mapping):
        raise TypeError("`events` is a single event. Pass a list of them.")
    try:
        return [_run_event(event) for event in events]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TypeError(
            f"`events` are not what `openlineage_events` makes ({error!r}). Pass its list."
        ) from error


def _run_event(event: Mapping[str, Any]) -> RunEvent:
    """Return an event as the client takes it, with a copy of what the client adds to."""
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
    """Return the parent as an object, which transports and transformers look into."""
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
    """Return the kind of a job as an object, by which transports choose how to send."""
    from openlineage.client.facet_v2 import job_type_job

    told = {name: value for name, value in facets["jobType"].items() if not name.startswith("_")}
    producer = facets["jobType"]["_producer"]
    return {"jobType": job_type_job.JobTypeJobFacet(**told, producer=producer)}


def _object(known: Any, told: Mapping[str, Any]) -> Any:
    """Return an object of the client's that says no more than is told."""
    import attr

    return known(**{**dict.fromkeys(attr.fields_dict(known)), **told})
