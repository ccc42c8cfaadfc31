"""The OpenLineage events of a run and of its nodes.

Spec: https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import dlt

from dlt_dbtcloud.artifacts.reader import RELATED, RunReader
from dlt_dbtcloud.configuration import DBTCloudConfiguration, connect, with_dbt_cloud_config
from dlt_dbtcloud.dbt.commands import subcommand
from dlt_dbtcloud.dbt.manifest import Manifest, Node
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
from dlt_dbtcloud.payloads import is_over
from dlt_dbtcloud.typing import NodeResult, Run
from dlt_dbtcloud.values import as_datetime, as_text

__all__ = ["Event", "openlineage_events", "run_events"]


Dataset = dict[str, Any]

# statuses with which a node has written to its relation
_WRITTEN = ("success", "partial success")
# statuses of a test that could be executed
_TESTED = ("pass", "warn", "fail")


Event = dict[str, Any]

_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_EXECUTING = BUILDING | {"test"}
_KINDS = {"model": "MODEL", "seed": "SEED", "snapshot": "SNAPSHOT", "test": "TEST"}
# a node of any other status was not executed
_NODE_ENDS = {
    "success": "COMPLETE",
    "pass": "COMPLETE",
    "warn": "COMPLETE",
    "error": "FAIL",
    "fail": "FAIL",
    "runtime error": "FAIL",
    "partial success": "FAIL",
}
_MOST_NAMED = 20


@with_dbt_cloud_config
def openlineage_events(
    run: Run | int | str | None = None,
    credentials: DBTCloudConfiguration = dlt.secrets.value,
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
) -> list[Event]:
    """Return a run and what became of its nodes as OpenLineage's run events, plain JSON values.

    `emit_openlineage` sends them. The same run gives the same ids each time, and once it is over
    the same events, so that sending them twice does no harm. A retry has events of its own nodes
    only: those of the runs that it retries are told by their own. What looks like a secret is cut
    out of messages and queries. What cannot be read is left out, and said in one warning; the
    requests are those of `materialized_assets`.

    Spec: https://openlineage.io/docs/spec/object-model

    Args:
        run: The run, as a helper returns it, or its id; by default the one that is configured.
        credentials: As for `run_dbt_cloud_job`.
        namespace: Where the warehouse's tables live by OpenLineage's naming, for example
            `snowflake://ORG-ACCOUNT`: no artifact tells that. Without it, it names the environment
            in dbt Cloud, and only this package names the tables so.
        job_namespace: Where the jobs live; by default the account in dbt Cloud.

    Returns:
        The events in the order in which to send them; just a START for a run in progress, and none
        for a run that has not started, or never was because there was nothing to build.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        ValueError: `run` is a dict without an `id`, or tells no time at which it was created.
        DBTCloudAPIError: The run, or for now an artifact, cannot be read: the API answered with an
            error.
        DBTCloudTransportError: There was no answer.
    """
    run_id = requested_run_id(run, credentials)
    if run_id is None:
        return []
    with connect(credentials) as client:
        reader = RunReader(client, client.get_run_status(run_id, RELATED), keeps_code=True)
        events = run_events(
            reader.run,
            read_outcomes(reader),
            namespace=namespace,
            job_namespace=job_namespace,
            hide=client.without_token,
        )
        reader.problems.warn()
        return events


def run_events(
    run: Run,
    outcomes: Sequence[Outcome],
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
    hide: Callable[[str], str] = str,
) -> list[Event]:
    """Return a run and what became of its nodes as OpenLineage's run events, plain JSON values.

    The run has a START event once it has started and, once it is over, a COMPLETE, FAIL or ABORT
    event. Between them each model, seed, snapshot and test that was executed has a START and a
    COMPLETE or FAIL event, with the run as parent.

    Args:
        run: The run.
        outcomes: What its steps did.
        namespace: Where the warehouse's tables live: no artifact tells that. Without it, it names
            the environment in dbt Cloud, and only this package names the tables so.
        job_namespace: Where the jobs live; by default the account in dbt Cloud.
        hide: Cuts the API's token out of a text.

    Raises:
        ValueError: The run tells no time at which it was created.
    """
    project = outcomes[-1].project if outcomes else Manifest(None)
    lineage = _Lineage(
        run,
        outcomes,
        project.dbt_version or as_text(run.get("dbt_version")),
        namespace or _default_namespace(run, project),
        job_namespace or f"dbt-cloud-{run.get('account_id')}",
        hide,
    )
    return [*lineage.events()]


def _default_namespace(run: Run, project: Manifest) -> str:
    # BigQuery's tables have no other place than their names
    if project.adapter_type == "bigquery":
        return "bigquery"
    return f"{project.adapter_type or 'dbt'}://dbt-cloud-environment-{run.get('environment_id')}"


@dataclass(frozen=True)
class _Lineage:
    """A run with its outcomes, and the namespaces in which its datasets and jobs are known."""

    run: Run
    outcomes: Sequence[Outcome]
    dbt_version: str | None
    namespace: str
    job_namespace: str
    hide: Callable[[str], str]

    def events(self) -> Iterator[Event]:
        """Yield the events of the run, with those of its nodes between them."""
        if is_over(self.run) or as_datetime(self.run.get("started_at")):
            yield _event("START", self._time("started_at"), self._own_run(), self._own_job())
        for outcome in self.outcomes:
            for result in filter(_is_told, outcome.results):
                yield from self._node(outcome, result)
        if is_over(self.run):
            yield self._end()

    def _end(self) -> Event:
        error, time = run_error(self.run), self._time("finished_at", "started_at")
        if error is None:
            return _event("COMPLETE", time, self._own_run(), self._own_job())
        kind = "ABORT" if isinstance(error, DBTCloudRunCancelled) else "FAIL"
        return _event(kind, time, self._own_run(self._error(self._reason())), self._own_job())

    def _reason(self) -> str | None:
        """Return what dbt Cloud says of the run's end, with the nodes that failed."""
        results = (result for outcome in self.outcomes for result in outcome.results)
        ended = [r["unique_id"] for r in results if _NODE_ENDS.get(r["status"]) == "FAIL"]
        failed = [*dict.fromkeys(ended)]
        more = len(failed) - _MOST_NAMED
        named = ", ".join(failed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        told = [as_text(self.run.get("status_message")), f"Failed: {named}." if named else None]
        link = as_text(self.run.get("href"))
        return " ".join(filter(None, told)) or (f"Its steps tell: {link}" if link else None)

    def _node(self, outcome: Outcome, result: NodeResult) -> Iterator[Event]:
        """Yield the two events of a node that was executed."""
        job, kind = self._node_job(outcome, result), _NODE_ENDS[result["status"]]
        began = _instant(result["started_at"]) or self._time("started_at")
        ended = _instant(result["completed_at"]) or began
        why = self._error(result["message"]) if kind == "FAIL" else {}
        for event, time, facets in (("START", began, {}), (kind, ended, why)):
            run, is_end = self._node_run(result, facets), event == kind
            read = inputs(outcome, result, self.namespace, is_over=is_end)
            written = outputs(outcome, result, self.namespace, is_over=is_end)
            yield _event(event, time, run, deepcopy(job), read, written)

    def _time(self, *names: str) -> str:
        """Return the first of these times that the run tells, or when it was created."""
        times = (_instant(self.run.get(name)) for name in (*names, "created_at"))
        told = next((time for time in times if time), None)
        if told is None:
            raise ValueError(f"Run `{self.run.get('id')}` has no `created_at`. Fetch it anew.")
        return told

    def _run_id(self, *parts: object) -> str:
        """Return the id of the run, or of a part of it: the same whenever it is asked for."""
        names = ["dbt-cloud", self.run.get("account_id"), self.run.get("id"), *parts]
        return str(uuid5(NAMESPACE_URL, "/".join(str(name) for name in names)))

    def _error(self, message: str | None) -> Facets:
        return error_facet(self.hide(message or "No reason was given."))

    def _own_run(self, facets: Facets | None = None) -> Event:
        facets = {**engine_facet(self.dbt_version), **(facets or {})}
        return {"runId": self._run_id(), "facets": facets}

    def _own_job(self) -> Event:
        name = f"job-{self.run.get('job_definition_id')}"
        return {"namespace": self.job_namespace, "name": name, "facets": job_type_facet("JOB")}

    def _node_run(self, result: NodeResult, facets: Facets | None = None) -> Event:
        own = self._own_run()
        parent = parent_facet(own, self._own_job())
        run_id = self._run_id(result["step_index"], result["unique_id"])
        return {"runId": run_id, "facets": {**parent, **own["facets"], **(facets or {})}}

    def _node_job(self, outcome: Outcome, result: NodeResult) -> Event:
        own, unique_id = self._own_job(), result["unique_id"]
        code = self.hide(outcome.compiled_code.get(unique_id) or "")
        kind = job_type_facet(_KINDS[result["resource_type"]])
        facets = {**kind, **sql_facet(outcome.project, unique_id, code)}
        return {**own, "name": f"{own['name']}.{unique_id}", "facets": facets}


def _is_told(result: NodeResult) -> bool:
    is_executed = subcommand(result["command"]) in _EXECUTING
    return is_executed and result["resource_type"] in _KINDS and result["status"] in _NODE_ENDS


def _event(
    kind: str,
    time: str,
    run: Event,
    job: Event,
    read: Sequence[Dataset] = (),
    written: Sequence[Dataset] = (),
) -> Event:
    return {
        "eventType": kind,
        "eventTime": time,
        "run": run,
        "job": job,
        "inputs": list(read),
        "outputs": list(written),
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _instant(time: object) -> str | None:
    """Return a time of the API's or of an artifact's in UTC, as RFC 3339 writes it."""
    told = as_datetime(time)
    return told.isoformat() if told else None


def inputs(outcome: Outcome, result: NodeResult, namespace: str, *, is_over: bool) -> list[Dataset]:
    """Return what a node reads; what a test asserts is told of the one that it is for.

    Args:
        outcome: What the node's step did.
        result: What became of the node.
        namespace: Where the warehouse's tables live.
        is_over: Tell what its end tells, too.
    """
    parents = [node for node in outcome.read(result) if node["identifier"] or node["schema"]]
    asserted = _asserted(outcome, result) if is_over else {}
    checked = _checked(outcome.project, result["unique_id"])
    datasets: dict[str, Dataset] = {}
    for node in parents:
        told = asserted if node["unique_id"] == checked else {}
        dataset = _dataset(node, namespace, inputFacets=told)
        # several sources may be one table
        _unite(datasets.setdefault(dataset["name"], dataset), dataset)
    return [*datasets.values()]


def outputs(
    outcome: Outcome, result: NodeResult, namespace: str, *, is_over: bool
) -> list[Dataset]:
    """Return what a node is to write or, when it is over, has written.

    Args:
        outcome: What the node's step did.
        result: What became of the node.
        namespace: Where the warehouse's tables live.
        is_over: Tell what its end tells, too.
    """
    has_written = not is_over or result["status"] in _WRITTEN
    if result["resource_type"] == "test" or not has_written:
        return []
    facets = statistics_facet(outcome.rows_written(result)) if is_over else {}
    return [_dataset(outcome.built(result), namespace, outputFacets=facets)]


def _dataset(node: Node, namespace: str, **facets: Facets) -> Dataset:
    told = node["identifier"] or (not node["schema"] and node["relation_name"])
    place = (node["database"], node["schema"], told or node["name"])
    return {
        "namespace": namespace,
        "name": ".".join(part for part in place if part),
        "facets": dataset_facets(node, namespace),
        **facets,
    }


def _asserted(outcome: Outcome, result: NodeResult) -> Facets:
    is_tested = result["resource_type"] == "test" and result["status"] in _TESTED
    return assertions_facet(outcome.project, result) if is_tested else {}


def _checked(project: Manifest, unique_id: str) -> str | None:
    """Return what a test is for: dbt names models and the like, but neither sources nor queries."""
    attached = as_text(project.entry(unique_id).get("attached_node"))
    dependencies = project.dependencies(unique_id)
    return attached or (dependencies[0] if len(dependencies) == 1 else None)


def _unite(dataset: Dataset, other: Dataset) -> None:
    """Add what another node tells of the same table."""
    for name in ("facets", "inputFacets"):
        dataset[name] = {**other[name], **dataset[name]}
