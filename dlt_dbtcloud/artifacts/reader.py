"""What the steps of a run left: each file is read once, and what cannot be is said once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import RunArtifacts
from dlt_dbtcloud.artifacts.results import leaves_results, reported_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest, subcommand_of
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import RELATED, command_of, ended_early, has_finished, lean_run, steps_of
from dlt_dbtcloud.typing import Run, RunStatus, RunStep
from dlt_dbtcloud.values import as_dicts, as_integer, as_mapping, as_number, as_text

__all__ = [
    "Problems",
    "RunReader",
    "odd_in_results",
    "odd_in_sources",
    "odd_sections",
]


_Item = TypeVar("_Item")
_Types = Mapping[str, Callable[[object], object]]

_OF_EACH = ("unique_id", "status")
_RESULT: _Types = {
    "execution_time": as_number,
    "failures": as_integer,
    "message": as_text,
    "relation_name": as_text,
    "rows_affected": as_integer,
    "thread_id": as_text,
}
_FRESHNESS: _Types = {
    "execution_time": as_number,
    "max_loaded_at": as_text,
    "max_loaded_at_time_ago_in_s": as_number,
    "snapshotted_at": as_text,
}
_SECTIONS = ("nodes", "sources", "exposures", "unit_tests")


def odd_in_results(run_results: Mapping[str, Any]) -> list[str]:
    """Return the fields of a `run_results.json` that say something of another type than dbt's."""
    flat = [
        {**each, "rows_affected": as_mapping(each.get("adapter_response")).get("rows_affected")}
        for each in as_dicts(run_results.get("results"))
    ]
    return _odd_fields(run_results, flat, _RESULT)


def odd_in_sources(sources: Mapping[str, Any]) -> list[str]:
    """Return the fields of a `sources.json` that say something of another type than dbt's."""
    return _odd_fields(sources, as_dicts(sources.get("results")), _FRESHNESS)


def odd_sections(artifact: Mapping[str, Any]) -> list[str]:
    """Return the sections of a manifest or catalog that are no objects by their ids."""
    return [name for name in _SECTIONS if not _holds_objects(artifact.get(name))]


def _odd_fields(
    artifact: Mapping[str, Any], told: list[dict[str, Any]], types: _Types
) -> list[str]:
    results = artifact.get("results")
    if not isinstance(results, list) or len(told) < len(results):
        return ["results"]
    lacking = [name for name in _OF_EACH if not all(as_text(each.get(name)) for each in told)]
    odd = [
        name
        for name, read in types.items()
        if any(each.get(name) is not None and read(each[name]) is None for each in told)
    ]
    return [*lacking, *odd]


def _holds_objects(section: object) -> bool:
    if section is None:
        return True
    return isinstance(section, dict) and all(isinstance(each, dict) for each in section.values())


_T = TypeVar("_T")

# dbt Core 1.0 to 1.11 and dbt Fusion
_KNOWN_MANIFESTS = (*range(4, 13), 20)
_VERSION = re.compile(r"/v(\d+)\.json$")


