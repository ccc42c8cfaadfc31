"""The OpenLineage events of a run and of its nodes.

Spec: https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from dlt.common import pendulum

from dlt_dbtcloud.commands import subcommand
from dlt_dbtcloud.facets import (
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
from dlt_dbtcloud.manifest import Manifest
from dlt_dbtcloud.typing import NodeResult, Run, RunStatus

__all__ = ["Event", "Lineage"]

Event = dict[str, Any]

_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_EXECUTING = ("build", "retry", "run", "seed", "snapshot", "test")
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
_RUN_ENDS: dict[int, str] = {
    RunStatus.SUCCESS: "COMPLETE",
    RunStatus.ERROR: "FAIL",
    RunStatus.CANCELLED: "ABORT",
}
# statuses with which a node has written to its relation
_WRITTEN = ("success", "partial success")


@dataclass(frozen=True)
class Lineage:
    """A run, and the namespaces in which its datasets and jobs are known."""

    run: Run
    project: Manifest
    namespace: str
    job_namespace: str
    compiled_code: Mapping[str, str | None]
    # a node is an input of many others
    _told: dict[str, Facets] = field(default_factory=dict)

    def start(self) -> Event:
        """Return the event of the run's start."""
        return _event("START", self._time("started_at"), self._own_run(), self._own_job())

    def end(self) -> Iterator[Event]:
        """Yield the event of the run's end, or none while it goes on."""
        kind = _RUN_ENDS.get(self.run.get("status", 0))
        if kind:
            reason = self.run.get("status_message") or f"Its steps tell: {self.run.get('href')}"
            why = {} if kind == "COMPLETE" else error_facet(reason)
            time = self._time("finished_at", "started_at")
            yield _event(kind, time, self._own_run(why), self._own_job())

    def nodes(self, results: Iterable[NodeResult]) -> Iterator[Event]:
        """Yield the two events of each node that was executed."""
        for result in results:
            is_executed = subcommand(result["command"]) in _EXECUTING
            if is_executed and result["resource_type"] in _KINDS and result["status"] in _NODE_ENDS:
                yield self._node_start(result)
                yield self._node_end(result)

    def _node_start(self, result: NodeResult) -> Event:
        run, job = self._node_run(result), self._node_job(result)
        inputs, outputs = self._inputs(result, {}), self._outputs(result, {})
        return _event("START", self._began(result), run, job, inputs, outputs)

    def _node_end(self, result: NodeResult) -> Event:
        kind = _NODE_ENDS[result["status"]]
        run = self._node_run(result, error_facet(result["message"]) if kind == "FAIL" else {})
        is_test = result["resource_type"] == "test"
        inputs = self._inputs(result, assertions_facet(self.project, result) if is_test else {})
        has_written = result["status"] in _WRITTEN
        outputs = self._outputs(result, statistics_facet(result)) if has_written else []
        time = _instant(result["completed_at"]) or self._began(result)
        return _event(kind, time, run, self._node_job(result), inputs, outputs)

    def _time(self, *names: str) -> str:
        """Return the first of these times that the run tells, or when it was created."""
        times = (_instant(self.run.get(name)) for name in (*names, "created_at"))
        told = next((time for time in times if time), None)
        if told is None:
            raise ValueError(f"Run `{self.run.get('id')}` has no `created_at`. Fetch it anew.")
        return told

    def _began(self, result: NodeResult) -> str:
        return _instant(result["started_at"]) or self._time("started_at")

    def _run_id(self, *parts: object) -> str:
        """Return the id of the run, or of a part of it: the same whenever it is asked for."""
        names = ["dbt-cloud", self.run.get("account_id"), self.run.get("id"), *parts]
        return str(uuid5(NAMESPACE_URL, "/".join(str(name) for name in names)))

    def _engine(self) -> Facets:
        return engine_facet(self.project.dbt_version or self.run.get("dbt_version"))

    def _own_run(self, facets: Facets | None = None) -> Event:
        return {"runId": self._run_id(), "facets": {**self._engine(), **(facets or {})}}

    def _own_job(self) -> Event:
        name = f"job-{self.run.get('job_definition_id')}"
        return {"namespace": self.job_namespace, "name": name, "facets": job_type_facet("JOB")}

    def _node_run(self, result: NodeResult, facets: Facets | None = None) -> Event:
        parent = parent_facet(self._own_run(), self._own_job())
        run_id = self._run_id(result["step_index"], result["unique_id"])
        return {"runId": run_id, "facets": {**parent, **self._engine(), **(facets or {})}}

    def _node_job(self, result: NodeResult) -> Event:
        own, unique_id = self._own_job(), result["unique_id"]
        compiled = self.compiled_code.get(unique_id)
        kind = job_type_facet(_KINDS[result["resource_type"]])
        facets = {**kind, **sql_facet(self.project, unique_id, compiled)}
        return {**own, "name": f"{own['name']}.{unique_id}", "facets": facets}

    def _inputs(self, result: NodeResult, asserted: Facets) -> list[Event]:
        """Return what a node reads; what a test asserts is told of the one that it is for."""
        parents = self.project.parents(result["unique_id"])
        attached = self.project.entry(result["unique_id"]).get("attached_node")
        checked = [attached] if attached in parents else parents
        return [
            self._dataset(parent, inputFacets=asserted if parent in checked else {})
            for parent in parents
        ]

    def _outputs(self, result: NodeResult, facets: Facets) -> list[Event]:
        if result["resource_type"] == "test":
            return []
        return [self._dataset(result["unique_id"], outputFacets=facets)]

    def _dataset(self, unique_id: str, **facets: Facets) -> Event:
        node = self.project.node(unique_id)
        if unique_id not in self._told:
            self._told[unique_id] = dataset_facets(node, self.namespace)
        relation = (node["database"], node["schema"], node["identifier"] or node["name"])
        return {
            "namespace": self.namespace,
            "name": ".".join(part for part in relation if part),
            "facets": self._told[unique_id],
            **facets,
        }


def _event(
    kind: str,
    time: str,
    run: Event,
    job: Event,
    inputs: Sequence[Event] = (),
    outputs: Sequence[Event] = (),
) -> Event:
    return {
        "eventType": kind,
        "eventTime": time,
        "run": run,
        "job": job,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "producer": PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _instant(time: object) -> str | None:
    """Return a time of the API's or of an artifact's in UTC, as RFC 3339 writes it."""
    try:
        told = pendulum.parse(time) if isinstance(time, str) else None
    except ValueError:
        return None
    return told.in_timezone("UTC").isoformat() if isinstance(told, pendulum.DateTime) else None
