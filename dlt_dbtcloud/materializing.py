"""What a run made of its nodes, for catalogs of data: assets, and OpenLineage's events."""

from __future__ import annotations

import time
from collections.abc import Mapping

import dlt

from dlt_dbtcloud.assets import Asset, assets_of
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration, required, with_dbt_cloud_config
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.harvest import Harvest
from dlt_dbtcloud.lineage import Event
from dlt_dbtcloud.listing import RELATED
from dlt_dbtcloud.openlineage import events_of
from dlt_dbtcloud.outages import Clock
from dlt_dbtcloud.results import step_results
from dlt_dbtcloud.running import connect
from dlt_dbtcloud.typing import NodeResult, Run
from dlt_dbtcloud.validation import valid_id

__all__ = ["materialized_assets", "openlineage_events", "read_assets"]


@with_dbt_cloud_config
def materialized_assets(
    run: Run | int | str, credentials: DBTCloudConfiguration = dlt.secrets.value
) -> list[Asset]:
    """Return the models, seeds and snapshots that a run built successfully, as plain JSON values.

    Each has its relation, what it was built from, with dlt's tables at the roots, and what is known
    of it: columns, owners, tags, when it was built and how long that took. Columns have types where
    the run generated docs. What cannot be read is left out, and said in one warning.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

    Args:
        run: The run, as a helper returns it, or its id.
        credentials: As for `run_dbt_cloud_job`.

    Returns:
        One `Asset` for each of them, in the order in which dbt reports them; none for a run that
        is not over, and for one that never was because there was nothing to build.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The run cannot be read: the API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    run_id = run.get("id") if isinstance(run, Mapping) else run
    if run_id is None:
        return []
    required(credentials, "account_id")
    with connect(credentials) as client:
        return read_assets(client, valid_id("run_id", run_id))


@with_dbt_cloud_config
def openlineage_events(
    run: Run | int | str,
    credentials: DBTCloudConfiguration = dlt.secrets.value,
    *,
    namespace: str | None = None,
    job_namespace: str | None = None,
) -> list[Event]:
    """Return a run and what became of its nodes as OpenLineage's run events, plain JSON values.

    `emit_openlineage` sends them. The same run gives the same events with the same ids, so that
    sending them twice does no harm.

    Spec: https://openlineage.io/docs/spec/object-model

    Args:
        run: The run, as a helper returns it, or its id.
        credentials: As for `run_dbt_cloud_job`.
        namespace: Where the warehouse's tables live by OpenLineage's naming, for example
            `snowflake://ORG-ACCOUNT`: no artifact tells that. Without it, it names the environment
            in dbt Cloud, and only this package names the tables so.
        job_namespace: Where the jobs live; by default the account in dbt Cloud.

    Raises:
        InvalidCredentialsException: The token, an id or the host is missing or unusable.
        DBTCloudAPIError: The run cannot be read: the API answered with an error.
        DBTCloudTransportError: There was no answer.
        ValueError: The run tells no time at which it was created.
    """
    run_id = run.get("id") if isinstance(run, Mapping) else run
    if run_id is None:
        return []
    required(credentials, "account_id")
    with connect(credentials) as client:
        harvest = _harvest(client, valid_id("run_id", run_id), keeps_code=True)
        events = events_of(
            harvest.run,
            harvest.manifest,
            _results(harvest),
            harvest.catalog,
            compiled_code=_compiled_code(harvest),
            namespace=namespace,
            job_namespace=job_namespace,
        )
        harvest.warn()
        return events


def read_assets(client: DBTCloudClientV2, run_id: str, *, clock: Clock = time) -> list[Asset]:
    """Return the assets that a run built.

    Args:
        client: What reads the run and its artifacts.
        run_id: The run.
        clock: What the time is told by.

    Raises:
        DBTCloudAPIError: The run cannot be read: the API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    harvest = _harvest(client, run_id, clock=clock)
    results = _results(harvest)
    assets = assets_of(harvest.run, harvest.manifest, results, harvest.catalog) if results else []
    harvest.warn()
    return assets


def _harvest(
    client: DBTCloudClientV2, run_id: str, *, keeps_code: bool = False, clock: Clock = time
) -> Harvest:
    run = client.get_run_status(run_id, RELATED)
    return Harvest(client, run, keeps_code=keeps_code, clock=clock)


def _results(harvest: Harvest) -> list[NodeResult]:
    return [
        result
        for step, found in (harvest.results if is_over(harvest.run) else ())
        for result in step_results(harvest.run["id"], step, found, harvest.manifest)
    ]


def _compiled_code(harvest: Harvest) -> dict[str, str | None]:
    """Return what was compiled for each node: no manifest of dbt's build tells that."""
    return {
        str(result.get("unique_id")): result.get("compiled_code")
        for _, found in (harvest.results if is_over(harvest.run) else ())
        for result in found.get("results") or ()
        if isinstance(result, dict)
    }
