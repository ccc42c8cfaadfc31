"""Commands of a job, narrowed to the descendants of loaded tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import downloaded
from dlt_dbtcloud.cause import retried_run
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import outage_pause, retry_after
from dlt_dbtcloud.dbt import (
    Manifest,
    Match,
    NarrowedStep,
    NotAnObjectError,
    covers,
    decode_manifest,
    expected_nodes,
    match_sources,
    narrowed_steps,
    nodes_of_command,
)
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudNotFoundError, DBTCloudRateLimitError
from dlt_dbtcloud.payloads import SETUP_STEPS, seconds_of, time_of
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.runs.retry.coverage import Scope
from dlt_dbtcloud.runs.trigger.variables import commands_with_variables
from dlt_dbtcloud.typing import Job, Run, RunStatus, TriggerData
from dlt_dbtcloud.values import Relation

__all__ = [
    "Narrowing",
    "ProjectReader",
    "Saving",
    "UncertainError",
    "is_whole_run",
    "log_narrowing",
    "log_saving",
    "manifest_of",
    "narrowed_by",
    "narrowed_trigger",
    "narrowing",
]


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
# consecutive refusals of a manifest while the API answers other requests, in about a minute
_REFUSALS = 6
# misplaced tables that a warning explains, and other tables that a message lists
_NAMED = 3
_LISTED = 20
# characters of a command in a message
_LENGTH = 500


@dataclass(frozen=True)
class Saving:
    """Savings of a narrowed run, compared with the last run of the whole job.

    Args:
        nodes: The number of nodes that the narrowed run executes.
        all_nodes: The number of nodes that the whole job executes.
        whole: The last successful run of the whole job, if known.
    """

    nodes: int
    all_nodes: int
    whole: Run | None = None


@dataclass(frozen=True)
class Narrowing:
    """The commands of a run, narrowed to the descendants of loaded tables if they are certain.

    Args:
        body: The body of the trigger.
        job: The job.
        commands: The commands before they were narrowed.
        requests: The number of requests for the job and its manifest, without outages.
        manifest: Its newest manifest; None if it could not be read.
        steps: The commands that run, unless all of the job does.
        descendants: The unique ids of all that descends from the tables.
        scope: What the run is to build; None if it was not narrowed.
        undeclared: The loaded tables without a source.
        doubt: Why all of the job runs, as a sentence; None if it does not.
    """

    body: TriggerData
    job: Job
    commands: Sequence[str]
    requests: int = 0
    manifest: Manifest | None = None
    steps: Sequence[NarrowedStep] = ()
    descendants: frozenset[str] = frozenset()
    scope: Scope | None = None
    undeclared: Sequence[str] = ()
    doubt: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is certainly nothing to build."""
        return not self.steps and not self.doubt

    def saving(self, known: Sequence[Run]) -> Saving | None:
        """Return what the run saves, compared with the last whole run among some."""
        manifest = self.manifest
        if self.scope is None or manifest is None:
            return None
        every = manifest.unique_ids
        nodes: set[str] = set()
        for step in self.steps:
            nodes |= nodes_of_command(
                step.line, manifest, every if step.is_whole else self.descendants
            )
        all_nodes = (nodes_of_command(line, manifest, every) for line in self.commands)
        whole = (run for run in known if is_whole_run(run, self.commands))
        newest = max(whole, key=lambda run: run["id"] or 0, default=None)
        return Saving(len(nodes), len(set().union(*all_nodes)), newest)


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
    found = narrowing(client, job_id, body, relations, variables=variables, timeout=timeout)
    log_narrowing(client, job_id, found)
    return None if found.is_empty else (found.body, found.scope)


