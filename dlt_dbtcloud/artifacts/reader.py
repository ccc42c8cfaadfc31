"""Reader of a run and its artifacts that collects problems instead of raising them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from dlt_dbtcloud.artifacts.download import RunArtifacts
from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.artifacts.results import leaves_results, reported_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest, subcommand_of
from dlt_dbtcloud.payloads import RELATED, command_of, ended_early, lean_run, steps_of
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import as_text

__all__ = ["RunReader"]


_T = TypeVar("_T")
_Found = tuple[RunStep, dict[str, Any]]

_FRESHNESS = ("source freshness", "source snapshot-freshness")
# commands that write a manifest, but no results
_PARSING = ("docs generate", "ls", "parse", "show", *_FRESHNESS)


def _cached(read: Callable[[RunReader], _T]) -> Callable[[RunReader], _T]:
    """Cache the result of a method; `cached_property` blocks threads in Python < 3.12."""

    @wraps(read)
    def cached(reader: RunReader) -> _T:
        if read.__name__ not in reader._values:
            reader._values[read.__name__] = read(reader)
        value: _T = reader._values[read.__name__]
        return value

    return cached


class RunReader:
    """Reads the artifacts of one run, each once.

    Its methods raise transient errors only, as `DBTCloudException`. Permanent errors and missing
    artifacts are `problems`, of which `warn` logs one warning.

    Args:
        client: The client, which waits out outages if it is patient.
        run: The run, when it has finished; its steps are requested if it has none.
        keeps_code: Whether to keep the code of nodes, which is most of an artifact.

    Attributes:
        problems: The problems so far.
        has_asked: Whether the API responded to a request of an artifact.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run, *, keeps_code: bool = False) -> None:
        self._client = client
        self._run = run
        self._keeps_code = keeps_code
        self._values: dict[str, Any] = {}
        self.problems = Problems(run["id"])
        self.has_asked = False

    @_cached
    def read_run(self) -> Run:
        """Return the run with its steps."""
        never_began = "started_at" in self._run and not self._run["started_at"]
        if not self._run.get("run_steps") and not never_began:
            run_id = self._run["id"]
            found = self.problems.read(
                "its steps", lambda: self._client.get_run_status(run_id, RELATED)
            )
            self._run = lean_run(found) if found else self._run
        return self._run

    @_cached
    def read_results(self) -> list[_Found]:
        """Return the steps that have a `run_results.json`, with its content."""
        read = []
        for step in filter(leaves_results, self._steps()):
            found = self._read("run_results.json", step, is_expected=not ended_early(step))
            if found is not None:
                self.problems.check_results(found, step)
                read.append((step, found))
        return read

    @_cached
    def read_manifest(self) -> Manifest:
        """Return the last manifest of the steps that have results, or else of any step."""
        steps = [step for step, _ in self.read_results()]
        if not steps:
            executing = [*filter(leaves_results, self._steps())]
            parsing = [step for step in self._steps() if _runs(step, _PARSING)]
            # dbt Fusion generates no docs, and writes no manifest then
            parsing.sort(key=lambda step: not _runs(step, ("docs generate",)))
            others = executing or parsing
            steps = [step for step in others if not ended_early(step)]
        return next(filter(None, map(self._read_manifest, reversed(steps))), Manifest(None))

    def read_manifest_of(self, step: RunStep, run_results: Mapping[str, Any]) -> Manifest:
        """Return the manifest for a step: its own if it built other relations.

        Args:
            step: A step that has results.
            run_results: Its `run_results.json`.
        """
        last = self.read_manifest()
        if not last or step is self.read_results()[-1][0]:
            return last
        built = {
            result["unique_id"]: result["relation_name"]
            for result in reported_results(run_results)
            if as_text(result.get("relation_name"))
        }
        if all(last.entry(key).get("relation_name") == name for key, name in built.items()):
            return last
        return self._read_manifest(step) or last

    @_cached
    def read_state(self) -> Manifest:
        """Return the manifest of the run to which the run deferred; empty if unknown."""
        run_id = self.read_run().get("deferring_run_id")
        if not run_id:
            self.problems.note("a step deferred, and the run does not report to which run")
            return Manifest(None)
        found = self.problems.read(
            f"the manifest of run {run_id}, to which it deferred,",
            lambda: RunArtifacts(self._client, Run(id=run_id)).read("manifest.json"),
            f"run {run_id}, to which it deferred, has no `manifest.json`",
        )
        if found is not None:
            self.problems.check_manifest(found, f"the manifest of run {run_id}")
        return Manifest(found)

    @_cached
    def read_catalog(self) -> dict[str, Any]:
        """Return the last `catalog.json` of the run's steps; empty if none wrote one.

        dbt Core writes it with `docs generate`. dbt Fusion ignores that command and writes it with
        `--write-catalog`, which the environment may set for all commands.
        """
        steps = [step for step in reversed(self._steps()) if not ended_early(step)]
        docs = [
            step
            for step in steps
            if _runs(step, ("docs generate",)) and step.get("status") == RunStatus.SUCCESS
        ]
        found = None
        if docs and not self.read_manifest().is_from_fusion:
            found = self._read("catalog.json", docs[0], is_expected=True)
        elif docs or any(map(_writes_catalog, steps)):
            writing = [step for step in steps if _writes_catalog(step)]
            others = [step for step in steps if docs and leaves_results(step)]
            found = next(filter(None, map(self._find_catalog, [*writing, *docs, *others])), None)
            if found is None:
                self.problems.note("it has no `catalog.json`; dbt Fusion needs `--write-catalog`")
        if found is not None:
            self.problems.check_catalog(found)
        return found or {}

    @_cached
    def read_freshness(self) -> list[_Found]:
        """Return the steps that checked the freshness of sources, with their `sources.json`."""
        read = []
        for step in self._steps():
            if _runs(step, _FRESHNESS):
                found = self._read("sources.json", step, is_expected=not ended_early(step))
                if found is not None:
                    self.problems.check_sources(found, step)
                    read.append((step, found))
        return read

    def warn(self, hint: str = "") -> None:
        """Log one warning of the problems, if there are any.

        Args:
            hint: The next step.
        """
        self.problems.warn(self._run, hint)

    def _steps(self) -> list[RunStep]:
        return steps_of(self.read_run())

    @_cached
    def _artifacts(self) -> RunArtifacts:
        return RunArtifacts(self._client, self.read_run(), keeps_code=self._keeps_code)

    def _read_manifest(self, step: RunStep) -> Manifest:
        found = self._read("manifest.json", step, is_expected=True)
        if found is not None:
            self.problems.check_manifest(found)
        return Manifest(found)

    def _find_catalog(self, step: RunStep) -> dict[str, Any] | None:
        is_expected = _writes_catalog(step) and step.get("status") == RunStatus.SUCCESS
        found = self.problems.read(
            f"`catalog.json` of step {step.get('index')}",
            lambda: self._artifacts().read(
                "catalog.json", step.get("index"), is_expected=is_expected
            ),
        )
        self.has_asked = True
        return found

    def _read(self, path: str, step: RunStep, *, is_expected: bool) -> dict[str, Any] | None:
        name = f"`{path}` of step {step.get('index')}"
        found = self.problems.read(
            name,
            lambda: self._artifacts().read(path, step.get("index"), is_expected=is_expected),
            f"there is no {name}",
        )
        self.has_asked = True
        return found


def _runs(step: RunStep, subcommands: tuple[str, ...]) -> bool:
    return subcommand_of(command_of(step)) in subcommands


def _writes_catalog(step: RunStep) -> bool:
    return "--write-catalog" in (command_of(step) or "").split()
