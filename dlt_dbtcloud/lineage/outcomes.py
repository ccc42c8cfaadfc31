"""What a step of a run did with dbt's nodes, and the project as that step saw it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from dlt.common.json import json

from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import step_results, told_results
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import DBTCloudConfiguration, required
from dlt_dbtcloud.dbt.manifest import Manifest, Node
from dlt_dbtcloud.payloads import id_of, is_over
from dlt_dbtcloud.typing import NodeResult, RunStep
from dlt_dbtcloud.values import as_mapping, as_text

__all__ = ["BUILDING", "Outcome", "read_outcomes", "requested_run_id"]


# what builds relations; `dbt retry` does again what failed of another
BUILDING = frozenset({"build", "retry", "run", "seed", "snapshot"})

_PART = r'"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$-]+'
_RELATION = re.compile(rf"(?:({_PART})\.)?(?:({_PART})\.)?({_PART})")
_PLACE = ("relation_name", "database", "schema", "identifier")


@dataclass(frozen=True)
class Outcome:
    """What a step did.

    Args:
        results: What became of each node.
        project: The project as the step saw it: targets and variables differ between steps.
        compiled_code: What it compiled for each node.
        deferred: What it may have read elsewhere, as it was not built here.
        state: The project that it deferred to, where that is known.
    """

    results: Sequence[NodeResult]
    project: Manifest = field(default_factory=lambda: Manifest(None))
    compiled_code: Mapping[str, str] = field(default_factory=dict)
    deferred: Collection[str] = ()
    state: Manifest = field(default_factory=lambda: Manifest(None))

    def built(self, result: NodeResult) -> Node:
        """Return a node as it was built: where, its result knows better than any manifest."""
        node = self.project.node(result["unique_id"])
        told = result["relation_name"]
        if not told or told == node["relation_name"]:
            return node
        return cast(Node, {**node, **_place(told)})

    def read(self, result: NodeResult) -> list[Node]:
        """Return what a node read; where that stands is None where it was deferred to who knows."""
        code = self.compiled_code.get(result["unique_id"]) or ""
        return [
            self._read_elsewhere(code, parent)
            if parent in self.deferred
            else self.project.node(parent)
            for parent in self.project.parents(result["unique_id"])
        ]

    def rows_written(self, result: NodeResult) -> int | None:
        """Return how many rows a node wrote, where its adapter tells a number that means that."""
        rows = result["rows_affected"]
        is_view = self.project.node(result["unique_id"])["materialized"] == "view"
        # what Snowflake answers to each statement that creates something
        is_created = self.project.adapter_type == "snowflake" and result["message"] == "SUCCESS 1"
        return None if rows is None or rows < 0 or is_view or is_created else rows

    def _read_elsewhere(self, code: str, parent: str) -> Node:
        """Return a node where the code of its reader names it."""
        node = self.project.node(parent)
        own: Mapping[str, Any] = node
        known = [{name: own[name] for name in _PLACE}, *self._deferred(parent)]
        named = (place for place in known if _names(code, place["relation_name"]))
        return cast(Node, {**node, **next(named, dict.fromkeys(_PLACE))})

    def _deferred(self, unique_id: str) -> Iterator[dict[str, Any]]:
        """Yield where a node stands that was deferred."""
        # only some versions of dbt write this
        told = as_mapping(self.project.entry(unique_id).get("defer_relation"))
        yield {
            **{name: as_text(told.get(name)) for name in _PLACE},
            "identifier": told.get("alias"),
        }
        other = cast(Mapping[str, Any], self.state.node(unique_id))
        yield {name: other[name] for name in _PLACE}


def requested_run_id(run: object, credentials: DBTCloudConfiguration) -> str | None:
    """Return the id of a run, or None of one that never was."""
    if isinstance(run, Mapping) and "id" not in run:
        raise ValueError("`run` has no `id`. Pass the run as a helper returns it, or its id.")
    run_id = run["id"] if isinstance(run, Mapping) else run
    if isinstance(run, Mapping) and run_id is None:
        return None
    required(credentials, "account_id")
    return required(credentials, "run_id")[0] if run_id is None else valid_id("run_id", run_id)


def read_outcomes(reader: RunReader) -> list[Outcome]:
    """Return what each step of a run did; nothing while the run is not over.

    Args:
        reader: What reads the run's artifacts, with the code of its nodes.
    """
    steps = reader.results if is_over(reader.run) else []
    executed = {each["unique_id"] for _, found in steps for each in told_results(found)}
    return [_outcome(reader, step, found, executed) for step, found in steps]


def _outcome(
    reader: RunReader, step: RunStep, found: Mapping[str, Any], executed: set[str]
) -> Outcome:
    manifest = reader.manifest_of(step, found)
    project = manifest.with_catalog(reader.catalog)
    results = [*step_results(id_of(reader.run), step, found, manifest)]
    read = {parent for result in results for parent in project.parents(result["unique_id"])}
    others = [parent for parent in read - executed if not parent.startswith("source.")]
    deferred = others if as_mapping(found.get("args")).get("defer") is True else []
    state = reader.state if deferred else Manifest(None)
    return Outcome(results, project, _compiled_code(found), {*deferred}, state)


def _compiled_code(found: Mapping[str, Any]) -> dict[str, str]:
    compiled = {each["unique_id"]: each.get("compiled_code") for each in told_results(found)}
    return {unique_id: code for unique_id, code in compiled.items() if isinstance(code, str)}


def _place(relation_name: str) -> dict[str, Any]:
    """Return the parts of a relation's name, or none of them where it cannot be taken apart."""
    match = _RELATION.fullmatch(relation_name)
    parts = match.groups() if match else (None, None, None)
    bare = [part[1:-1] if part and part[0] in '"`[' else part for part in parts]
    # `a.b` is a schema's table
    database, schema, identifier = bare if bare[1] else (None, bare[0], bare[2])
    return dict(zip(_PLACE, (relation_name, database, schema, identifier), strict=True))


def _names(code: str, relation_name: str | None) -> bool:
    """Tell whether code names a relation, as SQL does or as a text in Python's."""
    if not relation_name:
        return False
    forms = {relation_name, json.dumps(relation_name)[1:-1]}
    return any(re.search(rf"(?<![\w.]){re.escape(form)}(?!\w)", code) for form in forms)
