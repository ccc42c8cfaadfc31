"""Earlier runs of a job: the times of their nodes, and the project that they built."""

from __future__ import annotations

from itertools import islice

from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.report.executions import past_times
from dlt_dbtcloud.report.page import Execution, PastTime
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["History"]


# earlier runs that are read
_RUNS = 5
# runs that are listed to find those before an old run
_LISTED = 100


class History:
    """The last successful runs of a job before a run.

    It takes a request for the runs, one for each run, and one for the results of each step. Errors
    are noted: a page without medians is better than none.

    Args:
        client: The client.
        run: The run.

    Attributes:
        problems: Why earlier runs could not be read.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run) -> None:
        self._client = client
        self._run = run
        self.problems = Problems(run["id"])
        self._known: list[RunReader] | None = None

    def past_times(self) -> dict[str, PastTime]:
        """Return the median times of nodes."""
        runs: list[list[Execution]] = []
        try:
            runs.extend(map(_executions, self._readers()))
        except DBTCloudException as error:
            self._give_up(error)
        return past_times(runs)

    def find_manifest(self) -> tuple[Manifest, int | None]:
        """Return the last manifest, perhaps empty, and the run that wrote it."""
        try:
            for reader in self._readers():
                if manifest := reader.read_manifest():
                    return manifest, id_of(reader.read_run())
        except DBTCloudException as error:
            self._give_up(error)
        return Manifest(), None

    def _readers(self) -> list[RunReader]:
        """Return the readers of the runs, the newest first; none after an error."""
        if self._known is None:
            self._known = self._earlier()
        return self._known

    def _earlier(self) -> list[RunReader]:
        job_id = self._run.get("job_definition_id")
        if job_id is None:
            return []
        listed = self._client.list_runs(
            job_definition_id=job_id,
            status=int(RunStatus.SUCCESS),
            order_by="-id",
            limit=_LISTED,
        )
        runs = islice(listed, _LISTED)
        earlier = (each for each in runs if (each.get("id") or 0) < id_of(self._run))
        return [RunReader(self._client, each) for each in islice(earlier, _RUNS)]

    def _give_up(self, error: DBTCloudException) -> None:
        self.problems.note(f"earlier runs of the job cannot be read ({error})")
        self._known = []


def _executions(reader: RunReader) -> list[Execution]:
    return [
        Execution(each.unique_id, 0, each.status, seconds=each.execution_time or 0.0)
        for _, found in reader.read_results()
        for each in found.results
    ]