class Problems:
    """Collects what keeps a run from being read completely.

    Args:
        run: The run.

    Attributes:
        run: The run, as well as it is known by now.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._found: list[str] = []

    def note(self, problem: str) -> None:
        """Take note of a problem, once."""
        if problem not in self._found:
            self._found.append(problem)

    def read(self, what: str, ask: Callable[[], _T | None], missing: str = "") -> _T | None:
        """Return what can be read now, and take note of what cannot be, or is not there.

        Args:
            what: What it is called.
            ask: Asks for it.
            missing: What to say where there is none.

        Raises:
            DBTCloudException: An error that may pass: it tells nothing of the run.
        """
        try:
            found = ask()
        except DBTCloudException as error:
            if _may_pass(error):
                raise
            self.note(f"{what} cannot be read ({error})")
            return None
        if found is None:
            self.note(missing)
        return found

    def note_outage(self, error: DBTCloudException, *, is_given_up: bool) -> None:
        """Take note of why the run cannot be read now, and of what to do."""
        again = "the next load reads it again"
        if is_given_up:
            again = f"only `dbt_cloud_results(run_id={self.run['id']})` reads it again"
        self.note(f"it cannot be read now ({error}); {again}")

    def check_results(self, run_results: Mapping[str, Any], step: RunStep) -> None:
        """Take note of what in a `run_results.json` is not understood."""
        where = f"`run_results.json` of step {step.get('index')}"
        self._note_odd(where, odd_in_results(run_results))

    def check_sources(self, sources: Mapping[str, Any], step: RunStep) -> None:
        """Take note of what in a `sources.json` is not understood."""
        self._note_odd(f"`sources.json` of step {step.get('index')}", odd_in_sources(sources))

    def check_manifest(self, manifest: Mapping[str, Any], what: str = "its manifest") -> None:
        """Take note of a manifest of an unknown version, or of something in its place."""
        said = as_mapping(manifest.get("metadata")).get("dbt_schema_version")
        version = _VERSION.search(as_text(said) or "")
        if version and int(version[1]) not in _KNOWN_MANIFESTS:
            self.note(f"{what} is of version {version[1]}, which is not known")
        self._check_nodes(what, manifest)

    def check_catalog(self, catalog: Mapping[str, Any]) -> None:
        """Take note of something in a catalog's place."""
        self._check_nodes("its catalog", catalog)

    def try_to_read(self, what: str, read: Callable[[], list[_Item]]) -> list[_Item]:
        """Return what can be read; nothing where an artifact is not what dbt writes."""
        try:
            return read()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            logger.debug(f"`{what}` of run {self.run['id']}", exc_info=True)
            self.note(f"an artifact is not what dbt writes, so no `{what}` ({error!r})")
            return []

    def warn(self, hint: str = "") -> None:
        """Say once what could not be read, if anything.

        Args:
            hint: What to do.
        """
        problems = self._found if has_finished(self.run) else ["it is not over"]
        if problems:
            status, page = self.run.get("status_humanized"), self.run.get("href") or ""
            name = f"Run {self.run['id']}" + (f" ({status})" if status else "")
            said = f"{name} cannot be read completely: {'; '.join(problems)}."
            logger.warning(" ".join(part for part in (said, hint, page) if part))

    def _check_nodes(self, what: str, artifact: Mapping[str, Any]) -> None:
        if isinstance(artifact.get("nodes"), dict):
            self._note_odd(what, odd_sections(artifact))
        else:
            self.note(f"{what} contains no nodes")

    def _note_odd(self, what: str, names: Iterable[str]) -> None:
        odd = ", ".join(f"`{name}`" for name in names)
        if odd:
            self.note(f"{what} has {odd} that are not what dbt writes")


def _may_pass(error: DBTCloudException) -> bool:
    """Tell an outage, or a token that has just expired, from what will not be there later."""
    status = getattr(error, "status_code", None)
    # at 200 a file was delivered that is none of dbt's, unless that was no answer of the API
    is_foreign = status == HTTPStatus.OK and not error.may_have_arrived
    return status == HTTPStatus.UNAUTHORIZED or (error.is_outage and not is_foreign)


# what writes a manifest, and no results
_PARSING = ("docs generate", "ls", "parse", "show", "source freshness", "source snapshot-freshness")
_CODE = ("raw_code", "compiled_code")
_Found = tuple[RunStep, dict[str, Any]]


