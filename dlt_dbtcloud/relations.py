"""Where the tables of a load live, as far as a pipeline tells without a connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dlt
from dlt.common.configuration.resolve import inject_section
from dlt.common.configuration.specs import CredentialsConfiguration
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.exceptions import DltException
from dlt.common.pipeline import LoadInfo
from dlt.common.schema import Schema

from dlt_dbtcloud.sources import Relation
from dlt_dbtcloud.tables import pipeline_of, tables_by_schema

__all__ = ["loaded_relations"]

# where the credentials of a destination name what dbt calls the database; DuckDB's own names for
# its files are a connection's affair, and dbt's may differ
_DATABASE = {
    "bigquery": "project_id",
    "databricks": "catalog",
    "fabric": "database",
    "mssql": "database",
    "postgres": "database",
    "redshift": "database",
    "snowflake": "database",
    "synapse": "database",
}


def loaded_relations(
    pipeline_or_load_info: dlt.Pipeline | LoadInfo | None, since: float | None = None
) -> list[Relation]:
    """Return the tables that a load has changed, with the places where they live.

    It takes no connection and no credentials; what is not known without them is None.

    Args:
        pipeline_or_load_info: As for `loaded_tables`.
        since: As for `tables_by_schema`.

    Raises:
        TypeError: It is neither a pipeline nor a load info.
        DBTCloudException: The load failed, so that it is not known what there is to build.
    """
    pipeline = pipeline_of(pipeline_or_load_info)
    relations: list[Relation] = []
    for schema_name, tables in tables_by_schema(pipeline_or_load_info, since).items():
        place = _place(pipeline, schema_name) if pipeline else Relation("")
        relations += [replace(place, name=place.name + table) for table in tables]
    return relations


def _place(pipeline: dlt.Pipeline, schema_name: str) -> Relation:
    """Return the place of a schema's tables, as a relation with what their names begin with."""
    schema = pipeline.schemas[schema_name]
    config = _bound(DestinationClientDwhConfiguration(), pipeline)
    try:
        config, is_case_sensitive = _resolved(pipeline, schema)
    except (DltException, ImportError):
        # the destination's own libraries may be missing where it is not loaded to
        is_case_sensitive = False
    is_dwh = isinstance(config, DestinationClientDwhConfiguration)
    dataset = config.normalize_dataset_name(schema) if is_dwh else None
    separator = getattr(config, "dataset_table_separator", None)
    if dataset and separator:
        # ClickHouse has no schemas: dlt's dataset is the beginning of a table's name there
        return Relation(f"{dataset}{separator}", is_case_sensitive=is_case_sensitive)
    return Relation("", dataset or None, _database(config), is_case_sensitive)


def _resolved(pipeline: dlt.Pipeline, schema: Schema) -> tuple[Any, bool]:
    """Return the destination's configuration, and whether case counts there."""
    destination = pipeline.destination
    section = ConfigSectionContext(pipeline_name=pipeline.pipeline_name)
    with inject_section(section):
        config = destination.configuration(
            _bound(destination.spec(), pipeline), accept_partial=True
        )
    capabilities = destination.capabilities(config, schema.naming)
    return config, bool(capabilities.generates_case_sensitive_identifiers())


def _bound(config: Any, pipeline: dlt.Pipeline) -> Any:
    """Tell a configuration the pipeline's dataset, as dlt does before it loads."""
    if isinstance(config, DestinationClientDwhConfiguration):
        if pipeline.config.use_single_dataset:
            config._bind_dataset_name(pipeline.dataset_name)
        else:
            config._bind_dataset_name(pipeline.dataset_name, pipeline.default_schema_name or "")
    return config


def _database(config: Any) -> str | None:
    """Return what dbt calls the database, or None where the configuration does not tell."""
    kind = str(config.destination_type or "").rpartition(".")[2]
    credentials = config.credentials
    if kind == "bigquery" and config.project_id:
        return str(config.project_id)
    # what was not found has a default instead, which says nothing
    is_known = isinstance(credentials, CredentialsConfiguration) and credentials.is_resolved()
    name = getattr(credentials, _DATABASE.get(kind, ""), None) if is_known else None
    return str(name) if name else None
