"""The facets of OpenLineage that tell what dbt knows of a run, a job and a dataset.

Facets: https://openlineage.io/docs/spec/facets/
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from dlt_dbtcloud.dbt.manifest import Manifest, Node
from dlt_dbtcloud.redaction import without_secrets
from dlt_dbtcloud.typing import NodeResult
from dlt_dbtcloud.values import as_mapping, as_text

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
    """Return what is known of a node's relation: columns, documentation, owners and source."""
    uri = quote(namespace, safe=":/@") if ":" in namespace else f"{namespace}:"
    fields = [_without_nones(dict(column)) for column in node["columns"]]
    owners = [{"name": owner} for owner in node["owners"]]
    facets = {"dataSource": _facet("1-0-1", "DatasourceDatasetFacet", name=namespace, uri=uri)}
    if fields:
        facets["schema"] = _facet("1-2-0", "SchemaDatasetFacet", fields=fields)
    if node["description"]:
        described = _facet("1-1-0", "DocumentationDatasetFacet", description=node["description"])
        facets["documentation"] = described
    if owners:
        facets["ownership"] = _facet("1-0-1", "OwnershipDatasetFacet", owners=owners)
    return facets


def statistics_facet(rows: int | None) -> Facets:
    """Return how many rows were written, where that is known."""
    if rows is None:
        return {}
    facet = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=rows)
    return {"outputStatistics": facet}


def assertions_facet(project: Manifest, result: NodeResult) -> Facets:
    """Return what a test asserts of a dataset, and whether it holds.

    A test that warns found something: its severity says that this stops nothing.
    """
    entry = project.entry(result["unique_id"])
    generic = as_mapping(entry.get("test_metadata"))
    severity = as_text(as_mapping(entry.get("config")).get("severity"))
    column = entry.get("column_name") or as_mapping(generic.get("kwargs")).get("column_name")
    assertion = {
        "assertion": as_text(generic.get("name")) or result["name"],
        "success": result["status"] == "pass",
        "name": result["name"],
        "column": as_text(column),
        "severity": severity.lower() if severity else None,
        "description": as_text(entry.get("description")) or None,
        "actual": None if result["failures"] is None else str(result["failures"]),
    }
    assertions = [_without_nones(assertion)]
    facet = _facet("1-1-0", "DataQualityAssertionsDatasetFacet", assertions=assertions)
    return {"dataQualityAssertions": facet}


def engine_facet(dbt_version: str | None) -> Facets:
    """Return which dbt it was."""
    if not dbt_version:
        return {}
    engine = {"name": "dbt", "version": dbt_version, "openlineageAdapterVersion": _VERSION}
    return {"processing_engine": _facet("1-1-1", "ProcessingEngineRunFacet", **engine)}


def error_facet(message: str) -> Facets:
    """Return why a run failed, without what looks like a secret."""
    told = without_secrets(message)
    facet = _facet("1-0-1", "ErrorMessageRunFacet", message=told, programmingLanguage="SQL")
    return {"errorMessage": facet}


def parent_facet(run: Mapping[str, Any], job: Mapping[str, Any]) -> Facets:
    """Return by which run of which job a run was started, and that nothing stands above those."""
    parent = {"run": {"runId": run["runId"]}, "job": {k: job[k] for k in ("namespace", "name")}}
    return {"parent": _facet("1-2-0", "ParentRunFacet", **parent, root=parent)}


def job_type_facet(kind: str) -> Facets:
    """Return what kind of dbt's jobs it is: `MODEL`, `SEED`, `SNAPSHOT`, `TEST`, or `JOB`."""
    kinds = {"processingType": "BATCH", "integration": "DBT", "jobType": kind}
    return {"jobType": _facet("2-0-4", "JobTypeJobFacet", **kinds)}


def sql_facet(project: Manifest, unique_id: str, code: str) -> Facets:
    """Return the query of a node, where its code is SQL, without what looks like a secret."""
    query = without_secrets(code)
    if not query.strip() or project.entry(unique_id).get("language") == "python":
        return {}
    dialect = {"dialect": project.adapter_type} if project.adapter_type else {}
    return {"sql": _facet("1-1-0", "SQLJobFacet", query=query, **dialect)}


def _facet(revision: str, kind: str, **fields: Any) -> Facets:
    url = f"{_SPEC}/{revision}/{kind}.json#/$defs/{kind}"
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def _without_nones(fields: Mapping[str, Any]) -> Facets:
    return {name: value for name, value in fields.items() if value is not None}
