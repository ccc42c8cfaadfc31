"""Variables of dbt for the load of a run, and the commands that pass them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import filled_variables, placeholders_in
from dlt_dbtcloud.dbt import CommandError, with_variables
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.typing import TriggerData
from dlt_dbtcloud.values import Relation

__all__ = ["body_with_variables", "commands_with_variables", "load_variables"]


def load_variables(
    variables: Mapping[str, Any], load: LastLoad | None, relations: Iterable[Relation]
) -> dict[str, Any]:
    """Return variables with their placeholders filled for a load.

    Args:
        variables: The variables.
        load: The load; without one, they are returned as they are.
        relations: The tables that the run is for.

    Raises:
        DBTCloudException: The tables are needed and not known.
    """
    if load is None:
        return filled_variables(variables, {})
    tables = sorted({relation.table or relation.name for relation in relations})
    if not tables and "tables" in placeholders_in(variables):
        raise DBTCloudException(
            f"`{{tables}}` in `additional_vars` cannot be filled: the tables of load "
            f"{load.load_id} of pipeline `{load.pipeline_name}` are not known on this machine. "
            "Run the job on the machine that loads, or omit `{tables}`."
        )
    values = {"load_id": load.load_id, "pipeline_name": load.pipeline_name, "tables": tables}
    return filled_variables(variables, values)


def body_with_variables(
    client: DBTCloudClientV2,
    job_id: str,
    body: TriggerData,
    variables: Mapping[str, Any],
    *,
    timeout: float,
) -> TriggerData:
    """Return the body of a trigger whose commands pass variables to dbt.

    Unless the body has commands of its own, those of the job are read.

    Args:
        client: The client.
        job_id: The job.
        body: The body.
        variables: The variables; without any, the body is returned as it is.
        timeout: Seconds after which an outage is an error.

    Raises:
        DBTCloudException: The commands are not known, or one of them cannot take the variables.
        DBTCloudAPIError: The API returned an error.
        DBTCloudTransportError: The API did not respond within `timeout`.
    """
    if not variables:
        return body
    commands = body.get("steps_override")
    if not commands:
        commands = client.patient(timeout).get_job(job_id).get("execute_steps")
    return {**body, "steps_override": commands_with_variables(commands or (), variables, job_id)}


def commands_with_variables(
    commands: Sequence[str], variables: Mapping[str, Any], job_id: str
) -> list[str]:
    """Return the commands of a run with variables for dbt.

    Args:
        commands: The commands.
        variables: The variables; without any, the commands are returned as they are.
        job_id: The job.

    Raises:
        DBTCloudException: There are no commands, or one of them cannot take the variables.
    """
    problem = "its commands are not known."
    try:
        if commands or not variables:
            return with_variables(commands, variables)
    except CommandError as error:
        problem = str(error)
    raise DBTCloudException(
        f"`additional_vars` cannot be passed to the run of job {job_id}: {problem} "
        "Omit `additional_vars`, or correct the commands of the job."
    )
