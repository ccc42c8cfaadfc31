"""What of a run could not be read, collected while it is read, and said once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from dlt.common import logger

from dlt_dbtcloud.columns import Row
from dlt_dbtcloud.ends import is_over
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.guards import as_mapping, text
from dlt_dbtcloud.shapes import odd_in_results, odd_in_sources, odd_sections
from dlt_dbtcloud.typing import Run, RunStep

__all__ = ["Problems"]

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
        version = _VERSION.search(text(said) or "")
        if version and int(version[1]) not in _KNOWN_MANIFESTS:
            self.note(f"{what} is of version {version[1]}, which is not known")
        self._check_nodes(what, manifest)

    def check_catalog(self, catalog: Mapping[str, Any]) -> None:
        """Take note of something in a catalog's place."""
        self._check_nodes("its catalog", catalog)

    def try_to_read(self, what: str, read: Callable[[], list[Row]]) -> list[Row]:
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
        problems = self._found if is_over(self.run) else ["it is not over"]
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
