"""The tables that a node reads and writes, as OpenLineage tells them.

Spec: https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.facets import Facets, assertions_facet, dataset_facets, statistics_facet
from dlt_dbtcloud.guards import text
from dlt_dbtcloud.manifest import Manifest, Node
from dlt_dbtcloud.outcomes import Outcome
from dlt_dbtcloud.typing import NodeResult

__all__ = ["Dataset", "inputs", "outputs"]

Dataset = dict[str, Any]

# statuses with which a node has written to its relation
_WRITTEN = ("success", "partial success")
# statuses of a test that could be executed
_TESTED = ("pass", "warn", "fail")


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
    attached = text(project.entry(unique_id).get("attached_node"))
    dependencies = project.dependencies(unique_id)
    return attached or (dependencies[0] if len(dependencies) == 1 else None)


def _unite(dataset: Dataset, other: Dataset) -> None:
    """Add what another node tells of the same table."""
    for name in ("facets", "inputFacets"):
        dataset[name] = {**other[name], **dataset[name]}
