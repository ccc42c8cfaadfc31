"""The page of a run of dbt Cloud, read through its API."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dlt.common.exceptions import MissingDependencyException

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.artifacts.results import FAILED, leaves_results, message_of, step_results
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import (
    Catalog,
    Entry,
    FreshnessResult,
    FusionLog,
    Manifest,
    Result,
    Results,
    code_of,
)
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import (
    RELATED,
    command_of,
    has_finished,
    id_of,
    log_of,
    steps_of,
    time_of,
)
from dlt_dbtcloud.report.document import HtmlDocument
from dlt_dbtcloud.report.executions import logged_executions
from dlt_dbtcloud.report.history import History
from dlt_dbtcloud.report.loads import find_load
from dlt_dbtcloud.report.page import (
    Execution,
    Freshness,
    Node,
    RunHead,
    RunPage,
    Step,
    has_content,
    limits_text,
)
from dlt_dbtcloud.report.project import project_nodes
from dlt_dbtcloud.report.rendering import pages
from dlt_dbtcloud.typing import NodeResult, Run, RunStep
from dlt_dbtcloud.values import as_datetime, as_integer, as_mapping, as_number, as_text

__all__ = ["check_jinja", "read_page", "run_report"]


_MAX_LOGGED = 5
_PULL_REQUESTS = (
    *("github_pull_request_id", "gitlab_merge_request_id", "azure_pull_request_id"),
    "non_native_pull_request_id",
)


def run_report(client: DBTCloudClientV2, run_id: int | str | None) -> HtmlDocument:
    """Return the page of a run, which a notebook displays.

    Args:
        client: The client.
        run_id: The run.

    Raises:
        MissingDependencyException: Jinja is not installed.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    check_jinja()
    return HtmlDocument(pages.render_run(read_page(client, run_id), client.redact))


def check_jinja() -> None:
    """Check that Jinja is installed, before anything is requested or started.

    Raises:
        MissingDependencyException: It is not.
    """
    try:
        pages.check_jinja()
    except pages.MissingJinjaError as error:
        raise MissingDependencyException(
            "the page of a run", ["jinja2"], "Or install the `report` extra of dlt-dbtcloud."
        ) from error


def read_page(client: DBTCloudClientV2, run_id: int | str | None) -> RunPage:
    """Return the data of the page of a run, finished or not.

    What cannot be read is left out, and named in `problems`.

    Args:
        client: The client.
        run_id: The run.

    Raises:
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond.
    """
    run = client.get_run_status(run_id, RELATED)
    made_at = client.clock.time()
    patient = client.patient(OUTAGE, cool_down=COOL_DOWN)
    is_finished = has_finished(run)
    # the service has no artifacts of a run in progress
    found = _artifacts_of(RunReader(patient, run, keeps_code=True)) if is_finished else _Artifacts()
    # an outage is waited out once
    history = History(patient if found.is_complete else client.patient(0), run)
    problems = [*found.problems]
    manifest, manifest_run = found.manifest, None
    if not manifest:
        manifest, manifest_run = history.find_manifest()
    if manifest_run and is_finished:
        problems.append(f"its project is that of run {manifest_run}, for lack of its own manifest")
    nodes = project_nodes(manifest.with_catalog(found.catalog), _codes(manifest, found.results))
    executions = tuple(_executions(run, found, manifest, nodes, made_at))
    past = history.past_times() if executions else {}
    return RunPage(
        run=_head(run, found.manifest),
        made_at=made_at,
        steps=_steps(run),
        nodes=nodes,
        executions=executions,
        freshness=found.freshness,
        load=find_load(run, manifest),
        past=past,
        problems=(*problems, *history.problems.found),
    )


@dataclass(frozen=True)
class _Artifacts:
    """The artifacts of a run, none by default."""

    results: Sequence[tuple[RunStep, Results[Result]]] = ()
    manifest: Manifest = field(default_factory=Manifest)
    catalog: Catalog = field(default_factory=Catalog)
    freshness: tuple[Freshness, ...] = ()
    problems: tuple[str, ...] = ()
    is_complete: bool = True


def _artifacts_of(reader: RunReader) -> _Artifacts:
    """Return the artifacts of a run; during an outage, those before it."""
    found = _Artifacts()
    try:
        found = replace(found, results=reader.read_results())
        found = replace(found, manifest=reader.read_manifest())
        freshness = [each for _, of_step in reader.read_freshness() for each in of_step.results]
        found = replace(found, freshness=tuple(map(_freshness, freshness)))
        found = replace(found, catalog=reader.read_catalog())
    except DBTCloudException as error:
        reader.problems.note(f"the API does not send its other artifacts now ({error})")
        reader.warn("Make the page again later.")
        found = replace(found, is_complete=False)
    return replace(found, problems=reader.problems.found)


