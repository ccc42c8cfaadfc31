"""What a job's run has to build for a load: just what descends from the tables that it changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from dlt.common import logger

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudServerError,
)
from dlt_dbtcloud.graph import Manifest
from dlt_dbtcloud.outages import Clock, through_outages
from dlt_dbtcloud.selection import steps_for
from dlt_dbtcloud.sources import Relation, fed_sources
from dlt_dbtcloud.typing import Job, TriggerData

__all__ = ["narrowed_trigger"]

_MANIFEST = "manifest.json"
# with these a run may see other sources than the one that left the manifest
_OTHER_PROJECT = frozenset(
    {
        "azure_pull_request_id",
        "git_branch",
        "git_sha",
        "github_pull_request_id",
        "gitlab_merge_request_id",
        "non_native_pull_request_id",
        "schema_override",
        "target_name_override",
    }
)
# the clone, the connection and `dbt deps` come before a job's own commands
_SETUP_STEPS = 3
# what is no manifest may be the page of an outage, or stay so
_OUTAGE = 30.0


def narrowed_trigger(
    client: DBTCloudClientV2,
    job_id: str,
    body: TriggerData,
    relations: Sequence[Relation],
    *,
    clock: Clock = time,
) -> TriggerData | None:
    """Return a trigger of a job on what some tables feed, or None where they feed nothing of it.

    The commands are narrowed by the newest manifest of the job; where there is none, or none that
    can be read, the trigger stays as it is, with a warning.

    Args:
        client: What asks the API.
        job_id: The job.
        body: The trigger; its commands come before the job's.
        relations: The tables.
        clock: What the time is told by.

    Raises:
        DBTCloudAPIError: The API answered with an error.
        DBTCloudTransportError: There was no answer.
    """
    related = ("most_recent_completed_run",)
    job = through_outages(lambda: client.get_job(job_id, related), clock=clock)
    commands = body.get("steps_override") or job.get("execute_steps") or []
    try:
        manifest = _manifest(client, job, clock)
        fed = fed_sources(relations, manifest)
        steps = steps_for(commands, manifest, fed.sources)
    except DBTCloudNotFoundError:
        return _whole(body, job_id, "it has left no manifest yet.")
    except DBTCloudServerError as error:
        return _whole(body, job_id, f"its manifest cannot be read. {error}")
    except (DBTCloudException, AttributeError, KeyError, TypeError) as error:
        return _whole(body, job_id, f"its manifest cannot be understood: {error!r}")
    if fed.undeclared and _OTHER_PROJECT & body.keys():
        names = ", ".join(fed.undeclared)
        return _whole(
            body,
            job_id,
            f"no source of its newest manifest declares {names}, but this "
            "run's git reference, target or schema may have one.",
        )
    if fed.undeclared:
        logger.info(f"No dbt source declares {', '.join(fed.undeclared)}, which were loaded.")
    if not steps:
        return None
    return body if steps == commands else {**body, "steps_override": steps}


def _manifest(client: DBTCloudClientV2, job: Job, clock: Clock) -> Manifest:
    """Return the newest manifest of a job, which the last step of its last run may not have left.

    Raises:
        DBTCloudNotFoundError: There is none.
        DBTCloudServerError: There is something else in its place.
    """
    once = client.without_retries()

    def read(ask: Callable[[], Any]) -> Manifest:
        return cast(Manifest, through_outages(ask, timeout=_OUTAGE, clock=clock))

    try:
        return read(lambda: once.get_job_artifact(job["id"], _MANIFEST))
    except DBTCloudNotFoundError:
        run = job.get("most_recent_completed_run")
        if not run:
            raise
        step = _SETUP_STEPS + bool(job.get("run_generate_sources")) + 1
        return read(lambda: once.get_run_artifact(run["id"], _MANIFEST, step))


def _whole(body: TriggerData, job_id: str, reason: str) -> TriggerData:
    logger.warning(f"Job {job_id} is run whole, not only on what was loaded: {reason}")
    return body
