"""Assets: the models, seeds and snapshots that a run built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import dlt

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import retry_chain
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.dbt import Column, Node, subcommand_of
from dlt_dbtcloud.lineage.outcomes import BUILDING, Outcome, read_outcomes, requested_run_id
from dlt_dbtcloud.payloads import has_finished
from dlt_dbtcloud.typing import NodeResult, Run

__all__ = [
    "Asset",
    "AssetMetadata",
    "UpstreamAsset",
    "built_assets",
    "materialized_assets",
    "read_assets",
]


_ASSETS = ("model", "seed", "snapshot")
# dbt Fusion warns about a model that it has built
_BUILT = ("success", "warn")


class UpstreamAsset(TypedDict):
    """A relation that an asset reads; tables loaded by dlt have the resource type `source`."""

    unique_id: str
    resource_type: str
    relation_name: str | None
    database: str | None
    schema: str | None
    identifier: str | None


class AssetMetadata(TypedDict):
    """The documentation of an asset and the result of its build.

    Attributes:
        owners: The owners in the node's meta, else the owners of its group.
        columns: Columns, with types if the run wrote a catalog.
        execution_time: Seconds.
        rows_affected: The number of rows written; None if the adapter does not report it.
        run_id: The run that built the asset: with a retry, possibly the run that it retries.
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


@with_dbt_cloud_config
def materialized_assets(
    run: Run | int | str | None = None,
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
) -> list[Asset]:
    """Return the models, seeds and snapshots that a run built successfully.

    The assets of a retry include those built by the runs that it retries. An artifact that cannot
    be read is left out, with one warning per run. A run takes a request for itself, one for the
    results of each step, and one each for its manifest and catalog. Artifacts may be uploaded up to
    a minute after the end of the run; until then the call waits for them.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

    Args:
        run: A run as returned by a helper, or its id; by default the configured `run_id`.
        credentials: As for `run_dbt_cloud_job`.

    Returns:
        The assets as plain JSON values, in dbt's order; none for an unfinished or skipped run.

    Raises:
        InvalidCredentialsException: An id is missing, or the token, an id or the host is unusable.
        ConfigFieldMissingException: No token is set; it is dlt's own error.
        ValueError: `run` is a dict without an `id`.
        DBTCloudAPIError: The API responded with an error that prevents reading the run for now.
        DBTCloudTransportError: The API did not respond.
    """
    run_id = requested_run_id(run, credentials)
    if run_id is None:
        return []
    with connect(resolved_config(credentials, "account_id")) as client:
        return read_assets(client, run_id)


def read_assets(client: DBTCloudClientV2, run_id: str) -> list[Asset]:
    """Return the assets that a run, and the runs that it retries, built.

    Args:
        client: The client that reads the runs and their artifacts.
        run_id: The run.

    Raises:
        DBTCloudAPIError: The API responded with an error that prevents reading the run for now.
        DBTCloudTransportError: The API did not respond.
    """
    built: dict[str, Asset] = {}
    for run in retry_chain(client, run_id):
        reader = RunReader(client.patient(OUTAGE, cool_down=COOL_DOWN), run, keeps_code=True)
        older = {asset["unique_id"]: asset for asset in built_assets(run, read_outcomes(reader))}
        reader.warn()
        built = {**older, **built}  # a rebuilt asset keeps its newest build
        if not has_finished(run):
            break
    return [*built.values()]


def built_assets(run: Run, outcomes: Iterable[Outcome]) -> list[Asset]:
    """Return the models, seeds and snapshots that a run built successfully, in dbt's order.

    An asset built by several steps is returned once, as the last step built it. A microbatch model
    with failed batches is incomplete and left out.

    Args:
        run: The run.
        outcomes: The outcomes of its steps.
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
        result["status"] in _BUILT
        and result["resource_type"] in _ASSETS
        and subcommand_of(result["command"]) in BUILDING
    )


def _asset(run: Run, outcome: Outcome, result: NodeResult) -> Asset:
    node = outcome.built_node(result)
    return {
        **_upstream(node),
        "name": node["name"],
        "materialized": node["materialized"],
        "upstream": [_upstream(parent) for parent in outcome.read_nodes(result)],
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
        # the run may name a release track instead
        dbt_version=outcome.project.dbt_version or run.get("dbt_version"),
    )
