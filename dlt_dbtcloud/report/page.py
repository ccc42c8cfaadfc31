"""The data of the page of a run, as plain values.

Times are in seconds since 1970, durations in seconds. A text may contain anything; it is cut,
redacted and escaped when the page is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Column",
    "Execution",
    "Freshness",
    "Load",
    "LoadedTable",
    "Node",
    "Outcome",
    "Overview",
    "OverviewJob",
    "OverviewRun",
    "PastTime",
    "RunHead",
    "RunPage",
    "Step",
    "has_content",
    "limits_text",
    "outcome_of",
]


# how the page shows a status: dbt's and dbt Cloud's own words are more, and may be new
Outcome = Literal["good", "warn", "bad", "skipped", "idle", "active", "unknown"]

_OUTCOMES: Mapping[str, Outcome] = {
    **dict.fromkeys(("success", "pass", "succeeded"), "good"),
    **dict.fromkeys(("warn", "stale"), "warn"),
    **dict.fromkeys(("error", "fail", "failed", "runtime error", "partial success"), "bad"),
    **dict.fromkeys(("skipped", "cancelled", "canceled"), "skipped"),
    **dict.fromkeys(("no-op", "reused", "queued"), "idle"),
    **dict.fromkeys(("running", "starting"), "active"),
}
# characters of a status that are read, as a foreign one may have millions
_STATUS = 100

# messages of dbt Fusion that describe nothing
_EMPTY = frozenset({"", "Compilation Error", "Error", "Fail", "Warn"})
_UNITS = ("minute", "hour", "day")


@dataclass(frozen=True)
class Column:
    """A column of a node."""

    name: str
    type: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Node:
    """A node, source or exposure of the project.

    Args:
        unique_id: Its id, which begins with its resource type.
        name: Its name.
        resource_type: Its type, such as `model`.
        package: The package that it is from.
        path: Its file within the package.
        folder: The group in which the lineage shows it.
        parents: The ids of the nodes that it depends on.
        description: Its documentation.
        relation: Its relation in the warehouse.
        materialized: Its materialization.
        columns: Its columns.
        code: Its compiled code.
        owners: Its owners.
        tags: Its tags.
    """

    unique_id: str
    name: str
    resource_type: str
    package: str | None = None
    path: str | None = None
    folder: str | None = None
    parents: tuple[str, ...] = ()
    description: str | None = None
    relation: str | None = None
    materialized: str | None = None
    columns: tuple[Column, ...] = ()
    code: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Execution:
    """The execution of a node in a step.

    Args:
        unique_id: The node.
        step: The index of the step.
        status: dbt's status.
        message: dbt's message.
        started_at: When it began, if known.
        seconds: Its duration.
        thread: dbt's thread.
        failures: The number of failures of a test.
        rows: The number of rows written.
    """

    unique_id: str
    step: int
    status: str
    message: str | None = None
    started_at: float | None = None
    seconds: float = 0.0
    thread: str | None = None
    failures: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Step:
    """A step of the run, with the end of its log.

    Args:
        index: Its index, from 1.
        name: Its name.
        status: dbt Cloud's status.
        command: Its dbt command, if it has one.
        started_at: When it began.
        finished_at: When it ended.
        log: Its log, of which the page shows the end.
        log_url: A URL of its whole log.
        files: The names and URLs of its artifacts.
    """

    index: int
    name: str
    status: str
    command: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    log: str = ""
    log_url: str | None = None
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LoadedTable:
    """A table that dlt has loaded.

    Args:
        name: Its name in the destination.
        rows: The number of rows, if known.
        sources: The ids of the dbt sources that declare it.
    """

    name: str
    rows: int | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """The load that the run is for."""

    pipeline: str
    load_id: str
    tables: tuple[LoadedTable, ...] = ()


@dataclass(frozen=True)
class Freshness:
    """The freshness of a source.

    Args:
        unique_id: The source.
        status: dbt's status.
        loaded_at: When it was last loaded, as dbt reports it.
        age: Its age in seconds.
        criteria: The limits, in words.
        error: The error in its place.
    """

    unique_id: str
    status: str
    loaded_at: str | None = None
    age: float | None = None
    criteria: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class PastTime:
    """The median execution time of a node in earlier runs."""

    seconds: float
    runs: int


@dataclass(frozen=True)
class RunHead:
    """The run itself.

    Args:
        id: Its id.
        status: dbt Cloud's status, in words.
        job: The name of its job.
        job_id: Its job.
        message: The message of its end.
        created_at: When it was queued.
        started_at: When it left the queue.
        finished_at: When it ended.
        cause: Why it was triggered.
        url: Its page in dbt Cloud.
        engine: dbt's name and version.
        adapter: The adapter, such as `duckdb`.
        git_branch: The branch.
        git_sha: The commit.
        pull_request: The number of the pull request that triggered it.
        retries: The id of the run that it retries.
    """

    id: int | None
    status: str
    job: str | None = None
    job_id: int | None = None
    message: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    cause: str | None = None
    url: str | None = None
    engine: str | None = None
    adapter: str | None = None
    git_branch: str | None = None
    git_sha: str | None = None
    pull_request: int | None = None
    retries: int | None = None


@dataclass(frozen=True)
class RunPage:
    """All that the page of a run shows.

    Args:
        run: The run.
        made_at: When the data were read.
        steps: Its steps, in order.
        nodes: The nodes of the project, built or not.
        executions: The executions of nodes, in dbt's order.
        freshness: The freshness of sources.
        load: The load that the run is for.
        past: The median times of nodes in earlier runs, by their ids.
        problems: Why data are missing, in words.
        refresh: The seconds after which the page reads itself again; None if it never changes.
    """

    run: RunHead
    made_at: float
    steps: tuple[Step, ...] = ()
    nodes: tuple[Node, ...] = ()
    executions: tuple[Execution, ...] = ()
    freshness: tuple[Freshness, ...] = ()
    load: Load | None = None
    past: Mapping[str, PastTime] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    refresh: float | None = None


@dataclass(frozen=True)
class OverviewRun:
    """A run in the list of a job.

    Args:
        id: Its id.
        status: Its status, in words.
        url: Its page.
        created_at: When it was queued.
        seconds: How long it took, or has taken so far.
        cause: Why it was triggered.
    """

    id: int
    status: str
    url: str
    created_at: float | None = None
    seconds: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class OverviewJob:
    """A job with its last runs, the newest first.

    Args:
        id: Its id.
        name: Its name.
        commands: The commands that it executes.
        runs: Its last runs.
        more: The number of its earlier runs.
    """

    id: int
    name: str
    commands: tuple[str, ...] = ()
    runs: tuple[OverviewRun, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Overview:
    """The jobs of an account.

    Args:
        name: The account's name.
        account_id: The account.
        jobs: Its jobs.
        refresh: The seconds after which the page reads itself again; None if it never changes.
    """

    name: str
    account_id: int
    jobs: tuple[OverviewJob, ...] = ()
    refresh: float | None = None


def has_content(message: str | None) -> bool:
    """Return whether a message describes anything; some of dbt Fusion do not."""
    return (message or "").strip() not in _EMPTY


def limits_text(criteria: object) -> str | None:
    """Return the limits of a source's freshness in words, such as `warn after 12 hours`.

    Args:
        criteria: dbt's `criteria`; what is not of their form is left out.
    """
    words = []
    for name in ("warn", "error"):
        limit = criteria.get(f"{name}_after") if isinstance(criteria, Mapping) else None
        if not isinstance(limit, Mapping):
            continue
        count, unit = limit.get("count"), limit.get("period")
        if isinstance(count, int | float) and isinstance(unit, str) and unit in _UNITS:
            words.append(f"{name} after {count:g} {unit}{'' if count == 1 else 's'}")
    return ", ".join(words) or None


def outcome_of(status: str | None) -> Outcome:
    """Return how the page shows a status of dbt or dbt Cloud."""
    return _OUTCOMES.get((status or "").strip()[:_STATUS].lower(), "unknown")
