"""OpenLineage run events of a dbt Cloud run and its nodes.

Spec: https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import dlt

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import message_of
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.dbt import TESTS, Manifest, Node, subcommand_of
from dlt_dbtcloud.exceptions import DBTCloudRunCancelled, run_error
from dlt_dbtcloud.lineage.facets import (
    PRODUCER,
    Facets,
    assertions_facet,
    dataset_facets,
    engine_facet,
    error_facet,
    job_type_facet,
    parent_facet,
    sql_facet,
    statistics_facet,
)
from dlt_dbtcloud.lineage.outcomes import BUILDING, Outcome, read_outcomes, requested_run_id
from dlt_dbtcloud.payloads import RELATED, has_finished
from dlt_dbtcloud.redaction import Redact, redact
from dlt_dbtcloud.typing import NodeResult, Run
from dlt_dbtcloud.values import as_datetime, as_text

__all__ = ["Event", "openlineage_events", "read_events", "run_events"]


Event = dict[str, Any]
_Object = dict[str, Any]

_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_EXECUTING = BUILDING | {"test"}
_JOB_TYPES = {"model": "MODEL", "seed": "SEED", "snapshot": "SNAPSHOT", "test": "TEST"}
# a node with any other status was not executed
_EVENT_TYPES = {
    "success": "COMPLETE",
    "pass": "COMPLETE",
    "warn": "COMPLETE",
    "error": "FAIL",
    "fail": "FAIL",
    "runtime error": "FAIL",
    "partial success": "FAIL",
}
# statuses of nodes that wrote to their relation, and of tests that have a result
_WRITTEN = ("success", "warn", "partial success")
_TESTED = ("pass", "warn", "fail")
_MAX_NAMED_FAILURES = 20


@with_dbt_cloud_config
def openlineage_events(
    run: Run | int | str | None = None,
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
) -> list[Event]:
    """Return the OpenLineage run events of a run and its nodes, for `emit_openlineage`.

    The ids depend on the run alone, so sending the events of a run twice is safe. The events of a
    retry cover its own nodes; the runs that it retries have their own events. Text that looks like
    a secret is redacted in messages and queries. Requests, waiting and missing artifacts are as for
    `materialized_assets`.

    Spec: https://openlineage.io/docs/spec/object-model

    Args:
        run: A run as returned by a helper, or its id; by default the configured `run_id`.
        credentials: As for `run_dbt_cloud_job`.
        namespace: The warehouse's namespace by OpenLineage's naming, such as
            `snowflake://ORG-ACCOUNT`, which no artifact contains. The default names the dbt Cloud
            environment, so other producers use another namespace for the same tables.
        job_namespace: The namespace of the jobs; by default the dbt Cloud account.

    Returns:
        The events as plain JSON values, in the order in which to send them: only a START for an
        unfinished run, none for a queued or skipped run.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ValueError: `run` is a dict without an `id`, or the run has no `created_at`.
        DBTCloudAPIError: The API responded with an error that prevents reading the run for now.
        DBTCloudTransportError: The API did not respond.
    """
    run_id = requested_run_id(run, credentials)
    if run_id is None:
        return []
    with connect(resolved_config(credentials, "account_id")) as client:
        return read_events(client, run_id, namespace=namespace, job_namespace=job_namespace)


def read_events(
    client: DBTCloudClientV2,
    run_id: str,
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
) -> list[Event]:
    """Return the OpenLineage run events of a run and its nodes.

    Args:
        client: The client that reads the run and its artifacts.
        run_id: The run.
        namespace: As for `openlineage_events`.
        job_namespace: As for `openlineage_events`.

    Raises:
        ValueError: The run has no `created_at`.
        DBTCloudAPIError: The API responded with an error that prevents reading the run for now.
        DBTCloudTransportError: The API did not respond.
    """
    reader = RunReader(
        client.patient(OUTAGE, cool_down=COOL_DOWN),
        client.get_run_status(run_id, RELATED),
        keeps_code=True,
    )
    events = run_events(
        reader.read_run(),
        read_outcomes(reader),
        namespace=namespace,
        job_namespace=job_namespace,
        redact=client.redact,
    )
    reader.warn()
    return events


def run_events(
    run: Run,
    outcomes: Sequence[Outcome],
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
    redact: Redact = redact,
) -> list[Event]:
    """Return the OpenLineage run events of a run and its nodes.

    A started run has a START event, and a finished run a COMPLETE, FAIL or ABORT event. Between
    them, each executed model, seed, snapshot and test has a START event, and a COMPLETE or FAIL
    event. The run is their parent.

    Args:
        run: The run.
        outcomes: The outcomes of its steps.
        namespace: The warehouse's namespace; by default it names the dbt Cloud environment.
        job_namespace: The namespace of the jobs; by default the dbt Cloud account.
        redact: Redacts a text.

    Raises:
        ValueError: The run has no `created_at`.
    """
    project = outcomes[-1].project if outcomes else Manifest()
    events = _RunEvents(
        run,
        outcomes,
        project.dbt_version or as_text(run.get("dbt_version")),
        namespace or _default_namespace(run, project),
        job_namespace or f"dbt-cloud-{run.get('account_id')}",
        redact,
    )
    return [*events.all()]


def _default_namespace(run: Run, project: Manifest) -> str:
    # by OpenLineage's naming, all BigQuery tables have the same namespace
    if project.adapter_type == "bigquery":
        return "bigquery"
    return f"{project.adapter_type or 'dbt'}://dbt-cloud-environment-{run.get('environment_id')}"


@dataclass(frozen=True)
class _RunEvents:
    """Builds the events of a run."""

    run: Run
    outcomes: Sequence[Outcome]
    dbt_version: str | None
    namespace: str
    job_namespace: str
    redact: Redact

    def all(self) -> Iterator[Event]:
        """Yield the events of the run, with the events of its nodes in between."""
        if has_finished(self.run) or as_datetime(self.run.get("started_at")):
            yield _event("START", self._time("started_at"), self._run(), self._job())
        for outcome in self.outcomes:
            for result in filter(_is_executed, outcome.results):
                yield from self._node_events(outcome, result)
        if has_finished(self.run):
            yield self._end_event()

    def _end_event(self) -> Event:
        error, time = run_error(self.run), self._time("finished_at", "started_at")
        if error is None:
            return _event("COMPLETE", time, self._run(), self._job())
        event_type = "ABORT" if isinstance(error, DBTCloudRunCancelled) else "FAIL"
        facets = self._error_facet(self._failure_message())
        return _event(event_type, time, self._run(facets), self._job())

    def _failure_message(self) -> str | None:
        """Return the run's status message and its failed nodes, else the link to its page."""
        results = (result for outcome in self.outcomes for result in outcome.results)
        failed = [r["unique_id"] for r in results if _EVENT_TYPES.get(r["status"]) == "FAIL"]
        unique_ids = [*dict.fromkeys(failed)]
        named, more = unique_ids[:_MAX_NAMED_FAILURES], len(unique_ids) - _MAX_NAMED_FAILURES
        listed = ", ".join(named) + (f" and {more} more" if more > 0 else "")
        parts = [as_text(self.run.get("status_message")), f"Failed: {listed}." if listed else None]
        page = as_text(self.run.get("href"))
        return " ".join(filter(None, parts)) or (f"See the run's steps: {page}" if page else None)

    def _node_events(self, outcome: Outcome, result: NodeResult) -> Iterator[Event]:
        """Yield the START event and the end event of an executed node."""
        job, event_type = self._node_job(outcome, result), _EVENT_TYPES[result["status"]]
        started = _iso_time(result["started_at"]) or self._time("started_at")
        ended = _iso_time(result["completed_at"]) or started
        message = message_of(result, outcome.project)
        error = self._error_facet(message) if event_type == "FAIL" else {}
        read, written = self._inputs(outcome, result), self._outputs(outcome, result)
        yield _event("START", started, self._node_run(result), deepcopy(job), read, written)
        read = self._inputs(outcome, result, _assertions(outcome, result))
        written = self._written_outputs(outcome, result)
        yield _event(event_type, ended, self._node_run(result, error), job, read, written)

    def _inputs(
        self, outcome: Outcome, result: NodeResult, assertions: Facets | None = None
    ) -> list[_Object]:
        """Return the datasets that a node reads; the dataset of the tested node has assertions."""
        tested = _tested_id(outcome.project, result["unique_id"])
        datasets: dict[str, _Object] = {}
        for node in outcome.read_nodes(result):
            if not (node["identifier"] or node["schema"]):
                continue
            facets = assertions if assertions and node["unique_id"] == tested else {}
            dataset = _dataset(node, self.namespace, inputFacets=facets)
            # several sources may be the same table
            known = datasets.setdefault(dataset["name"], dataset)
            for name in ("facets", "inputFacets"):
                known[name] = {**dataset[name], **known[name]}
        return [*datasets.values()]

    def _outputs(
        self, outcome: Outcome, result: NodeResult, statistics: Facets | None = None
    ) -> list[_Object]:
        """Return the dataset that a node writes; none for a test."""
        if result["resource_type"] == "test":
            return []
        node = outcome.built_node(result)
        return [_dataset(node, self.namespace, outputFacets=statistics or {})]

    def _written_outputs(self, outcome: Outcome, result: NodeResult) -> list[_Object]:
        if result["status"] not in _WRITTEN or result["resource_type"] in TESTS:
            return []
        return self._outputs(outcome, result, statistics_facet(outcome.rows_written(result)))

    def _time(self, *names: str) -> str:
        """Return the first known of some times of the run, else when it was created."""
        times = (_iso_time(self.run.get(name)) for name in (*names, "created_at"))
        time = next(filter(None, times), None)
        if time is None:
            raise ValueError(f"Run `{self.run.get('id')}` has no `created_at`. Fetch it again.")
        return time

    def _run_id(self, *parts: object) -> str:
        """Return the UUID of the run or of a part of it, from their ids."""
        names = ["dbt-cloud", self.run.get("account_id"), self.run.get("id"), *parts]
        return str(uuid5(NAMESPACE_URL, "/".join(str(name) for name in names)))

    def _error_facet(self, message: str | None) -> Facets:
        return error_facet(self.redact(message or "No reason was given."))

    def _run(self, facets: Facets | None = None) -> _Object:
        facets = {**engine_facet(self.dbt_version), **(facets or {})}
        return {"runId": self._run_id(), "facets": facets}

    def _job(self) -> _Object:
        name = f"job-{self.run.get('job_definition_id')}"
        return {"namespace": self.job_namespace, "name": name, "facets": job_type_facet("JOB")}

    def _node_run(self, result: NodeResult, facets: Facets | None = None) -> _Object:
        run = self._run(facets)
        run_id = self._run_id(result["step_index"], result["unique_id"])
        return {"runId": run_id, "facets": {**parent_facet(run, self._job()), **run["facets"]}}

    def _node_job(self, outcome: Outcome, result: NodeResult) -> _Object:
        job, unique_id = self._job(), result["unique_id"]
        code = self.redact(outcome.compiled_code.get(unique_id) or "")
        job_type = job_type_facet(_JOB_TYPES[result["resource_type"]])
        facets = {**job_type, **sql_facet(outcome.project, unique_id, code)}
        return {**job, "name": f"{job['name']}.{unique_id}", "facets": facets}


