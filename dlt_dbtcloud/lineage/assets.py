"""The assets that a run materialized: its relations, what they are built from and known for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypedDict

import dlt

from dlt_dbtcloud.artifacts.reader import RELATED, RunReader
from dlt_dbtcloud.artifacts.results import retry_chain
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.configuration import DBTCloudConfiguration, connect, with_dbt_cloud_config
from dlt_dbtcloud.dbt.commands import subcommand
from dlt_dbtcloud.dbt.manifest import Column, Node
from dlt_dbtcloud.lineage.outcomes import BUILDING, Outcome, read_outcomes, requested_run_id
from dlt_dbtcloud.payloads import is_over
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


@with_dbt_cloud_config
def materialized_assets(
    run: Run | int | str | None = None, credentials: DBTCloudConfiguration = dlt.secrets.value
) -> list[Asset]:
    """Return the models, seeds and snapshots that a run built successfully, as plain JSON values.

    Each has its relation, what it reads, and what is known of it: columns, owners, tags, when it
    was built and how long that took. Columns have types where the run generated docs. What a retry
    did not build again, as the runs that it retries had built it, is told with it; `run_id` in the
    metadata is the run that built an asset. What cannot be read is left out, and said in one
    warning per run.

    A run takes one request for itself, one for the results of each step, one for its manifest and
    one for its catalog, if any. Where a step built elsewhere than the last one, with another target
    for example, its own manifest is one more; and so is the manifest of the run that a step defers
    to where the step reads what this run did not build. A table that is deferred to is told where
    the code of its reader names it; its relation is None where dbt Cloud does not say which run was
    deferred to, as dbt's artifacts do not. Artifacts that are still being uploaded are waited for,
    for a minute after the run's end, and so is the end of an outage; one that lasts is an error.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

    Args:
        run: The run, as a helper returns it, or its id; by default the one that is configured.
        credentials: As for `run_dbt_cloud_job`.

    Returns:
        One `Asset` for each of them, in the order in which dbt reports them; none for a run that
        is not over, and for one that never was because there was nothing to build.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        ValueError: `run` is a dict without an `id`, so no run.
        DBTCloudAPIError: The run, or for now an artifact, cannot be read: the API answered with an
            error.
        DBTCloudTransportError: There was no answer.
    """
    run_id = requested_run_id(run, credentials)
    if run_id is None:
        return []
    with connect(credentials) as client:
        return read_assets(client, run_id)


def read_assets(client: DBTCloudClientV2, run_id: str, *, clock: Clock = time) -> list[Asset]:
    """Return the assets that a run, and the runs that it retries, built.

    Args:
        client: What reads the runs and their artifacts.
        run_id: The run.
        clock: What the time is told by.

    Raises:
        DBTCloudAPIError: The run, or for now an artifact, cannot be read: the API answered with an
            error.
        DBTCloudTransportError: There was no answer.
    """
    built: dict[str, Asset] = {}
    for run in retry_chain(client, run_id, RELATED):
        reader = RunReader(client, run, keeps_code=True, clock=clock)
        older = {asset["unique_id"]: asset for asset in built_assets(run, read_outcomes(reader))}
        reader.problems.warn()
        # what was built again is told as it was built last
        built = {**older, **built}
        if not is_over(run):
            break
    return [*built.values()]


def built_assets(run: Run, outcomes: Iterable[Outcome]) -> list[Asset]:
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
