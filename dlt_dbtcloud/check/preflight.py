"""Check of everything that a run needs, from the configuration to the dbt sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.typing import ConfigValueSentinel

from dlt_dbtcloud.check.account import check_account, check_host
from dlt_dbtcloud.check.findings import Settings, passed, report, unusable
from dlt_dbtcloud.check.job import check_job, check_place, check_trigger
from dlt_dbtcloud.check.sources import check_sources
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    connect,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.loads import check_type
from dlt_dbtcloud.typing import ConnectionReport, Finding

__all__ = ["check_dbt_cloud"]


def check_dbt_cloud(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    *,
    pipeline: dlt.Pipeline | None = None,
    connection: str | None = None,
) -> ConnectionReport:
    """Check the configuration, the account and the job, without starting anything.

    It sends GETs only, each once. Problems are findings, in place of the exceptions that a helper
    would raise. A check that needs the result of a failed one is left out.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Accounts

    Args:
        credentials: As for `run_dbt_cloud_job`.
        pipeline: A pipeline whose tables are compared with the sources of the job's project.
        connection: As for `run_dbt_cloud_job`.

    Returns:
        `ok`, and the findings: each has its `check`, whether it is `ok`, a `message`, and the line
        that repairs it as `fix`. The checks are `configuration`, `host`, `token`, `account`,
        `job`, `project`, `environment`, `engine` and `trigger`; with a pipeline also `load`,
        `manifest`, `sources`, `tables` and `unloaded`.

    Raises:
        TypeError: `pipeline` is not a pipeline.
        InvalidCredentialsException: `credentials` or `connection` is of a wrong type.
    """
    try:
        if pipeline is not None:
            check_type(pipeline)
        found = _settled(credentials, connection)
    finally:
        # a traceback that shows variables would show the caller's token
        del credentials, connection
    if not isinstance(found, DBTCloudConfiguration):
        return report([found])
    with connect(found) as client:
        return report(_findings(client.patient(0), found, pipeline))


def _settled(
    credentials: DBTCloudConfiguration | Mapping[str, Any], connection: str | None
) -> DBTCloudConfiguration | Finding:
    """Return the config of a call, or why it cannot be resolved.

    Raises:
        InvalidCredentialsException: An argument is of a wrong type.
    """
    is_typed = isinstance(connection, str | None) and isinstance(
        credentials, Mapping | ConfigValueSentinel | None
    )
    fields = getattr(credentials, "__given_fields__", credentials)
    given = {*fields} if isinstance(fields, Mapping | frozenset) else set()
    try:
        return _config(credentials, connection=connection)
    except (ConfigurationException, DBTCloudException) as error:
        if not is_typed:
            # a mistake in the code, not in the configuration
            raise
        named = set() if connection is None else {"connection"}
        return unusable(error, Settings(connection, given | named))
    finally:
        del credentials, connection, fields


@with_dbt_cloud_config
def _config(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    *,
    connection: str | None = None,  # noqa: ARG001, the decorator merges it into `credentials`
) -> DBTCloudConfiguration:
    return resolved_config(credentials)


def _findings(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, pipeline: dlt.Pipeline | None
) -> Iterator[Finding]:
    """Yield the findings in the order in which they depend on each other."""
    settings = Settings(config.connection, config.__given_fields__)
    yield passed("configuration", _source(config))
    accounts = yield from check_host(client, config, settings)
    if accounts is None or not (yield from check_account(client, config, settings, accounts)):
        return
    job = yield from check_job(client, config, settings, accounts)
    if job is None:
        return
    yield from check_place(client, config, settings, job)
    yield from check_trigger(client, config, settings, job, pipeline)
    if pipeline is not None:
        yield from check_sources(client, job, pipeline)


def _source(config: DBTCloudConfiguration) -> str:
    if config.connection:
        return f"The settings are those of connection `{config.connection}`."
    return "The settings are complete and valid."
