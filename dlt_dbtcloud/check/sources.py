"""Findings on the tables of a pipeline and the sources of a dbt project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import dlt

from dlt_dbtcloud.artifacts.download import downloaded
from dlt_dbtcloud.check.findings import failed, passed
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest, Match, NotAnObjectError, decode_manifest, match_sources
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudNotFoundError
from dlt_dbtcloud.loads import loaded_schemas
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.typing import Finding, Job
from dlt_dbtcloud.values import Relation

__all__ = ["check_sources", "source_findings"]


_MANIFEST = "manifest.json"
_LISTED = 20


def check_sources(client: DBTCloudClientV2, job: Job, pipeline: dlt.Pipeline) -> Iterator[Finding]:
    """Yield which tables of a pipeline have sources in the newest manifest of a job.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job%20Artifact
    """
    try:
        tables = [table for schema in loaded_schemas(pipeline) for table in schema.tables]
    except ValueError as error:
        yield failed("tables", str(error), "`pipeline.sync_destination()`, or load first")
        return
    run_it = f"`run_dbt_cloud_job(job_id={job['id']})`"
    download = partial(client.download_job_artifact, job["id"], _MANIFEST)
    try:
        manifest = downloaded(_MANIFEST, download, _decoded, f"job {job['id']}")
    except DBTCloudNotFoundError:
        message = "The sources are not known: the job has no manifest yet."
        yield failed("manifest", message, f"{run_it}, which runs it once")
        return
    except DBTCloudException as error:
        yield failed("manifest", f"The sources are not known. {error}", "check again later")
        return
    if manifest.damage:
        message = f"The manifest of the job cannot be used: {manifest.damage}."
        yield failed("manifest", message, f"{run_it}, which writes a new one")
        return
    yield from source_findings([table.relation for table in tables], manifest)


def source_findings(relations: Sequence[Relation], manifest: Manifest) -> Iterator[Finding]:
    """Yield which tables have a source, which have none, and which sources are not loaded.

    Args:
        relations: The tables that the pipeline loads.
        manifest: The manifest of the project.
    """
    match = match_sources(relations, manifest)
    enabled = {
        uid: f"{entry.source_name}.{entry.name}"
        for uid, entry in manifest.sources.items()
        if entry.config.enabled is not False
    }
    if match.sources:
        names = listed([f"`{enabled[uid]}`" for uid in match.sources], _LISTED)
        yield passed("sources", f"The pipeline loads the sources {names}.")
    for table in match.misplaced:
        yield failed("tables", table.advice, table.change)
    if match.undeclared:
        names = listed([f"`{name}`" for name in match.undeclared], _LISTED)
        fix = _declaration(match, relations, manifest)
        yield failed("tables", f"Loaded tables have no source: {names}.", fix)
    meant = {uid for table in match.misplaced for uid in table.sources}
    unloaded = [name for uid, name in enabled.items() if uid not in {*match.sources, *meant}]
    if unloaded:
        names = listed([f"`{name}`" for name in sorted(unloaded)], _LISTED)
        yield passed("unloaded", f"The pipeline does not load the sources {names}.")


def _declaration(match: Match, relations: Sequence[Relation], manifest: Manifest) -> str:
    """Return the lines that declare the tables without a source."""
    tables = match.undeclared[:_LISTED]
    if match.sources:
        entry = manifest.entry(match.sources[0])
        lines = " and ".join(f"`- name: {name}`" for name in tables)
        file = f" in `{entry.original_file_path}`" if entry.original_file_path else ""
        return f"add {lines} under `tables:` of source `{entry.source_name}`{file}"
    schema = next((each.dataset for each in relations if each.dataset), None) or "raw"
    names = ", ".join(f"{{name: {name}}}" for name in tables)
    return f"declare `sources: [{{name: {schema}, schema: {schema}, tables: [{names}]}}]`"


def _decoded(content: bytes) -> Manifest:
    """Decode a manifest; any other JSON value is a manifest without nodes."""
    try:
        return Manifest(decode_manifest(content))
    except NotAnObjectError:
        return Manifest()