def narrowing(
    client: DBTCloudClientV2,
    job_id: str,
    body: TriggerData,
    relations: Sequence[Relation],
    *,
    variables: Mapping[str, Any] | None = None,
    timeout: float = 86400.0,
) -> Narrowing:
    """Return how `narrowed_trigger` narrows a job, without a log.

    Args:
        client: The client.
        job_id: The job.
        body: The body of the trigger; its commands replace the job's.
        relations: The tables.
        variables: Variables that all commands pass to dbt.
        timeout: Seconds after which an outage is an error.

    Raises:
        DBTCloudException: As for `narrowed_trigger`.
    """
    reader = ProjectReader(client, job_id, timeout)
    job = reader.job()
    commands = body.get("steps_override") or job.get("execute_steps") or []
    if variables:
        commands = commands_with_variables(commands, variables, job_id)
        body = {**body, "steps_override": commands}
    if not commands:
        return Narrowing(body, job, (), reader.requests, doubt="its commands are not known.")
    try:
        manifest = reader.manifest(job)
    except UncertainError as error:
        return Narrowing(body, job, commands, reader.requests, doubt=str(error))
    whole = Narrowing(body, job, commands, reader.requests)
    return narrowed_by(manifest, whole, relations, client.clock.time())


def narrowed_by(
    manifest: Manifest, whole: Narrowing, relations: Sequence[Relation], now: float
) -> Narrowing:
    """Narrow a job by its manifest if that is certain.

    Args:
        manifest: The newest manifest of the job.
        whole: The job.
        relations: The tables.
        now: The time in seconds since 1970.
    """
    body, commands = whole.body, whole.commands
    whole = replace(whole, manifest=manifest)
    try:
        if manifest.damage:
            raise UncertainError(f"its manifest cannot be used: {manifest.damage}.")
        match = match_sources(relations, manifest)
        whole = replace(whole, undeclared=[*match.undeclared])
        _check(match, body)
    except UncertainError as error:
        return replace(whole, doubt=str(error))
    steps = narrowed_steps(commands, manifest, match.sources)
    lines = [step.line for step in steps]
    descendants = frozenset(manifest.descendants(match.sources))
    narrowed = replace(whole, steps=steps, descendants=descendants)
    if not steps:
        return replace(narrowed, doubt=_doubt(manifest, whole.job, now))
    if lines == [*commands]:
        return narrowed
    scope = Scope(relations, commands, expected_nodes(commands, manifest, match.sources))
    return replace(narrowed, body={**body, "steps_override": lines}, scope=scope)


def log_narrowing(client: DBTCloudClientV2, job_id: str, found: Narrowing) -> None:
    """Log how a job was narrowed, or why it was not."""
    if found.undeclared:
        tables = listed([*found.undeclared], _LISTED)
        logger.info(f"Loaded tables without a dbt source: {tables}.")
    if found.doubt:
        logger.warning(
            f"Running all of job {job_id} instead of only what was loaded: {found.doubt}"
        )
        return
    for step in found.steps:
        if step.problem:
            logger.warning(f"Running a whole step instead of only what was loaded: {step.problem}")
    saving = found.saving(())
    if saving:
        lines = [step.line for step in found.steps]
        change = f"from {_quoted(found.commands)} to {_quoted(lines)}"
        logger.info(
            f"Narrowed job {job_id} to {saving.nodes} of {saving.all_nodes} nodes, "
            f"{client.redact(change)}."
        )


def log_saving(run: Run, saving: Saving) -> None:
    """Log what a successful narrowed run saved.

    Args:
        run: The run, when it has finished.
        saving: What it was to save.
    """
    text = f"Run {run['id']} built {saving.nodes} of {saving.all_nodes} nodes"
    seconds, whole = seconds_of(run), seconds_of(saving.whole) if saving.whole else None
    if saving.whole and seconds is not None and whole is not None:
        change = f"{whole - seconds:.0f} s less" if whole >= seconds else "no less"
        text += (
            f" in {seconds:.0f} s, {change} than the {whole:.0f} s of run {saving.whole['id']}, "
            "the last of the whole job"
        )
    logger.info(f"{text}.")


