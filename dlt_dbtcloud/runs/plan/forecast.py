"""Seconds that commands are predicted to take, by the results of past runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from statistics import median

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import RunArtifacts
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import (
    CommandError,
    DbtCommand,
    Manifest,
    Result,
    Results,
    resource_type_in,
    subcommand_of,
)
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import SETUP_STEPS, seconds_of
from dlt_dbtcloud.typing import Job, Run, RunStep

__all__ = ["Forecast", "Past", "positions_with_results", "read_past"]


# these were not executed, so that their time is none
_NOT_EXECUTED = frozenset({"skipped", "reused"})
# the commands that take longest, which are read first
_LONG = ("build", "run")


@dataclass(frozen=True)
class Past:
    """The results of a past run.

    Args:
        run: The run.
        commands: Its commands.
        results: The results of a command, by its position; only those that could be read.
        is_complete: Whether all of its results were read.
    """

    run: Run
    commands: Sequence[str]
    results: Mapping[int, Results[Result]]
    is_complete: bool

    @property
    def work(self) -> float:
        """The sum of the times of all nodes, in seconds."""
        return sum(sum(_times(results).values()) for results in self.results.values())

    @property
    def elapsed(self) -> float:
        """The time in which they were executed, in seconds."""
        return sum(
            sum(_times(results).values()) if results.elapsed is None else results.elapsed
            for results in self.results.values()
        )

    @property
    def span(self) -> float:
        """The time from the start of the run to its end, in seconds."""
        return max(seconds_of(self.run) or 0.0, self.elapsed)


class Forecast:
    """Predicts how long nodes take, by the medians of past runs.

    Args:
        pasts: The results of the runs.
    """

    def __init__(self, pasts: Sequence[Past]) -> None:
        found: dict[str, list[float]] = defaultdict(list)
        for past in pasts:
            for results in past.results.values():
                for unique_id, seconds in _times(results).items():
                    found[unique_id].append(seconds)
        self._seconds = {unique_id: median(each) for unique_id, each in found.items()}
        ratios = [past.elapsed / past.work for past in pasts if past.work > 0]
        self._ratio = median(ratios) if ratios else 1.0
        rests = [past.span - past.elapsed for past in pasts if past.is_complete]
        self._rest = median(rests) if rests else 0.0

    def __bool__(self) -> bool:
        return bool(self._seconds)

    def seconds(self, nodes_of_steps: Iterable[Set[str]], manifest: Manifest) -> float:
        """Return the predicted seconds of a run.

        Args:
            nodes_of_steps: The unique ids of the nodes of each of its commands.
            manifest: The manifest of the project.
        """
        return self._rest + sum(self._step(nodes, manifest) for nodes in nodes_of_steps)

    def _step(self, nodes: Set[str], manifest: Manifest) -> float:
        seconds = {unique_id: self._node(unique_id) for unique_id in nodes}
        return max(self._ratio * sum(seconds.values()), _longest_chain(seconds, manifest))

    def _node(self, unique_id: str) -> float:
        """Return the seconds of a node; of a new one, the median of its type."""
        if unique_id not in self._seconds:
            kind = resource_type_in(unique_id)
            alike = [s for other, s in self._seconds.items() if resource_type_in(other) == kind]
            self._seconds[unique_id] = median(alike) if alike else 0.0
        return self._seconds[unique_id]


def read_past(
    client: DBTCloudClientV2, run: Run, job: Job, commands: Sequence[str], limit: int
) -> Past:
    """Return the results of a past run, with one request for each of its commands.

    An error costs only the results of its command.

    Args:
        client: The client.
        run: The run, with its trigger.
        job: Its job.
        commands: Its commands.
        limit: The number of requests.
    """
    positions = positions_with_results(commands)
    read: dict[int, Results[Result]] = {}
    artifacts = RunArtifacts(client, run)
    for position in positions[:limit]:
        try:
            found = artifacts.find_results(_step(run, job, commands, position))
        except DBTCloudException as error:
            logger.debug(f"A result of run {run['id']} cannot be read. {error}")
            continue
        if found is not None:
            read[position] = found
    return Past(run, commands, read, len(read) == len(positions))


def positions_with_results(commands: Sequence[str]) -> list[int]:
    """Return the positions of the commands that leave results, the longest first."""
    found = [number for number, line in enumerate(commands) if _leaves_results(line)]
    return sorted(found, key=lambda number: subcommand_of(commands[number]) not in _LONG)


def _step(run: Run, job: Job, commands: Sequence[str], position: int) -> RunStep:
    """Return the step of a command, which the list of runs does not contain."""
    has_docs = run.get("has_docs_generated") or job.get("generate_docs")
    if position == len(commands) - 1 and not has_docs:
        # without an index, the artifacts are those of the last step
        return RunStep()
    checks = bool(run.get("has_sources_generated") or job.get("run_generate_sources"))
    return RunStep(index=SETUP_STEPS + checks + position + 1)


def _leaves_results(line: str) -> bool:
    try:
        return DbtCommand.parse(line).leaves_results
    except CommandError:
        return False


def _times(results: Results[Result]) -> dict[str, float]:
    return {
        result.unique_id: result.execution_time or 0.0
        for result in results.results
        if result.status not in _NOT_EXECUTED
    }


def _longest_chain(seconds: Mapping[str, float], manifest: Manifest) -> float:
    """Return the seconds of the longest chain of nodes that wait for each other."""
    graph = {node: [p for p in manifest.parents(node) if p in seconds] for node in seconds}
    ends: dict[str, float] = {}
    try:
        for node in TopologicalSorter(graph).static_order():
            begin = max((ends[parent] for parent in graph[node]), default=0.0)
            ends[node] = begin + seconds[node]
    except CycleError:
        return 0.0
    return max(ends.values(), default=0.0)
