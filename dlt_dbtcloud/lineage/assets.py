"""The assets that a run materialized: its relations, what they are built from and known for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from dlt_dbtcloud.dbt.commands import subcommand
from dlt_dbtcloud.dbt.manifest import Column, Node
from dlt_dbtcloud.lineage.outcomes import BUILDING, Outcome
from dlt_dbtcloud.typing import NodeResult, Run

__all__ = ["Asset", "AssetMetadata", "UpstreamAsset", "assets_of"]


_ASSETS = ("model", "seed", "snapshot")


class UpstreamAsset(TypedDict):
    """What an asset reads; the tables that dlt loads are among those of type `source`."""

    unique_id: str
    resource_type: str
    relation_name: str | None
    database: str | None
    schema: str | None
    identifier: str | None


class AssetMetadata(TypedDict):
    """What is known of an asset, and of how the run built it.

    `owners` are whom its meta names, else who owns its group; `columns` have types where the run
    generated docs; `execution_time` is in seconds; `rows_affected` is None where the adapter does
    not tell how many rows were written.
    """

    description: str | None
    owners: list[str]
    group: str | None
    tags: list[str]
    meta: dict[str, Any]
    columns: list[Column]
    path: str | None
    package_name: str | None
    version: str | float | None
    execution_time: float | None
    rows_affected: int | None
    started_at: str | None
    completed_at: str | None
    run_id: int | None
    job_definition_id: int | None
    run_url: str | None
    dbt_version: str | None


class Asset(UpstreamAsset):
    """A model, seed or snapshot that a run built, as plain JSON values."""

    name: str
    materialized: str | None
    upstream: list[UpstreamAsset]
    metadata: AssetMetadata


def assets_of(run: Run, outcomes: Iterable[Outcome]) -> list[Asset]:
    """Return the models, seeds and snapshots that a run built successfully, in their order.

    One that several steps built is told once, as it was built last. A microbatch model of which
    some batches failed does not count: it is not whole.

    Args:
        run: The run.
        outcomes: What its steps did.
    """
    built = {
        result["unique_id"]: (outcome, result)
        for outcome in outcomes
        for result in outcome.results
        if _is_built(result)
    }
    return [_asset(run, outcome, result) for outcome, result in built.values()]


def _is_built(result: NodeResult) -> bool:
    return (
        result["status"] == "success"
        and result["resource_type"] in _ASSETS
        and subcommand(result["command"]) in BUILDING
    )


def _asset(run: Run, outcome: Outcome, result: NodeResult) -> Asset:
    node = outcome.built(result)
    return {
        **_upstream(node),
        "name": node["name"],
        "materialized": node["materialized"],
        "upstream": [_upstream(parent) for parent in outcome.read(result)],
        "metadata": _metadata(run, outcome, node, result),
    }


def _upstream(node: Node) -> UpstreamAsset:
    return UpstreamAsset(
        unique_id=node["unique_id"],
        resource_type=node["resource_type"],
        relation_name=node["relation_name"],
        database=node["database"],
        schema=node["schema"],
        identifier=node["identifier"],
    )


def _metadata(run: Run, outcome: Outcome, node: Node, result: NodeResult) -> AssetMetadata:
    return AssetMetadata(
        description=node["description"],
        owners=node["owners"],
        group=node["group"],
        tags=node["tags"],
        meta=node["meta"],
        columns=node["columns"],
        path=node["path"] or result["path"],
        package_name=node["package_name"],
        version=node["version"],
        execution_time=result["execution_time"],
        rows_affected=outcome.rows_written(result),
        started_at=result["started_at"],
        completed_at=result["completed_at"],
        run_id=run.get("id"),
        job_definition_id=run.get("job_definition_id"),
        run_url=run.get("href"),
        # the run's own may be the name of a release track
        dbt_version=outcome.project.dbt_version or run.get("dbt_version"),
    )
