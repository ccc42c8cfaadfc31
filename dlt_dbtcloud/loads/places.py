"""Places of a schema's tables in the destination, without a connection to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.resolve import inject_section
from dlt.common.configuration.specs import CredentialsConfiguration
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.destination.client import (
    DestinationClientConfiguration,
    DestinationClientDwhConfiguration,
)
from dlt.common.exceptions import DltException
from dlt.common.schema import Schema

from dlt_dbtcloud.values import Relation

__all__ = ["capabilities_of", "configuration_of", "place_of"]


_FILES = "filesystem"
# the credentials' field that dbt calls the database; DuckDB is absent, as its names are those of
# the attached files, and dbt's may differ
_DATABASE = {
    "bigquery": "project_id",
    "databricks": "catalog",
    "fabric": "database",
    "motherduck": "database",
    "mssql": "database",
    "postgres": "database",
    "redshift": "database",
    "snowflake": "database",
    "synapse": "database",
}


def configuration_of(pipeline: dlt.Pipeline) -> DestinationClientConfiguration | None:
    """Return the configuration of a pipeline's destination; None if it needs its libraries.

    It is the same for all schemas, and dlt takes milliseconds to resolve it.
    """
    destination = pipeline.destination
    section = ConfigSectionContext(pipeline_name=pipeline.pipeline_name)
    # the destination's own libraries may be missing on a machine that does not load
    with suppress(DltException, ImportError), inject_section(section):
        return destination.configuration(_bound(destination.spec(), pipeline), accept_partial=True)
    return None


def place_of(
    pipeline: dlt.Pipeline, schema: Schema, configuration: DestinationClientConfiguration | None
) -> Relation:
    """Return the place of a schema's tables; its name is a prefix of theirs.

    Args:
        pipeline: The pipeline.
        schema: One of its schemas.
        configuration: The configuration of its destination.
    """
    config, is_case_sensitive = _bound(DestinationClientDwhConfiguration(), pipeline), False
    with suppress(DltException, ImportError):
        if configuration is not None:
            capabilities = pipeline.destination.capabilities(configuration, schema.naming)
            is_case_sensitive = bool(capabilities.generates_case_sensitive_identifiers())
            config = configuration
    is_dwh = isinstance(config, DestinationClientDwhConfiguration)
    dataset = config.normalize_dataset_name(schema) if is_dwh else None
    separator = getattr(config, "dataset_table_separator", None)
    if dataset and separator:
        # ClickHouse has no schemas: dlt's dataset is a prefix of the table's name there
        return Relation(f"{dataset}{separator}", is_case_sensitive=is_case_sensitive)
    if _kind(config) == _FILES:
        # the dataset is a folder there
        return Relation("", is_case_sensitive=is_case_sensitive, is_file=True)
    return Relation(
        "", dataset or None, _database(config), is_case_sensitive, attached_as=_attached_as(config)
    )


def capabilities_of(
    pipeline: dlt.Pipeline, schema: Schema, configuration: DestinationClientConfiguration | None
) -> DestinationCapabilitiesContext | None:
    """Return the destination's capabilities for a schema; None if they need its libraries.

    Args:
        pipeline: The pipeline.
        schema: One of its schemas.
        configuration: The configuration of its destination.
    """
    # without it, those that do not depend on it
    for config in (configuration, None):
        with suppress(DltException, ImportError):
            return pipeline.destination.capabilities(config, schema.naming)
    return None


def _bound(config: Any, pipeline: dlt.Pipeline) -> Any:
    """Bind the pipeline's dataset name to the configuration, as dlt does before it loads."""
    if isinstance(config, DestinationClientDwhConfiguration):
        config.dataset_name = pipeline.dataset_name
        if not pipeline.config.use_single_dataset:
            config.default_schema_name = pipeline.default_schema_name or ""
    return config


def _database(config: Any) -> str | None:
    """Return the name that dbt uses for the database, if configured."""
    kind = _kind(config)
    credentials = config.credentials
    if kind == "bigquery" and config.project_id:
        return str(config.project_id)
    # unresolved credentials have defaults, which mean nothing
    is_known = isinstance(credentials, CredentialsConfiguration) and credentials.is_resolved()
    name = getattr(credentials, _DATABASE.get(kind, ""), None) if is_known else None
    return str(name) if name else None


def _attached_as(config: Any) -> str | None:
    """Return the name that dbt gives to the database of a DuckDB file by default."""
    if _kind(config) != "duckdb":
        return None
    path = str(getattr(config.credentials, "database", None) or "")
    return None if path.startswith(":") else Path(path).stem or None


def _kind(config: Any) -> str:
    return str(config.destination_type or "").rpartition(".")[2]
