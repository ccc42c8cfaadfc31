"""The times of nodes in earlier runs of a job."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from statistics import median

from dlt_dbtcloud.artifacts.problems import Problems
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.report.page import PastTime
from dlt_dbtcloud.typing import Run, RunStatus

__all__ = ["past_times"]


# earlier runs that are read
_RUNS = 5
# runs that are listed to find those before an old run
_LISTED = 100
# statuses of nodes whose times can be compared
_BUILT = frozenset({"success", "pass", "warn", "fail"})


def past_times(client: DBTCloudClientV2, run: Run, problems: Problems) -> dict[str, PastTime]:
    """Return the median times of nodes in the last successful runs before a run.

    It takes a request for the runs, one for each run, and one for the results of each step. Errors
    are noted: a page without medians is better than none.

    Args:
        client: The client.
        run: The run.
        problems: Collects why earlier runs could not be read.
    """
    job_id = run.get("job_definition_id")
    if job_id is None:
        return {}
    times: dict[str, list[float]] = defaultdict(list)
    try:
        earlier = client.list_runs(
            job_definition_id=job_id,
            status=int(RunStatus.SUCCESS),
            order_by="-id",
            limit=_LISTED,
        )
        listed = islice(earlier, _LISTED)
        older = (each for each in listed if (each.get("id") or 0) < id_of(run))
        for each in islice(older, _RUNS):
            for unique_id, seconds in _times_of(client, each).items():
                times[unique_id].append(seconds)
    except DBTCloudException as error:
        problems.note(f"earlier runs of the job cannot be read ({error})")
    return {key: PastTime(median(values), len(values)) for key, values in times.items()}


def _times_of(client: DBTCloudClientV2, run: Run) -> dict[str, float]:
    results = [each for _, found in RunReader(client, run).read_results() for each in found.results]
    return {
        each.unique_id: each.execution_time
        for each in results
        if each.status in _BUILT and each.execution_time
    }
