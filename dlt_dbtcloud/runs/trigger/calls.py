"""The arguments of a call, and the triggers of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud.client.credentials import valid_id
from dlt_dbtcloud.configuration import DBTCloudConfiguration, placeholders_in, trigger_data
from dlt_dbtcloud.loads import last_load
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import TriggerData

__all__ = ["check_pipeline", "triggers_of", "valid_jobs"]


def valid_jobs(job_ids: object) -> list[str]:
    """Return the ids of several jobs.

    Raises:
        TypeError: It is not a list.
        InvalidCredentialsException: An item is not an id.
    """
    if isinstance(job_ids, str | bytes | Mapping) or not isinstance(job_ids, Iterable):
        name = type(job_ids).__name__
        meant = "Did you mean `credentials=…`? " if isinstance(job_ids, Mapping) else ""
        # a traceback that shows variables would show the caller's token
        del job_ids
        raise TypeError(
            f"`job_ids` is a `{name}`. {meant}Pass the ids of jobs as a list: `[1, 2]`."
        )
    return [valid_id("job_id", job) for job in job_ids]


def check_pipeline(config: DBTCloudConfiguration, pipeline: dlt.Pipeline | None) -> None:
    """Check that there is a pipeline if an option needs one.

    Raises:
        ConfigurationValueError: There is none.
    """
    if pipeline is not None:
        return
    if config.only_loaded:
        raise ConfigurationValueError(
            "`only_loaded` needs the pipeline whose load it builds. Pass `pipeline`, or "
            "`only_loaded=False` to run the whole job."
        )
    for name in placeholders_in(config.additional_vars or {}):
        raise ConfigurationValueError(
            f"`{{{name}}}` in `additional_vars` is filled for the load of a pipeline. Pass "
            "`pipeline`, or another value."
        )


def triggers_of(
    job_ids: list[str],
    config: DBTCloudConfiguration,
    data: TriggerData | Mapping[str, Any] | None,
    pipeline: dlt.Pipeline | None,
) -> list[Trigger] | str:
    """Return the triggers of jobs for the last load, or why nothing runs.

    Args:
        job_ids: The jobs.
        config: The config of the call.
        data: Overrides for the runs.
        pipeline: The pipeline whose last load the runs are for.

    Raises:
        TypeError: `data` is not a mapping, or `pipeline` is not a pipeline.
        ConfigurationValueError: A field of `data` is misspelt.
        DBTCloudException: The last load of `pipeline` failed, so its tables are unknown.
    """
    body = trigger_data(config, data)
    load = last_load(pipeline) if pipeline is not None else None
    if pipeline is not None and load is None:
        return f"pipeline `{pipeline.pipeline_name}` has loaded nothing yet"
    # the caller's own steps are never narrowed
    has_own_steps = "steps_override" in (data or {})
    if config.only_loaded and has_own_steps:
        logger.info("`only_loaded` does not narrow the `steps_override` of `data`.")
    return [
        Trigger(
            job_id,
            body,
            load,
            only_loaded=config.only_loaded and not has_own_steps,
            reuse_queued_run=config.reuse_queued_run,
            variables=config.additional_vars or {},
            timeout=config.timeout,
        )
        for job_id in job_ids
    ]
