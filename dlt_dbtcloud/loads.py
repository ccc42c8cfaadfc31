"""What a pipeline has loaded last, as far as dbt has something to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import dlt
from dlt.common.storages.load_package import LoadPackageInfo

from dlt_dbtcloud.exceptions import DBTCloudException

__all__ = ["RESULTS_SCHEMA", "LastLoad", "last_load"]

# the schema of the source that loads what dbt did: no data for dbt to transform
RESULTS_SCHEMA = "dbt_cloud_results"


@dataclass(frozen=True)
class LastLoad:
    """The load of a pipeline that a run of dbt is bound to.

    Args:
        pipeline_name: The pipeline.
        load_id: The newest package of the load; as ids rise, it stands for all of them.
    """

    pipeline_name: str
    load_id: str

    @property
    def began(self) -> float:
        """Return when it began, in seconds since 1970: dlt makes its ids of that."""
        return float(self.load_id)


def last_load(pipeline: dlt.Pipeline) -> LastLoad | None:
    """Return the last load of a pipeline that filled tables, or None where there is none yet.

    A load of nothing but dlt's own tables, or of what dbt did, is none that dbt has to follow.

    Raises:
        TypeError: It is no pipeline.
        DBTCloudException: The last load failed, so that it is not known what there is to build.
    """
    if not isinstance(pipeline, dlt.Pipeline):
        raise TypeError(f"`pipeline` is a `{type(pipeline).__name__}`. Pass a `dlt.Pipeline`.")
    trace = pipeline.last_trace
    failed = next((step for step in trace.steps if step.step_exception), None) if trace else None
    if failed:
        raise DBTCloudException(
            f"The last load of pipeline `{pipeline.pipeline_name}` failed in step `{failed.step}`. "
            "Load again, or leave `pipeline` out to run the job all the same."
        )
    info = trace.last_load_info if trace else None
    load_id = _newest(info.load_packages) if info else None
    load_id = load_id or _newest_of_before(pipeline)
    return LastLoad(pipeline.pipeline_name, load_id) if load_id else None


def _newest(packages: Iterable[LoadPackageInfo]) -> str | None:
    return max((package.load_id for package in packages if _counts(package)), default=None)


def _newest_of_before(pipeline: dlt.Pipeline) -> str | None:
    """Look for the load among the packages that the pipeline still has on disk."""
    for load_id in sorted(pipeline.list_completed_load_packages(), reverse=True):
        if _counts(pipeline.get_load_package_info(load_id)):
            return load_id
    return None


def _counts(package: LoadPackageInfo) -> bool:
    tables = [job.job_file_info.table_name for job in package.jobs["completed_jobs"]]
    is_data = any(not table.lower().startswith("_dlt_") for table in tables)
    return is_data and package.schema_name != RESULTS_SCHEMA