class RunReader:
    """Reads the artifacts of one run, as they are asked for; what cannot be is in `problems`.

    Args:
        client: The client, which waits out outages if it is patient.
        run: The run, with its steps, when it has finished.
        keeps_code: Whether to keep the code of nodes, which is most of an artifact.

    Attributes:
        problems: What could not be read.
        has_asked: An artifact was asked for, and that was answered.
    """

    def __init__(
        self,
        client: DBTCloudClientV2,
        run: Run,
        *,
        keeps_code: bool = False,
    ) -> None:
        self._client = client
        self._listed = run
        self._keeps_code = keeps_code
        self.problems = Problems(run)
        self.has_asked = False
        self._run: Run | None = None
        self._artifacts: RunArtifacts | None = None
        self._results: list[_Found] | None = None
        self._manifest: Manifest | None = None
        self._state: Manifest | None = None

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
    def manifest(self) -> Manifest:
        """Return the last `manifest.json` of the steps that left results, or else of any step."""
        if self._manifest is None:
            self._manifest = self._read_last_manifest()
        return self._manifest

    @property
    def state(self) -> Manifest:
        """Return the `manifest.json` of the run that this one defers to, or nothing."""
        if self._state is None:
            self._state = self._read_state()
        return self._state

    def manifest_of(self, step: RunStep, run_results: Mapping[str, Any]) -> Manifest:
        """Return the manifest of a step: its own where it built elsewhere than the last one tells.

        Args:
            step: A step that left results.
            run_results: Its `run_results.json`.
        """
        told = {
            result["unique_id"]: result.get("relation_name")
            for result in reported_results(run_results)
            if as_text(result.get("relation_name"))
        }
        is_last = step is self.results[-1][0] or not self.manifest
        if is_last or all(
            self.manifest.entry(unique_id).get("relation_name") == name
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
            self._artifacts = RunArtifacts(self._client, self.run)
        return self._artifacts

    @property
    def _steps(self) -> list[RunStep]:
        return steps_of(self.run)

    @property
    def _executing(self) -> list[RunStep]:
        """Return the steps that leave results."""
        return [*filter(leaves_results, self._steps)]

    def _read_run(self) -> Run:
        never_began = "started_at" in self._listed and not self._listed["started_at"]
        if self._listed.get("run_steps") or never_began:
            return self._listed
        found = self.problems.read(
            "its steps", lambda: self._client.get_run_status(self._listed["id"], RELATED)
        )
        return lean_run(found) if found else self._listed

    def _read_results(self) -> list[_Found]:
        read = []
        for step in self._executing:
            found = self._read("run_results.json", step, is_expected=not ended_early(step))
            if found is not None:
                self._drop_code(found.get("results"))
                self.problems.check_results(found, step)
                read.append((step, found))
        return read

    def _read_last_manifest(self) -> Manifest:
        with_results = [step for step, _ in self.results]
        others = self._executing or [step for step in self._steps if _does(step, *_PARSING)]
        steps = with_results or [step for step in others if not ended_early(step)]
        return next(filter(None, map(self._read_manifest, reversed(steps))), Manifest(None))

    def _read_state(self) -> Manifest:
        run_id = self.run.get("deferring_run_id")
        if not run_id:
            self.problems.note("a step defers, and it is not told to which run")
            return Manifest(None)
        found = self.problems.read(
            "what it defers to",
            lambda: RunArtifacts(self._client, Run(id=run_id)).read("manifest.json"),
            f"run {run_id}, which it defers to, has no `manifest.json`",
        )
        if found is not None:
            self.problems.check_manifest(found, f"the manifest of run {run_id}")
        return Manifest(found)

    def _read(self, path: str, step: RunStep, *, is_expected: bool) -> dict[str, Any] | None:
        where = f"`{path}` of step {step.get('index')}"
        found = self.problems.read(
            where,
            lambda: self._files.read(path, step.get("index"), is_expected=is_expected),
            f"there is no {where}",
        )
        self.has_asked = True
        return found

    def _read_manifest(self, step: RunStep) -> Manifest:
        found = self._read("manifest.json", step, is_expected=True)
        if found is not None:
            self.problems.check_manifest(found)
            self._drop_code([*as_mapping(found.get("nodes")).values()])
        return Manifest(found)

    def _drop_code(self, entries: object) -> None:
        """Drop the code of nodes, which is most of an artifact, before another one is read."""
        for entry in entries if isinstance(entries, list) and not self._keeps_code else ():
            for name in _CODE if isinstance(entry, dict) else ():
                entry.pop(name, None)


def _does(step: RunStep, *what: str) -> bool:
    return subcommand_of(command_of(step)) in what


def _has_succeeded(step: RunStep) -> bool:
    return step.get("status") == RunStatus.SUCCESS
