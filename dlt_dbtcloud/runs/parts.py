"""The runs of one call, each with its trigger and its outcome, and their report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.artifacts.results import ReadRuns
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunWarning,
    run_error,
)
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import has_finished, run_name
from dlt_dbtcloud.runs.failure import explain
from dlt_dbtcloud.runs.only_loaded import log_saving
from dlt_dbtcloud.runs.trigger.duplicates import EarlierRuns
from dlt_dbtcloud.runs.trigger.start import Started
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.runs.warnings import find_warnings
from dlt_dbtcloud.typing import Run

__all__ = ["Part", "note_successes", "report"]


@dataclass
class Part:
    """One run of a call.

    Args:
        load: The load that the run is bound to.
        trigger: The trigger of the run, if the call triggers it.
        started: The outcome of that trigger.
        run: The run as last seen.
        error: Why there is no run, or why its outcome is unknown.
        earlier_runs: The search for an earlier run of another process.
        is_retry: Whether the run retries another.
        warning: The warnings of the run, if it succeeded with any.
    """

    load: LastLoad | None = None
    trigger: Trigger | None = None
    started: Started | None = None
    run: Run | None = None
    error: DBTCloudException | None = None
    earlier_runs: EarlierRuns | None = None
    is_retry: bool = False
    warning: DBTCloudRunWarning | None = None

    @property
    def pending(self) -> Run | None:
        """The run while it is waited for."""
        return self.run if self.run and not has_finished(self.run) and not self.error else None

    @property
    def has_failed(self) -> bool:
        """Whether the run failed, so that it may be retried."""
        return not self.error and isinstance(self._failure, DBTCloudRunFailed)

    @property
    def has_lost_its_run(self) -> bool:
        """Whether the run was adopted and then cancelled."""
        is_adopted = self.started is not None and self.started.is_adopted
        return is_adopted and isinstance(self._failure, DBTCloudRunCancelled)

    @property
    def has_lost_its_duplicate(self) -> bool:
        """Whether the run of a load was cancelled, perhaps by another process as a duplicate."""
        is_shared = self.started is not None and self.load is not None
        return is_shared and isinstance(self._failure, DBTCloudRunCancelled)

    @property
    def is_reported(self) -> bool:
        """Whether there is a run for which no error is raised."""
        return bool(self.run and self.run["id"]) and not self.error and not self._failure

    @property
    def _failure(self) -> DBTCloudException | None:
        return run_error(self.run) if self.run else None


def note_successes(
    client: DBTCloudClientV2,
    parts: Sequence[Part],
    runs: ReadRuns,
    config: DBTCloudConfiguration,
) -> None:
    """Log what narrowed runs saved, and add the warnings of successful runs to their parts.

    Args:
        client: The client.
        parts: The runs.
        runs: The runs that are read already.
        config: Whether warnings are errors.
    """
    for part in parts:
        if not (part.run and part.is_reported and has_finished(part.run)):
            continue
        saving = part.started.saving if part.started and not part.is_retry else None
        if saving:
            log_saving(part.run, saving)
        is_strict = config.raise_on_warning
        part.warning = find_warnings(client, part.run, part.load, runs, is_strict=is_strict)


def report(
    client: DBTCloudClientV2,
    parts: Sequence[Part],
    runs: ReadRuns,
    *,
    raises: bool,
    raises_warnings: bool = False,
) -> list[Run]:
    """Return the runs of a call; raise or log its errors and warnings.

    Args:
        client: The client that reads why a run failed.
        parts: The runs.
        runs: The runs that are read already.
        raises: Whether to raise if a run did not succeed, instead of logging it.
        raises_warnings: Whether to raise if a run succeeded with warnings, instead of logging it.

    Raises:
        DBTCloudException: A job could not be triggered, a run is still running, or a run did not
            succeed or had warnings, and the call asks to raise. The first error reports all of
            them.
    """
    failed = [
        explain(client, part.run, part.load, runs)
        for part in parts
        if part.run and run_error(part.run)
    ]
    raised: list[DBTCloudException] = [part.error for part in parts if part.error]
    if raises:
        raised += failed
    else:
        for error in failed:
            logger.error(str(error))
    warned = [part.warning for part in parts if part.warning and part.is_reported]
    if raises_warnings:
        raised += warned
    else:
        for warning in warned:
            logger.warning(str(warning))
    if raised:
        first, *others = dict.fromkeys(raised)
        reported = [
            part.run
            for part in parts
            if part.run and part.is_reported and not (raises_warnings and part.warning)
        ]
        outcomes = [f"{run_name(run)}: {run.get('status_humanized')}." for run in reported]
        existing = [part.run for part in parts if part.run and part.run["id"]]
        raise first.with_others(others, outcomes, existing)
    return [part.run for part in parts if part.run]
