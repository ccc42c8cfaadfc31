"""The data of the page of a job's runs over time, as plain values.

Times are in seconds since 1970, durations in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "NodeTime", "SourceAge", "Trend", "TrendRun"]


Kind = Literal["whole", "narrowed", "other"]


@dataclass(frozen=True)
class TrendRun:
    """A run of the job.

    Args:
        id: Its id.
        status: dbt Cloud's status, in words.
        created_at: When it was triggered.
        seconds: Its duration from the start to the end.
        url: Its page.
        kind: Whether it executed its whole job, or only what its load changed; a retry and a run
            of other commands do neither.
    """

    id: int
    status: str
    created_at: float
    seconds: float | None = None
    url: str | None = None
    kind: Kind = "whole"


@dataclass(frozen=True)
class NodeTime:
    """The execution of a node in a run.

    Args:
        run: The run.
        unique_id: The node.
        name: Its name.
        resource_type: Its type.
        status: dbt's status.
        seconds: Its duration.
    """

    run: int
    unique_id: str
    name: str
    resource_type: str
    status: str
    seconds: float = 0.0


@dataclass(frozen=True)
class SourceAge:
    """The age of a source in a run, as its freshness was checked."""

    run: int
    unique_id: str
    status: str
    age: float | None = None


@dataclass(frozen=True)
class Trend:
    """The runs of a job over some days.

    Args:
        job_id: The job.
        days: The number of days.
        made_at: When the data were read.
        origin: Where the data are from, in words.
        job: The name of the job.
        runs: Its runs, oldest first.
        nodes: The executions of nodes, by run.
        sources: The ages of sources, by run.
        problems: Why data are missing, in words.
    """

    job_id: int
    days: int
    made_at: float
    origin: str
    job: str | None = None
    runs: tuple[TrendRun, ...] = ()
    nodes: tuple[NodeTime, ...] = ()
    sources: tuple[SourceAge, ...] = ()
    problems: tuple[str, ...] = ()