def _codes(
    manifest: Manifest, results: Sequence[tuple[RunStep, Results[Result]]]
) -> dict[str, str]:
    """Return the compiled code of nodes, of which results have the newest."""
    planned = {
        key: code
        for key in manifest.unique_ids
        if (code := code_of(manifest.entry(key))) is not None
    }
    executed = {
        each.unique_id: code
        for _, found in results
        for each in found.results
        if (code := code_of(each)) is not None
    }
    return planned | executed


def _head(run: Run, manifest: Manifest) -> RunHead:
    job, trigger = as_mapping(run.get("job")), as_mapping(run.get("trigger"))
    version = manifest.dbt_version or run.get("dbt_version")
    pull_requests = map(trigger.get, _PULL_REQUESTS)
    engine = "dbt Fusion" if manifest.is_from_fusion else "dbt Core" if manifest else "dbt"
    return RunHead(
        id=run.get("id"),
        status=run.get("status_humanized") or str(run.get("status") or "Unknown"),
        job=as_text(job.get("name")),
        job_id=run.get("job_definition_id"),
        message=run.get("status_message"),
        created_at=time_of(run, "created_at"),
        started_at=time_of(run, "started_at"),
        finished_at=time_of(run, "finished_at"),
        cause=as_text(trigger.get("cause")),
        url=run.get("href"),
        engine=f"{engine} {version}" if version else None,
        adapter=manifest.adapter_type,
        git_branch=run.get("git_branch") or as_text(trigger.get("git_branch")),
        git_sha=run.get("git_sha") or as_text(trigger.get("git_sha")),
        pull_request=next(filter(None, map(as_integer, pull_requests)), None),
        retries=retried_run(run),
    )


def _steps(run: Run) -> tuple[Step, ...]:
    return tuple(
        Step(
            index=step.get("index") or 0,
            name=step.get("name") or "",
            status=step.get("status_humanized") or str(step.get("status") or ""),
            command=command_of(step),
            started_at=_seconds(step.get("started_at")),
            finished_at=_seconds(step.get("finished_at")),
            log=log_of(step),
        )
        for step in steps_of(run)
    )


def _executions(
    run: Run, found: _Artifacts, manifest: Manifest, nodes: Sequence[Node], now: float
) -> Iterator[Execution]:
    """Yield the executions of each step, from its log if it has no results."""
    results = {step.get("index"): of_step for step, of_step in found.results}
    for step in filter(leaves_results, steps_of(run)):
        of_step = results.get(step.get("index"))
        if of_step is not None:
            yield from _reported(run, step, of_step, manifest)
        else:
            yield from _logged(step, nodes, now, is_running=not has_finished(run))


def _logged(
    step: RunStep, nodes: Sequence[Node], now: float, *, is_running: bool
) -> Sequence[Execution]:
    """Return the executions in the first log of a step that has any."""
    began, ended = _seconds(step.get("started_at")), _seconds(step.get("finished_at"))
    end = now if ended is None else ended
    logs = (step.get("logs"), step.get("debug_logs"), step.get("truncated_debug_logs"))
    found = (
        logged_executions(
            log,
            step.get("index") or 0,
            end if began is None else began,
            end,
            nodes,
            is_running=is_running and ended is None,
        )
        for each in logs
        if (log := as_text(each))
    )
    return next(filter(None, found), ())


def _reported(
    run: Run, step: RunStep, found: Results[Result], manifest: Manifest
) -> Iterator[Execution]:
    """Yield the executions in the results of a step."""
    log = FusionLog(log_of(step))
    for result in step_results(id_of(run), step, found, manifest):
        took = as_number(result["execution_time"]) or 0.0
        yield Execution(
            unique_id=result["unique_id"],
            step=result["step_index"],
            status=result["status"],
            message=_message(result, manifest, log),
            started_at=_seconds(result["started_at"]),
            seconds=max(0.0, took),
            thread=result["thread_id"],
            failures=result["failures"],
            rows=result["rows_affected"],
        )


def _message(result: NodeResult, manifest: Manifest, log: FusionLog) -> str | None:
    """Return the message of a node, or its lines in the log of dbt Fusion."""
    message = message_of(result, manifest)
    if result["status"] not in FAILED or has_content(message):
        return message
    entry = manifest.entry(result["unique_id"])
    logged = log.about(
        Entry(
            name=result["name"],
            resource_type=result["resource_type"],
            original_file_path=result["path"],
            schema=entry.schema,
            alias=entry.alias,
        )
    )
    return "\n".join(logged[:_MAX_LOGGED]) or message


def _freshness(result: FreshnessResult) -> Freshness:
    return Freshness(
        unique_id=result.unique_id,
        status=result.status,
        loaded_at=result.max_loaded_at,
        age=as_number(result.max_loaded_at_time_ago_in_s),
        criteria=limits_text(result.criteria),
        error=None if result.error is None else str(result.error),
    )


def _seconds(time: object) -> float | None:
    moment = as_datetime(time)
    seconds = moment.timestamp() if moment else None
    return seconds if seconds is not None and math.isfinite(seconds) else None
