"""Problems in reading a run, collected for one warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from dlt.common import logger

from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import has_finished
from dlt_dbtcloud.typing import Run, RunStep
from dlt_dbtcloud.values import as_dicts, as_integer, as_mapping, as_number, as_text

__all__ = ["Problems", "unexpected_in_results"]


_T = TypeVar("_T")
_Types = Mapping[str, Callable[[object], object]]

_REQUIRED = ("unique_id", "status")
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


class Problems:
    """Collects the problems in reading a run.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: int | None) -> None:
        self._run_id = run_id
        self._found: list[str] = []

    def note(self, problem: str) -> None:
        """Note a problem, once."""
        if problem not in self._found:
            self._found.append(problem)

    def read(self, name: str, fetch: Callable[[], _T | None], missing: str = "") -> _T | None:
        """Return the fetched object; note if it is missing, or a permanent error.

        Args:
            name: The name of the object.
            fetch: Fetches it.
            missing: The problem if it is missing; empty if that is expected.

        Raises:
            DBTCloudException: The error is transient.
        """
        try:
            found = fetch()
        except DBTCloudException as error:
            if _is_transient(error):
                raise
            self.note(f"{name} cannot be read ({error})")
            return None
        if found is None and missing:
            self.note(missing)
        return found

    def note_outage(self, error: DBTCloudException, *, is_given_up: bool) -> None:
        """Note a transient error, and when the run is read again.

        Args:
            error: The error.
            is_given_up: Whether the next loads do not read the run again.
        """
        again = "the next load reads it again"
        if is_given_up:
            again = f"only `dbt_cloud_results(run_id={self._run_id})` reads it again"
        self.note(f"it cannot be read now ({error}); {again}")

    def check_results(self, run_results: Mapping[str, Any], step: RunStep) -> None:
        """Note unexpected fields of a `run_results.json`."""
        name = f"`run_results.json` of step {step.get('index')}"
        self._note_unexpected(name, unexpected_in_results(run_results))

    def check_sources(self, sources: Mapping[str, Any], step: RunStep) -> None:
        """Note unexpected fields of a `sources.json`."""
        name = f"`sources.json` of step {step.get('index')}"
        results = as_dicts(sources.get("results"))
        self._note_unexpected(name, _unexpected_fields(sources, results, _FRESHNESS))

    def check_manifest(self, manifest: Mapping[str, Any], name: str = "its manifest") -> None:
        """Note unexpected sections of a manifest; its version does not matter."""
        self._check_sections(name, manifest)

    def check_catalog(self, catalog: Mapping[str, Any]) -> None:
        """Note unexpected sections of a catalog."""
        self._check_sections("its catalog", catalog)

    def try_to_read(self, table: str, read: Callable[[], list[_T]]) -> list[_T]:
        """Return the rows of a table; note an artifact of another format."""
        try:
            return read()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            logger.debug(f"`{table}` of run {self._run_id}", exc_info=True)
            self.note(f"an artifact has an unexpected format, so no `{table}` ({error!r})")
            return []

    def warn(self, run: Run, hint: str = "") -> None:
        """Log one warning of all problems, if there are any.

        Args:
            run: The run.
            hint: The next step.
        """
        problems = self._found if has_finished(run) else ["it has not finished"]
        if problems:
            status, page = run.get("status_humanized"), run.get("href") or ""
            name = f"Run {run['id']}" + (f" ({status})" if status else "")
            message = f"{name} cannot be read completely: {'; '.join(problems)}."
            logger.warning(" ".join(filter(None, (message, hint, page))))

    def _check_sections(self, name: str, artifact: Mapping[str, Any]) -> None:
        if not isinstance(artifact.get("nodes"), dict):
            self.note(f"{name} contains no nodes")
            return
        sections = (section for section in _SECTIONS if artifact.get(section) is not None)
        self._note_unexpected(
            name, [section for section in sections if not _has_objects(artifact[section])]
        )

    def _note_unexpected(self, name: str, fields: list[str]) -> None:
        if fields:
            listed = ", ".join(f"`{field}`" for field in fields)
            self.note(f"{name} has {listed} of an unexpected type")


def unexpected_in_results(run_results: Mapping[str, Any]) -> list[str]:
    """Return the fields of a `run_results.json` that have an unexpected type."""
    flat = [
        {**each, "rows_affected": as_mapping(each.get("adapter_response")).get("rows_affected")}
        for each in as_dicts(run_results.get("results"))
    ]
    return _unexpected_fields(run_results, flat, _RESULT)


def _unexpected_fields(
    artifact: Mapping[str, Any], reported: list[dict[str, Any]], types: _Types
) -> list[str]:
    results = artifact.get("results")
    if not isinstance(results, list) or len(reported) < len(results):
        return ["results"]
    missing = [name for name in _REQUIRED if not all(as_text(each.get(name)) for each in reported)]
    unexpected = [
        name
        for name, read in types.items()
        if any(each.get(name) is not None and read(each[name]) is None for each in reported)
    ]
    return [*missing, *unexpected]


def _has_objects(section: object) -> bool:
    return isinstance(section, dict) and all(isinstance(each, dict) for each in section.values())


def _is_transient(error: DBTCloudException) -> bool:
    """Return whether an error may be transient: an outage, or a token that has expired."""
    status = getattr(error, "status_code", None)
    # at status 200 the file is not an artifact, unless it is the page of a proxy
    is_foreign = status == HTTPStatus.OK and not error.may_have_arrived
    return status == HTTPStatus.UNAUTHORIZED or (error.is_outage and not is_foreign)
