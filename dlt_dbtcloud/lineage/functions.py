"""What a run made of its nodes, for catalogs of data: assets, and OpenLineage's events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import dlt

from dlt_dbtcloud.artifacts.reader import RELATED, RunReader
from dlt_dbtcloud.artifacts.results import retry_chain, step_results, told_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    required,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.dbt.manifest import Manifest
from dlt_dbtcloud.lineage.assets import Asset, assets_of
from dlt_dbtcloud.lineage.openlineage import Event, events_of
from dlt_dbtcloud.lineage.outcomes import Outcome
from dlt_dbtcloud.payloads import is_over
from dlt_dbtcloud.typing import Run, RunStep
from dlt_dbtcloud.values import as_mapping

__all__ = ["materialized_assets", "openlineage_events", "read_assets", "read_outcomes"]


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
    run_id = _run_id(run, credentials)
    if run_id is None:
        return []
    with connect(credentials) as client:
        return read_assets(client, run_id)


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
    run_id = _run_id(run, credentials)
    if run_id is None:
        return []
    with connect(credentials) as client:
        reader = RunReader(client, client.get_run_status(run_id, RELATED), keeps_code=True)
        events = events_of(
            reader.run,
            read_outcomes(reader),
            namespace=namespace,
            job_namespace=job_namespace,
            hide=client.without_token,
        )
        reader.problems.warn()
        return events


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
        older = {asset["unique_id"]: asset for asset in assets_of(run, read_outcomes(reader))}
        reader.problems.warn()
        # what was built again is told as it was built last
        built = {**older, **built}
        if not is_over(run):
            break
    return [*built.values()]


def read_outcomes(reader: RunReader) -> list[Outcome]:
    """Return what each step of a run did; nothing while the run is not over.

    Args:
        reader: What reads the run's artifacts, with the code of its nodes.
    """
    steps = reader.results if is_over(reader.run) else []
    executed = {each["unique_id"] for _, found in steps for each in told_results(found)}
    return [_outcome(reader, step, found, executed) for step, found in steps]


def _run_id(run: object, credentials: DBTCloudConfiguration) -> str | None:
    """Return the id of a run, or None of one that never was."""
    if isinstance(run, Mapping) and "id" not in run:
        raise ValueError("`run` has no `id`. Pass the run as a helper returns it, or its id.")
    run_id = run["id"] if isinstance(run, Mapping) else run
    if isinstance(run, Mapping) and run_id is None:
        return None
    required(credentials, "account_id")
    return required(credentials, "run_id")[0] if run_id is None else valid_id("run_id", run_id)


def _outcome(
    reader: RunReader, step: RunStep, found: Mapping[str, Any], executed: set[str]
) -> Outcome:
    manifest = reader.manifest_of(step, found)
    project = Manifest(manifest, reader.catalog)
    results = [*step_results(reader.run["id"], step, found, manifest)]
    read = {parent for result in results for parent in project.parents(result["unique_id"])}
    others = [parent for parent in read - executed if not parent.startswith("source.")]
    deferred = others if as_mapping(found.get("args")).get("defer") is True else []
    state = Manifest(reader.state if deferred else None)
    return Outcome(results, project, _compiled_code(found), {*deferred}, state)


def _compiled_code(found: Mapping[str, Any]) -> dict[str, str]:
    compiled = {each["unique_id"]: each.get("compiled_code") for each in told_results(found)}
    return {unique_id: code for unique_id, code in compiled.items() if isinstance(code, str)}
