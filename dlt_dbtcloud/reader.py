"""What the steps of a run left: each file is read once, and what cannot be is said once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dlt_dbtcloud.artifacts import OUTAGE, RunArtifacts
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.commands import subcommand
from dlt_dbtcloud.graph import find_node
from dlt_dbtcloud.guards import as_mapping, text
from dlt_dbtcloud.listing import RELATED, lean
from dlt_dbtcloud.outages import through_outages
from dlt_dbtcloud.pacing import Pace
from dlt_dbtcloud.problems import Problems
from dlt_dbtcloud.results import leaves_results, told_results
from dlt_dbtcloud.steps import command_of, ended_early, steps_of
from dlt_dbtcloud.typing import Run, RunStatus, RunStep

__all__ = ["RunReader"]

# what writes a manifest, and no results
_PARSING = ("docs generate", "ls", "parse", "show", "source freshness", "source snapshot-freshness")
_CODE = ("raw_code", "compiled_code")
_Found = tuple[RunStep, dict[str, Any]]


class RunReader:
    """Reads the artifacts of one run, as they are asked for; what cannot be is in `problems`.

    Args:
        client: What fetches them.
        run: The run, with its steps, when it is over.
        pace: How fast it is asked, together with others.
        keeps_code: Keep the code of nodes, which is most of what there is.
        clock: What the time is told by.
        outage: Seconds after which an outage is raised as an error.
        cool_down: More seconds, where the API itself says how long it wants to be left alone.

    Attributes:
        problems: What could not be read.
        has_asked: An artifact was asked for, and that was answered.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        run: Run,
        *,
        pace: Pace | None = None,
        keeps_code: bool = False,
        clock: Clock = time,
        outage: float = OUTAGE,
        cool_down: float = 0.0,
    ) -> None:
        self._client = client
        self._listed = run
        self._pace = pace or Pace(clock=clock)
        self._keeps_code = keeps_code
        self._clock = clock
        self._outage = outage
        self._cool_down = cool_down
        self.problems = Problems(run)
        self.has_asked = False
        self._run: Run | None = None
        self._artifacts: RunArtifacts | None = None
        self._results: list[_Found] | None = None
        self._manifest: dict[str, Any] | None = None
        self._state: dict[str, Any] | None = None

    # functools.cached_property would let one thread read at a time before Python 3.12

    @property
    def run(self) -> Run:
        """Return the run with its steps, which are asked for where it was listed without."""
        if self._run is None:
            self._run = self.problems.run = self._read_run()
        return self._run

    @property
    def results(self) -> list[_Found]:
        """Return the steps that left a `run_results.json`, with that."""
        if self._results is None:
            self._results = self._read_results()
        return self._results

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the last `manifest.json` of the steps that left results, or else of any step."""
        if self._manifest is None:
            self._manifest = self._read_last_manifest()
        return self._manifest

    @property
    def state(self) -> dict[str, Any]:
        """Return the `manifest.json` of the run that this one defers to, or nothing."""
        if self._state is None:
            self._state = self._read_state()
        return self._state

    def manifest_of(self, step: RunStep, run_results: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest of a step: its own where it built elsewhere than the last one tells.

        Args:
            step: A step that left results.
            run_results: Its `run_results.json`.
        """
        told = {
            result["unique_id"]: result.get("relation_name")
            for result in told_results(run_results)
            if text(result.get("relation_name"))
        }
        is_last = step is self.results[-1][0] or not self.manifest
        if is_last or all(
            find_node(self.manifest, unique_id).get("relation_name") == name
            for unique_id, name in told.items()
        ):
            return self.manifest
        return self._read_manifest(step) or self.manifest

    @property
    def catalog(self) -> dict[str, Any]:
        """Return the last `catalog.json` of the steps that generated docs, or nothing."""
        steps = [
            step for step in self._steps if _does(step, "docs generate") and _has_succeeded(step)
        ]
        found = self._read("catalog.json", steps[-1], is_expected=True) if steps else None
        if found is not None:
            self.problems.check_catalog(found)
        return found or {}

    @property
    def freshness(self) -> list[_Found]:
        """Return the steps that looked at the freshness of sources, with their `sources.json`."""
        read = []
        for step in self._steps:
            if _does(step, "source freshness", "source snapshot-freshness"):
                found = self._read("sources.json", step, is_expected=not ended_early(step))
                if found is not None:
                    self.problems.check_sources(found, step)
                    read.append((step, found))
        return read

    @property
    def _files(self) -> RunArtifacts:
        """Return what reads the run's files, which waits the less the longer the run is over."""
        if self._artifacts is None:
            self._artifacts = self._files_of(self.run)
        return self._artifacts

    @property
    def _steps(self) -> list[RunStep]:
        return steps_of(self.run)

    @property
    def _executing(self) -> list[RunStep]:
        """Return the steps that leave results."""
        return [*filter(leaves_results, self._steps)]

    def _files_of(self, run: Run) -> RunArtifacts:
        return RunArtifacts(
            self._client, run, self._clock, outage=self._outage, cool_down=self._cool_down
        )

    def _read_run(self) -> Run:
        never_began = "started_at" in self._listed and not self._listed["started_at"]
        if self._listed.get("run_steps") or never_began:
            return self._listed
        ask = self._client.without_retries().get_run_status
        self._pace.keep()
        found = self.problems.read(
            "its steps",
            lambda: through_outages(
                lambda: ask(self._listed["id"], RELATED),
                timeout=self._outage,
                cool_down=self._cool_down,
                clock=self._clock,
            ),
        )
        return lean(found) if found else self._listed

    def _read_results(self) -> list[_Found]:
        read = []
        for step in self._executing:
            found = self._read("run_results.json", step, is_expected=not ended_early(step))
            if found is not None:
                self._drop_code(found.get("results"))
                self.problems.check_results(found, step)
                read.append((step, found))
        return read

    def _read_last_manifest(self) -> dict[str, Any]:
        with_results = [step for step, _ in self.results]
        others = self._executing or [step for step in self._steps if _does(step, *_PARSING)]
        steps = with_results or [step for step in others if not ended_early(step)]
        return next(filter(None, map(self._read_manifest, reversed(steps))), {})

    def _read_state(self) -> dict[str, Any]:
        run_id = self.run.get("deferring_run_id")
        if not run_id:
            self.problems.note("a step defers, and it is not told to which run")
            return {}
        self._pace.keep()
        found = self.problems.read(
            "what it defers to",
            lambda: self._files_of(Run(id=run_id)).read("manifest.json"),
            f"run {run_id}, which it defers to, has no `manifest.json`",
        )
        if found is not None:
            self.problems.check_manifest(found, f"the manifest of run {run_id}")
        return found or {}

    def _read(self, path: str, step: RunStep, *, is_expected: bool) -> dict[str, Any] | None:
        where = f"`{path}` of step {step.get('index')}"
        self._pace.keep()
        found = self.problems.read(
            where,
            lambda: self._files.read(path, step.get("index"), is_expected=is_expected),
            f"there is no {where}",
        )
        self.has_asked = True
        return found

    def _read_manifest(self, step: RunStep) -> dict[str, Any]:
        manifest = self._read("manifest.json", step, is_expected=True)
        if manifest is None:
            return {}
        self.problems.check_manifest(manifest)
        self._drop_code([*as_mapping(manifest.get("nodes")).values()])
        return manifest

    def _drop_code(self, entries: object) -> None:
        """Drop the code of nodes, which is most of an artifact, before another one is read."""
        for entry in entries if isinstance(entries, list) and not self._keeps_code else ():
            for name in _CODE if isinstance(entry, dict) else ():
                entry.pop(name, None)


def _does(step: RunStep, *what: str) -> bool:
    return subcommand(command_of(step)) in what


def _has_succeeded(step: RunStep) -> bool:
    return step.get("status") == RunStatus.SUCCESS
