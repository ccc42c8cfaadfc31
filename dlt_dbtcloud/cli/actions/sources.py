"""Command `sources`: the dbt `sources:` of a pipeline, printed, written or compared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import dlt

from dlt_dbtcloud.artifacts.download import downloaded
from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import attached, connected
from dlt_dbtcloud.cli.statuses import ExitStatus, InputError
from dlt_dbtcloud.configuration import required_job_id
from dlt_dbtcloud.dbt import Manifest, decode_manifest
from dlt_dbtcloud.declarations import (
    Finding,
    compare_sources,
    dbt_sources,
    is_sources_yaml,
    sources_yaml,
)
from dlt_dbtcloud.loads import loaded_schemas

__all__ = ["sources"]


def sources(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Print, write or check the dbt sources of a pipeline."""
    pipeline = attached(options.pipeline_name, options.pipelines_dir)
    if options.check:
        return _check(options, console, pipeline)
    declared = dbt_sources(pipeline)
    if console.is_json:
        console.json(declared)
    elif not options.write:
        console.write(sources_yaml(declared).rstrip("\n"))
    if options.write:
        _write(Path(options.write), sources_yaml(declared))
        tables = sum(len(source["tables"]) for source in declared["sources"])
        console.note(f"Wrote {tables} table{'s' if tables != 1 else ''} to {options.write}.")
    return ExitStatus.SUCCESS


def _check(options: argparse.Namespace, console: Console, pipeline: dlt.Pipeline) -> ExitStatus:
    """Compare the tables of a pipeline with the sources in the job's manifest."""
    schemas = loaded_schemas(pipeline)
    with connected(options) as (client, config):
        job_id = required_job_id(config)
        manifest = downloaded(
            "manifest.json",
            lambda to: client.download_job_artifact(job_id, "manifest.json", to),
            lambda content: Manifest(decode_manifest(content)),
            f"job {job_id}",
        )
    findings = compare_sources(schemas, manifest)
    _show(console, findings, job_id)
    return ExitStatus.FAILURE if findings else ExitStatus.SUCCESS


def _show(console: Console, findings: Sequence[Finding], job_id: str) -> None:
    if console.is_json:
        console.json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        console.show(f"{finding.kind}  {finding.message}")
    if not findings:
        console.note(f"The sources of job {job_id} declare all tables and columns of the pipeline.")


def _write(file: Path, text: str) -> None:
    """Write a file, or replace one that this command has written.

    Raises:
        InputError: It cannot be written, or is a file of the user.
    """
    try:
        if file.is_file() and not is_sources_yaml(file.read_text("utf-8", "replace")):
            raise InputError(
                f"`{file}` exists, and this command has not written it. Name another file, or "
                "delete it."
            )
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"`{file}` cannot be written: {error.strerror}.") from error
