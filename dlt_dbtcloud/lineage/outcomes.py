"""Outcomes of a run's steps: node results, and the project as each step saw it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dlt.common.json import json

from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import step_results
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import DBTCloudConfiguration, resolved_config
from dlt_dbtcloud.dbt import Manifest, Node, Result, Results, code_of
from dlt_dbtcloud.payloads import has_finished, id_of
from dlt_dbtcloud.typing import NodeResult, RunStep

__all__ = ["BUILDING", "Outcome", "read_outcomes", "requested_run_id"]


# the commands that build relations; `dbt retry` repeats the failed part of another
BUILDING = frozenset({"build", "retry", "run", "seed", "snapshot"})

_PART = r'"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$-]+'
_RELATION = re.compile(rf"(?:({_PART})\.)?(?:({_PART})\.)?({_PART})")
_LOCATION = ("relation_name", "database", "schema", "identifier")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one step of a run.

    Args:
        results: The results of the step's nodes.
        project: The step's manifest; targets and variables differ between steps.
        compiled_code: The compiled code of each node, by its id.
        deferred: The ids of nodes that were not built in this run and may have been deferred.
        state: The manifest that the step deferred to, if known.
    """

    results: Sequence[NodeResult]
    project: Manifest = field(default_factory=Manifest)
    compiled_code: Mapping[str, str] = field(default_factory=dict)
    deferred: Collection[str] = ()
    state: Manifest = field(default_factory=Manifest)

    def built_node(self, result: NodeResult) -> Node:
        """Return the node of a result, with the location that the result reports."""
        node = self.project.node(result["unique_id"])
        relation_name = result["relation_name"]
        if not relation_name or relation_name == node["relation_name"]:
            return node
        return cast(Node, {**node, **_location(relation_name)})

    def read_nodes(self, result: NodeResult) -> list[Node]:
        """Return the nodes that a node read; a deferred node may have no known location."""
        code = self.compiled_code.get(result["unique_id"]) or ""
        return [
            self._deferred_node(code, parent)
            if parent in self.deferred
            else self.project.node(parent)
            for parent in self.project.parents(result["unique_id"])
        ]

    def rows_written(self, result: NodeResult) -> int | None:
        """Return the number of rows that a node wrote, if its adapter reports it."""
        rows = result["rows_affected"]
        is_view = self.project.node(result["unique_id"])["materialized"] == "view"
        # Snowflake's response to every statement that creates something
        is_created = self.project.adapter_type == "snowflake" and result["message"] == "SUCCESS 1"
        # what dbt Fusion reports for every table on DuckDB
        is_unknown = self.project.adapter_type == "duckdb" and rows == 0
        return None if rows is None or rows < 0 or is_view or is_created or is_unknown else rows

    def _deferred_node(self, code: str, unique_id: str) -> Node:
        """Return a node with the location at which the code of its reader names it."""
        node = self.project.node(unique_id)
        named = (
            location
            for location in self._possible_locations(node)
            if _names(code, location["relation_name"])
        )
        return cast(Node, {**node, **next(named, dict.fromkeys(_LOCATION))})

    def _possible_locations(self, node: Node) -> Iterator[dict[str, Any]]:
        yield _location_of(node)
        # written by some versions of dbt only
        relation = self.project.entry(node["unique_id"]).defer_relation
        if relation is not None:
            place = relation.relation_name, relation.database, relation.schema, relation.alias
            yield dict(zip(_LOCATION, place, strict=True))
        yield _location_of(self.state.node(node["unique_id"]))


def requested_run_id(
    run: object, credentials: DBTCloudConfiguration | Mapping[str, Any]
) -> str | None:
    """Return the id of the given or configured run; None if skipped.

    Raises:
        InvalidCredentialsException: The id is missing or invalid.
        ValueError: `run` is a dict without an `id`.
    """
    if isinstance(run, Mapping) and "id" not in run:
        raise ValueError("`run` has no `id`. Pass the run as a helper returns it, or its id.")
    run_id = run["id"] if isinstance(run, Mapping) else run
    if isinstance(run, Mapping) and run_id is None:
        return None
    if run_id is not None:
        return valid_id("run_id", run_id)
    return str(resolved_config(credentials, "run_id").run_id)


def read_outcomes(reader: RunReader) -> list[Outcome]:
    """Return the outcome of each step of a finished run; none for an unfinished run.

    Args:
        reader: The reader of the run's artifacts, which keeps the code of nodes.
    """
    steps = reader.read_results() if has_finished(reader.read_run()) else []
    executed = {result.unique_id for _, found in steps for result in found.results}
    return [_outcome(reader, step, found, executed) for step, found in steps]


def _outcome(
    reader: RunReader, step: RunStep, run_results: Results[Result], executed: set[str]
) -> Outcome:
    manifest = reader.read_manifest_of(step, run_results)
    project = manifest.with_catalog(reader.read_catalog())
    results = [*step_results(id_of(reader.read_run()), step, run_results, manifest)]
    read = {parent for result in results for parent in project.parents(result["unique_id"])}
    others = [parent for parent in read - executed if not parent.startswith("source.")]
    deferred = others if run_results.defers else []
    state = reader.read_state() if deferred else Manifest()
    # dbt Fusion writes the code only to the manifest
    codes = {
        result.unique_id: code_of(result) or code_of(project.entry(result.unique_id))
        for result in run_results.results
    }
    known = {unique_id: code for unique_id, code in codes.items() if code is not None}
    return Outcome(results, project, known, {*deferred}, state)


def _location_of(node: Node) -> dict[str, Any]:
    fields = cast(Mapping[str, Any], node)
    return {name: fields[name] for name in _LOCATION}


def _location(relation_name: str) -> dict[str, Any]:
    """Return the parts of a relation's name; each is None if it cannot be parsed."""
    match = _RELATION.fullmatch(relation_name)
    parts = match.groups() if match else (None, None, None)
    bare = [part[1:-1] if part and part[0] in '"`[' else part for part in parts]
    # `a.b` is a table `b` in schema `a`
    database, schema, identifier = bare if bare[1] else (None, bare[0], bare[2])
    return dict(zip(_LOCATION, (relation_name, database, schema, identifier), strict=True))


def _names(code: str, relation_name: str | None) -> bool:
    """Return whether SQL code, or a string in Python code, names a relation."""
    if not relation_name:
        return False
    forms = {relation_name, json.dumps(relation_name)[1:-1]}
    return any(re.search(rf"(?<![\w.]){re.escape(form)}(?!\w)", code) for form in forms)
