"""Problems in reading a run, collected for one warning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

from dlt.common import logger

from dlt_dbtcloud.dbt import Unread
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import has_finished
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.typing import Run

__all__ = ["Problems"]


_T = TypeVar("_T")

# parts of an artifact that a warning names
_NAMED = 5


class Problems:
    """Collects the problems in reading a run.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: int | None) -> None:
        self._run_id = run_id
        self._found: list[str] = []

    @property
    def found(self) -> tuple[str, ...]:
        """The problems so far."""
        return tuple(self._found)

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

    def check(self, name: str, unread: Sequence[Unread], *, has_nodes: bool = True) -> None:
        """Note the parts of an artifact that could not be read.

        Args:
            name: The name of the artifact.
            unread: The parts.
            has_nodes: Whether it has nodes; for an artifact that has none it is true.
        """
        if not has_nodes:
            self.note(f"{name} contains no nodes")
        elif unread:
            paths = listed([str(part) for part in unread], _NAMED)
            self.note(f"{name} has {paths} of an unexpected type")

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


def _is_transient(error: DBTCloudException) -> bool:
    """Return whether an error may be transient: an outage, or a token that has expired."""
    status = getattr(error, "status_code", None)
    # at status 200 the file is not an artifact, unless it is the page of a proxy
    is_foreign = status == HTTPStatus.OK and not error.may_have_arrived
    return status == HTTPStatus.UNAUTHORIZED or (error.is_outage and not is_foreign)
