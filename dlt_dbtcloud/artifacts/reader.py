"""Reader of a run and its artifacts that collects problems instead of raising them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from dlt_dbtcloud.artifacts.download import RunArtifacts
from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.artifacts.results import leaves_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Catalog, FreshnessResult, Manifest, Result, Results, subcommand_of
from dlt_dbtcloud.payloads import RELATED, command_of, ended_early, lean_run, steps_of
from dlt_dbtcloud.typing import Run, RunStatus, RunStep

__all__ = ["FRESHNESS", "RunReader"]


_T = TypeVar("_T")

FRESHNESS = ("source freshness", "source snapshot-freshness")
# commands that write a manifest, but no results
_PARSING = ("docs generate", "ls", "parse", "show", *FRESHNESS)


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
        keeps_code: Whether to decode the code of nodes, which is most of an artifact.

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
    def read_results(self) -> list[tuple[RunStep, Results[Result]]]:
        """Return the steps that have a `run_results.json`, with its content."""
        steps = [*filter(leaves_results, self._steps())]
        return self._read_steps("run_results.json", steps, self._artifacts().read_results)

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
        return next(filter(None, map(self._read_manifest, reversed(steps))), Manifest())

    def read_manifest_of(self, step: RunStep, run_results: Results[Result]) -> Manifest:
        """Return the manifest for a step: its own if it built other relations.

        Args:
            step: A step that has results.
            run_results: Its `run_results.json`.
        """
        last = self.read_manifest()
        if not last or step is self.read_results()[-1][0]:
            return last
        built = (each for each in run_results.results if each.relation_name)
        if all(last.entry(each.unique_id).relation_name == each.relation_name for each in built):
            return last
        return self._read_manifest(step) or last

    @_cached
    def read_state(self) -> Manifest:
        """Return the manifest of the run to which the run deferred; empty if unknown."""
        run_id = self.read_run().get("deferring_run_id")
        if not run_id:
            self.problems.note("a step deferred, and the run does not report to which run")
            return Manifest()
        found = self.problems.read(
            f"the manifest of run {run_id}, to which it deferred,",
            RunArtifacts(self._client, Run(id=run_id)).find_manifest,
            f"run {run_id}, to which it deferred, has no `manifest.json`",
        )
        if found is not None:
            name = f"the manifest of run {run_id}"
            self.problems.check(name, found.unread, has_nodes=bool(found))
        return found or Manifest()

    @_cached
    def read_catalog(self) -> Catalog:
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
            find = partial(self._artifacts().find_catalog, is_expected=True)
            found = self._read("catalog.json", docs[0], find)
        elif docs or any(map(_writes_catalog, steps)):
            writing = [step for step in steps if _writes_catalog(step)]
            others = [step for step in steps if docs and leaves_results(step)]
            tried = map(self._find_catalog, [*writing, *docs, *others])
            found = next((each for each in tried if each is not None), None)
            if found is None:
                self.problems.note("it has no `catalog.json`; dbt Fusion needs `--write-catalog`")
        if found is not None:
            self.problems.check("its catalog", found.unread, has_nodes=found.nodes is not None)
        return found or Catalog()

    @_cached
    def read_freshness(self) -> list[tuple[RunStep, Results[FreshnessResult]]]:
        """Return the steps that checked the freshness of sources, with their `sources.json`."""
        steps = [step for step in self._steps() if _runs(step, FRESHNESS)]
        return self._read_steps("sources.json", steps, self._artifacts().read_freshness)

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

    def _read_manifest(self, step: RunStep) -> Manifest | None:
        find = self._artifacts().find_manifest
        found = self._read(
            "manifest.json", step, lambda step: find(step.get("index"), is_expected=True)
        )
        if found is not None:
            self.problems.check("its manifest", found.unread, has_nodes=bool(found))
        return found

    def _find_catalog(self, step: RunStep) -> Catalog | None:
        is_expected = _writes_catalog(step) and step.get("status") == RunStatus.SUCCESS
        find = partial(self._artifacts().find_catalog, is_expected=is_expected)
        return self._read("catalog.json", step, find, is_required=False)

    def _read_steps(
        self, path: str, steps: list[RunStep], fetch: Callable[[RunStep], Results[_T] | None]
    ) -> list[tuple[RunStep, Results[_T]]]:
        read = [(step, self._read(path, step, fetch)) for step in steps]
        for step, found in read:
            if found is not None:
                self.problems.check(_named(path, step), found.unread)
        return [(step, found) for step, found in read if found is not None]

    def _read(
        self,
        path: str,
        step: RunStep,
        fetch: Callable[[RunStep], _T | None],
        *,
        is_required: bool = True,
    ) -> _T | None:
        name = _named(path, step)
        missing = f"there is no {name}" if is_required else ""
        found = self.problems.read(name, lambda: fetch(step), missing)
        self.has_asked = True
        return found


def _named(path: str, step: RunStep) -> str:
    return f"`{path}` of step {step.get('index')}"


def _runs(step: RunStep, subcommands: tuple[str, ...]) -> bool:
    return subcommand_of(command_of(step)) in subcommands


def _writes_catalog(step: RunStep) -> bool:
    return "--write-catalog" in (command_of(step) or "").split()
