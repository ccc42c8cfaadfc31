"""Triggers narrowed to the descendants of loaded tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import downloaded
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import outage_pause, retry_after
from dlt_dbtcloud.dbt import (
    Manifest,
    Match,
    NotAnObjectError,
    decode_manifest,
    executed_nodes,
    expected_nodes,
    fed_nodes,
    match_sources,
    narrowed_commands,
)
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudNotFoundError, DBTCloudRateLimitError
from dlt_dbtcloud.payloads import time_of
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.runs.retry.coverage import Scope
from dlt_dbtcloud.runs.trigger.variables import commands_with_variables
from dlt_dbtcloud.typing import Job, RunStatus, TriggerData
from dlt_dbtcloud.values import Relation

__all__ = ["narrowed_trigger"]


_MANIFEST = "manifest.json"
# overrides with which a run may have other sources than the manifest
_OTHER_PROJECT = frozenset(
    {
        "azure_pull_request_id",
        "git_branch",
        "git_sha",
        "github_pull_request_id",
        "gitlab_merge_request_id",
        "non_native_pull_request_id",
        "schema_override",
        "target_name_override",
    }
)
# age up to which a manifest shows that nothing descends from a table
_MAX_AGE = timedelta(days=7)
# the clone, the connection and `dbt deps` come before a job's own commands
_SETUP_STEPS = 3
# consecutive refusals of a manifest while the API answers other requests, in about a minute
_REFUSALS = 6
# misplaced tables that a warning explains, and other tables that a message lists
_NAMED = 3
_LISTED = 20
# characters of a command in a message
_LENGTH = 500


def narrowed_trigger(
    client: DBTCloudClientV2,
    job_id: str,
    body: TriggerData,
    relations: Sequence[Relation],
    *,
    variables: Mapping[str, Any] | None = None,
    timeout: float = 86400.0,
) -> tuple[TriggerData, Scope | None] | None:
    """Return a trigger that builds the descendants of tables, and its scope; None without any.

    The newest manifest of the job narrows its commands. Without a readable manifest the trigger is
    returned as it is, with a warning; an outage is an error instead.

    Args:
        client: The client.
        job_id: The job.
        body: The body of the trigger; its commands replace the job's.
        relations: The tables.
        variables: Variables that all commands pass to dbt.
        timeout: Seconds after which an outage is an error.

    Raises:
        DBTCloudException: The variables cannot be passed.
        DBTCloudAuthError: The token is not accepted.
        DBTCloudAPIError: The API returned another error, or an outage outlasted `timeout`.
        DBTCloudTransportError: The API did not respond within `timeout`.
    """
    reader = _Reader(client, job_id, timeout)
    job = reader.job()
    commands = body.get("steps_override") or job.get("execute_steps")
    if variables:
        commands = commands_with_variables(commands or (), variables, job_id)
        body = {**body, "steps_override": commands}
    if not commands:
        return _whole(body, job_id, "its commands are not known.")
    try:
        manifest = reader.manifest(job)
        narrowed = _narrowed(commands, manifest, relations, body)
    except _UncertainError as error:
        return _whole(body, job_id, str(error))
    if not narrowed.steps:
        doubt = _doubt(manifest, job, client.clock.time())
        return _whole(body, job_id, doubt) if doubt else None
    if narrowed.steps == commands:
        return body, None
    change = f"from {_quoted(commands)} to {_quoted(narrowed.steps)}"
    logger.info(
        f"Narrowed job {job_id} to {narrowed.nodes} of {narrowed.all_nodes} nodes, "
        f"{client.redact(change)}."
    )
    scope = Scope(relations, commands, narrowed.expected)
    return {**body, "steps_override": narrowed.steps}, scope


@dataclass(frozen=True)
class _Narrowed:
    """The commands that build the descendants of the loaded tables.

    Args:
        steps: The commands; none if there are no descendants.
        nodes: The number of descendants.
        all_nodes: The number of nodes in the project.
        expected: The unique ids of the descendants that surely have a result.
    """

    steps: list[str]
    nodes: int
    all_nodes: int
    expected: frozenset[str]


class _UncertainError(Exception):
    """The nodes to build are not certain; the message is the reason."""


class _Reader:
    """Reads a job and its newest manifest within one time limit, outages included."""

    def __init__(self, client: DBTCloudClientV2, job_id: str, timeout: float) -> None:
        self._client = client
        self._job_id = job_id
        self._until = client.clock.monotonic() + timeout

    def job(self) -> Job:
        """Return the job with its most recent completed run."""
        return self._client.patient(self._left).get_job(
            self._job_id, ("most_recent_completed_run",)
        )

    def manifest(self, job: Job) -> Manifest:
        """Return the newest manifest, from the job or an earlier step of its run.

        Raises:
            _UncertainError: There is none, or it cannot be read.
        """
        with suppress(DBTCloudNotFoundError):
            return self._read(
                lambda client, to: client.download_job_artifact(self._job_id, _MANIFEST, to)
            )
        run = job.get("most_recent_completed_run")
        step = _SETUP_STEPS + bool(job.get("run_generate_sources")) + 1
        if run:
            with suppress(DBTCloudNotFoundError):
                return self._read(
                    lambda client, to: client.download_run_artifact(run["id"], _MANIFEST, to, step)
                )
        raise _UncertainError("it has no manifest yet.")

    def _read(self, download: Callable[[DBTCloudClientV2, Path], object]) -> Manifest:
        """Return a manifest, unless it is refused while the API answers other requests."""
        client, refusals = self._client.patient(0), 0
        for failures in count(1):
            try:
                origin = f"job {self._job_id}"
                return downloaded(_MANIFEST, partial(download, client), _decoded, origin)
            except DBTCloudException as error:
                pause, left = outage_pause(error, failures), self._left
                if not error.is_outage or left <= 0 or retry_after(error) > left:
                    raise
                if not isinstance(error, DBTCloudRateLimitError):
                    refusals = refusals + 1 if self._is_api_up() else 0
                if refusals == _REFUSALS:
                    raise _UncertainError(f"its manifest cannot be read. {error}") from error
            client.clock.sleep(min(pause, left))
        raise AssertionError("the loop has no end")

    def _is_api_up(self) -> bool:
        try:
            self._client.patient(0).get_job(self._job_id)
        except DBTCloudException as error:
            if not error.is_outage:
                raise
            return False
        return True

    @property
    def _left(self) -> float:
        return max(0.0, self._until - self._client.clock.monotonic())


def _decoded(content: bytes) -> Manifest:
    """Decode a manifest; any other JSON value is a manifest without nodes."""
    try:
        return Manifest(decode_manifest(content))
    except NotAnObjectError:
        return Manifest()


def _narrowed(
    commands: Sequence[str], manifest: Manifest, relations: Sequence[Relation], body: TriggerData
) -> _Narrowed:
    """Narrow commands to the descendants of tables.

    Raises:
        _UncertainError: The descendants are not certain.
    """
    if manifest.damage:
        raise _UncertainError(f"its manifest cannot be used: {manifest.damage}.")
    match = match_sources(relations, manifest)
    _check(match, body)
    return _Narrowed(
        narrowed_commands(commands, manifest, match.sources),
        len(fed_nodes(manifest, match.sources)),
        len(executed_nodes(manifest, manifest.unique_ids)),
        expected_nodes(commands, manifest, match.sources),
    )


def _doubt(manifest: Manifest, job: Job, now: float) -> str | None:
    """Return why a manifest does not show that nothing descends from a table, as a sentence.

    Only a run refreshes it, and a model that does not compile has no sources in it.
    """
    run = job.get("most_recent_completed_run")
    if run and run.get("status") == RunStatus.ERROR:
        return f"run {run['id']} failed, so its manifest may lack sources of models."
    written = manifest.generated_at.timestamp() if manifest.generated_at else None
    ended = time_of(run, "finished_at") if run else None
    newest = max((each for each in (written, ended) if each), default=now)
    if now - newest > _MAX_AGE.total_seconds():
        days = f"its manifest is older than {_MAX_AGE.days} days"
        return f"{days}, so the project may have other sources."
    return None


def _check(match: Match, body: TriggerData) -> None:
    """Check that the tables are certain to be fed to the matched sources only.

    Raises:
        _UncertainError: Other sources may be these tables.
    """
    misplaced = [table.name for table in match.misplaced]
    advice = " ".join(table.advice for table in match.misplaced[:_NAMED])
    if len(misplaced) > _NAMED:
        advice += f" {len(misplaced) - _NAMED} more tables are not declared in their places."
    uncertain = [*match.undeclared, *misplaced, *match.namesakes]
    if uncertain and _OTHER_PROJECT & body.keys():
        names = listed(sorted(uncertain), _LISTED)
        raise _UncertainError(
            "the run has a git reference, target or schema of its own, and may declare other "
            f"sources for {names} than the newest manifest. {advice}".rstrip()
        )
    if misplaced:
        raise _UncertainError(advice)
    if match.undeclared:
        logger.info(f"Loaded tables without a dbt source: {listed(match.undeclared, _LISTED)}.")


def _quoted(commands: Sequence[str]) -> str:
    return ", ".join(f"`{_cut(command)}`" for command in commands)


def _cut(command: str) -> str:
    return command if len(command) <= _LENGTH else f"{command[:_LENGTH]}…"


def _whole(body: TriggerData, job_id: str, reason: str) -> tuple[TriggerData, None]:
    logger.warning(f"Running all of job {job_id} instead of only what was loaded: {reason}")
    return body, None