def _is_executed(result: NodeResult) -> bool:
    executes = subcommand_of(result["command"]) in _EXECUTING
    return executes and result["resource_type"] in _JOB_TYPES and result["status"] in _EVENT_TYPES


def _assertions(outcome: Outcome, result: NodeResult) -> Facets:
    is_tested = result["resource_type"] == "test" and result["status"] in _TESTED
    return assertions_facet(outcome.project, result) if is_tested else {}


def _tested_id(project: Manifest, unique_id: str) -> str | None:
    """Return the id of the node that a test tests; None if it is ambiguous."""
    attached = project.entry(unique_id).attached_node
    dependencies = project.dependencies(unique_id)
    return attached or (dependencies[0] if len(dependencies) == 1 else None)


def _dataset(node: Node, namespace: str, **facets: Facets) -> _Object:
    table = node["identifier"] or (not node["schema"] and node["relation_name"]) or node["name"]
    return {
        "namespace": namespace,
        "name": ".".join(filter(None, (node["database"], node["schema"], table))),
        "facets": dataset_facets(node, namespace),
        **facets,
    }


def _event(
    event_type: str,
    time: str,
    run: _Object,
    job: _Object,
    inputs: Sequence[_Object] = (),
    outputs: Sequence[_Object] = (),
) -> Event:
    return {
        "eventType": event_type,
        "eventTime": time,
        "run": run,
        "job": job,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _iso_time(value: object) -> str | None:
    """Return a time in ISO 8601 in UTC; None if it is invalid."""
    time = as_datetime(value)
    return time.isoformat() if time else None
