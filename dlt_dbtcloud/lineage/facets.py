"""OpenLineage facets of dbt runs, jobs and datasets.

Facets: https://openlineage.io/docs/spec/facets/
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from dlt_dbtcloud.dbt import GenericTest, Manifest, Node
from dlt_dbtcloud.typing import NodeResult
from dlt_dbtcloud.values import as_text

__all__ = [
    "PRODUCER",
    "Facets",
    "assertions_facet",
    "dataset_facets",
    "engine_facet",
    "error_facet",
    "job_type_facet",
    "parent_facet",
    "sql_facet",
    "statistics_facet",
]


Facets = dict[str, Any]

_SPEC = "https://openlineage.io/spec/facets"


def _own_version() -> str:
    try:
        return version("dlt-dbtcloud")
    except PackageNotFoundError:
        return "0"


_VERSION = _own_version()
PRODUCER = f"pkg:pypi/dlt-dbtcloud@{_VERSION}"


def dataset_facets(node: Node, namespace: str) -> Facets:
    """Return the facets of a node's relation: columns, documentation, owners and data source."""
    uri = quote(namespace, safe=":/@") if ":" in namespace else f"{namespace}:"
    fields = [_without_nones(dict(column)) for column in node["columns"]]
    owners = [{"name": owner} for owner in node["owners"]]
    facets = {"dataSource": _facet("1-0-1", "DatasourceDatasetFacet", name=namespace, uri=uri)}
    if fields:
        facets["schema"] = _facet("1-2-0", "SchemaDatasetFacet", fields=fields)
    if node["description"]:
        facets["documentation"] = _facet(
            "1-1-0", "DocumentationDatasetFacet", description=node["description"]
        )
    if owners:
        facets["ownership"] = _facet("1-0-1", "OwnershipDatasetFacet", owners=owners)
    return facets


def statistics_facet(rows: int | None) -> Facets:
    """Return the number of rows written, if known."""
    if rows is None:
        return {}
    facet = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=rows)
    return {"outputStatistics": facet}


def assertions_facet(project: Manifest, result: NodeResult) -> Facets:
    """Return the assertion of a test; a warning is a failure of severity `warn`."""
    entry = project.entry(result["unique_id"])
    generic, severity = entry.test_metadata or GenericTest(), entry.config.severity
    column = entry.column_name or generic.kwargs.get("column_name")
    assertion = {
        "assertion": generic.name or result["name"],
        "success": result["status"] == "pass",
        "name": result["name"],
        "column": as_text(column),
        "severity": severity.lower() if severity else None,
        "description": entry.description or None,
        "actual": None if result["failures"] is None else str(result["failures"]),
    }
    facet = _facet(
        "1-1-0", "DataQualityAssertionsDatasetFacet", assertions=[_without_nones(assertion)]
    )
    return {"dataQualityAssertions": facet}


def engine_facet(dbt_version: str | None) -> Facets:
    """Return the dbt version, if known."""
    if not dbt_version:
        return {}
    engine = {"name": "dbt", "version": dbt_version, "openlineageAdapterVersion": _VERSION}
    return {"processing_engine": _facet("1-1-1", "ProcessingEngineRunFacet", **engine)}


def error_facet(message: str) -> Facets:
    """Return the error message of a run.

    Args:
        message: The redacted message.
    """
    fields = {"message": message, "programmingLanguage": "SQL"}
    return {"errorMessage": _facet("1-0-1", "ErrorMessageRunFacet", **fields)}


def parent_facet(run: Mapping[str, Any], job: Mapping[str, Any]) -> Facets:
    """Return the parent run and its job, which are the root as well."""
    parent = {"run": {"runId": run["runId"]}, "job": {k: job[k] for k in ("namespace", "name")}}
    return {"parent": _facet("1-2-0", "ParentRunFacet", **parent, root=parent)}


def job_type_facet(job_type: str) -> Facets:
    """Return the type of a dbt job: `MODEL`, `SEED`, `SNAPSHOT`, `TEST` or `JOB`."""
    fields = {"processingType": "BATCH", "integration": "DBT", "jobType": job_type}
    return {"jobType": _facet("2-0-4", "JobTypeJobFacet", **fields)}


def sql_facet(project: Manifest, unique_id: str, query: str) -> Facets:
    """Return the query of a node, if its code is SQL.

    Args:
        project: The manifest.
        unique_id: The node.
        query: Its redacted code.
    """
    if not query.strip() or project.entry(unique_id).language == "python":
        return {}
    dialect = {"dialect": project.adapter_type} if project.adapter_type else {}
    return {"sql": _facet("1-1-0", "SQLJobFacet", query=query, **dialect)}


def _facet(revision: str, schema: str, **fields: Any) -> Facets:
    url = f"{_SPEC}/{revision}/{schema}.json#/$defs/{schema}"
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def _without_nones(fields: Mapping[str, Any]) -> Facets:
    return {name: value for name, value in fields.items() if value is not None}