def is_whole_run(run: Run, commands: Sequence[str]) -> bool:
    """Return whether a run, read with its trigger, succeeded with all commands of a job.

    Args:
        run: The run.
        commands: The commands.
    """
    trigger = run.get("trigger")
    if trigger is None or retried_run(run) is not None or not run.get("is_success"):
        return False
    steps = trigger.get("steps_override")
    return not steps or covers(steps, commands, with_vars=False)


class UncertainError(Exception):
    """The nodes to build are not certain; the message is the reason."""


class ProjectReader:
    """Reads a job and its newest manifest within one time limit, outages included.

    Args:
        client: The client.
        job_id: The job.
        timeout: Seconds after which an outage is an error.

    Attributes:
        requests: The number of requests for them, without those that failed in an outage.
    """

    def __init__(self, client: DBTCloudClientV2, job_id: str, timeout: float) -> None:
        self.requests = 0
        self._client = client
        self._job_id = job_id
        self._until = client.clock.monotonic() + timeout

    def job(self) -> Job:
        """Return the job with its most recent completed run."""
        self.requests += 1
        return self._client.patient(self._left).get_job(
            self._job_id, ("most_recent_completed_run",)
        )

    def manifest(self, job: Job) -> Manifest:
        """Return the newest manifest, from the job or an earlier step of its run.

        Raises:
            UncertainError: There is none, or it cannot be read.
        """
        with suppress(DBTCloudNotFoundError):
            return self._read(
                lambda client, to: client.download_job_artifact(self._job_id, _MANIFEST, to)
            )
        run = job.get("most_recent_completed_run")
        step = SETUP_STEPS + bool(job.get("run_generate_sources")) + 1
        if run:
            with suppress(DBTCloudNotFoundError):
                return self._read(
                    lambda client, to: client.download_run_artifact(run["id"], _MANIFEST, to, step)
                )
        raise UncertainError("it has no manifest yet.")

    def _read(self, download: Callable[[DBTCloudClientV2, Path], object]) -> Manifest:
        """Return a manifest, unless it is refused while the API answers other requests."""
        client, refusals = self._client.patient(0), 0
        self.requests += 1
        for failures in count(1):
            try:
                origin = f"job {self._job_id}"
                return downloaded(_MANIFEST, partial(download, client), manifest_of, origin)
            except DBTCloudException as error:
                pause, left = outage_pause(error, failures), self._left
                if not error.is_outage or left <= 0 or retry_after(error) > left:
                    raise
                if not isinstance(error, DBTCloudRateLimitError):
                    refusals = refusals + 1 if self._is_api_up() else 0
                if refusals == _REFUSALS:
                    raise UncertainError(f"its manifest cannot be read. {error}") from error
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


def manifest_of(content: bytes) -> Manifest:
    """Decode a manifest; any other JSON value is a manifest without nodes."""
    try:
        return Manifest(decode_manifest(content))
    except NotAnObjectError:
        return Manifest()


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
        UncertainError: Other sources may be these tables.
    """
    misplaced = [table.name for table in match.misplaced]
    advice = " ".join(table.advice for table in match.misplaced[:_NAMED])
    if len(misplaced) > _NAMED:
        advice += f" {len(misplaced) - _NAMED} more tables are not declared in their places."
    uncertain = [*match.undeclared, *misplaced, *match.namesakes]
    if uncertain and _OTHER_PROJECT & body.keys():
        names = listed(sorted(uncertain), _LISTED)
        raise UncertainError(
            "the run has a git reference, target or schema of its own, and may declare other "
            f"sources for {names} than the newest manifest. {advice}".rstrip()
        )
    if misplaced:
        raise UncertainError(advice)


def _quoted(commands: Sequence[str]) -> str:
    return ", ".join(f"`{_cut(command)}`" for command in commands)


def _cut(command: str) -> str:
    return command if len(command) <= _LENGTH else f"{command[:_LENGTH]}…"
