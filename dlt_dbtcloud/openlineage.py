"""A run as OpenLineage tells it, and how to send that to a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlt.common.exceptions import MissingDependencyException

from dlt_dbtcloud.lineage import Event, Lineage
from dlt_dbtcloud.manifest import Manifest
from dlt_dbtcloud.namespaces import dataset_namespace
from dlt_dbtcloud.typing import NodeResult, Run

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

__all__ = ["emit_openlineage", "events_of"]


def events_of(
    run: Run,
    manifest: object,
    results: Iterable[NodeResult],
    catalog: object = None,
    *,
    compiled_code: Mapping[str, str | None] | None = None,
    namespace: str | None = None,
    job_namespace: str | None = None,
) -> list[Event]:
    """Return a run and what became of its nodes as OpenLineage's run events, plain JSON values.

    The run has a START event and, once it is over, a COMPLETE, FAIL or ABORT event. Between them
    each model, seed, snapshot and test that was executed has a START and a COMPLETE or FAIL event,
    with the run as parent. The same run gives the same events with the same ids, so that
    sending them twice does no harm.

    Args:
        run: The run.
        manifest: Its parsed `manifest.json`.
        results: What became of its nodes.
        catalog: Its parsed `catalog.json`, for the columns' types.
        compiled_code: What was compiled for each node, as its `run_results.json` tells; the
            manifest has it in some versions of dbt only.
        namespace: Where the warehouse's tables live, as `dataset_namespace` makes it: no artifact
            tells that. Without it, it names the environment in dbt Cloud, and only this package
            names the tables so.
        job_namespace: Where the jobs live; by default the account in dbt Cloud.

    Raises:
        ValueError: The run tells no time at which it was created.
    """
    project = Manifest(manifest, catalog)
    lineage = Lineage(
        run,
        project,
        namespace or _default_namespace(run, project),
        job_namespace or f"dbt-cloud-{run.get('account_id')}",
        compiled_code or {},
    )
    return [lineage.start(), *lineage.nodes(results), *lineage.end()]


def emit_openlineage(
    events: Iterable[Mapping[str, Any]], client: OpenLineageClient | None = None
) -> None:
    """Send OpenLineage events to a backend, with all their facets.

    Args:
        events: As `openlineage_events` makes them.
        client: A client of `openlineage-python`. Without it, one is made that is configured by
            that package's own means: `OPENLINEAGE_URL`, `openlineage.yml` … Where those are
            missing it prints the events.

    Raises:
        MissingDependencyException: `openlineage-python` is not installed.
        Exception: Whatever the client's transport raises, such as `requests.HTTPError`.
    """
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        raise MissingDependencyException(
            "emit_openlineage", ["dlt-dbtcloud[openlineage]"]
        ) from error
    sender = client or OpenLineageClient()
    try:
        for event in events:
            sender.emit(_run_event(event))
    finally:
        if client is None:
            sender.close()


def _default_namespace(run: Run, project: Manifest) -> str:
    adapter = project.adapter_type or "dbt"
    told = dataset_namespace(adapter, {})
    return told or f"{adapter}://dbt-cloud-environment-{run.get('environment_id')}"


def _run_event(event: Mapping[str, Any]) -> RunEvent:
    """Return an event as the client takes it, with a copy of what the client adds to."""
    from openlineage.client import event_v2

    run, job = event["run"], event["job"]
    return event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=event_v2.RunState(event["eventType"]),
        run=event_v2.Run(run["runId"], facets=dict(run["facets"])),
        job=event_v2.Job(job["namespace"], job["name"], facets=dict(job["facets"])),
        inputs=[event_v2.InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[event_v2.OutputDataset(**dataset) for dataset in event["outputs"]],
    )
