"""Arguments of helpers, and clients, from the options of a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dlt
from dlt.pipeline.exceptions import CannotRestorePipelineException, InvalidPipelineName

from dlt_dbtcloud.cli.commands import COMMANDS
from dlt_dbtcloud.cli.statuses import InputError
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.credentials import valid_token
from dlt_dbtcloud.client.http import TokenAuth
from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    configured_tokens,
    connect,
    resolved_config,
    with_dbt_cloud_config,
)
from dlt_dbtcloud.exceptions import InvalidCredentialsException

__all__ = ["attached", "connected", "helper_arguments", "required_run", "token_cutter"]


def helper_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of helpers that were passed to the command.

    Raises:
        InputError: A run or job is passed twice, or the pipeline does not exist.
    """
    command = COMMANDS[options.dbt_cloud_command]
    names = (*command.own_arguments, *command.arguments)
    given = {name: _value(options, name) for name in names}
    arguments = {name: value for name, value in given.items() if value is not None}
    if "pipeline" in arguments:
        arguments["pipeline"] = attached(arguments["pipeline"], options.pipelines_dir)
    if "additional_vars" in arguments:
        arguments["additional_vars"] = dict(arguments["additional_vars"])
    return arguments


def attached(name: str, pipelines_dir: str | None = None) -> dlt.Pipeline:
    """Return a pipeline that has run before.

    Args:
        name: The name of the pipeline.
        pipelines_dir: The folder of the working folders; by default dlt's.

    Raises:
        InputError: It has not run here, and its destination does not have it.
    """
    if not name:
        raise InputError("`--pipeline` is empty: pass the name of a pipeline.")
    try:
        return dlt.attach(name, pipelines_dir) if pipelines_dir else dlt.attach(name)
    except InvalidPipelineName as error:
        raise InputError(f"`{name}` is not the name of a pipeline, which is a folder.") from error
    except CannotRestorePipelineException as error:
        place = f"`{pipelines_dir}`" if pipelines_dir else "dlt's folder of pipelines"
        raise InputError(
            f"Pipeline `{name}` cannot be attached: it has not run on this machine, or its working "
            f"folder is not in {place}. Check the name (`dlt pipeline --list-pipelines`), or pass "
            "`--pipelines-dir`."
        ) from error


@contextmanager
def connected(
    options: argparse.Namespace,
) -> Iterator[tuple[DBTCloudClientV2, DBTCloudConfiguration]]:
    """Connect to the configured account.

    Yields:
        The client, and the resolved config with the ids that were passed.
    """
    config = _config(**helper_arguments(options))
    with connect(config) as client:
        yield client, config


def required_run(config: DBTCloudConfiguration) -> str:
    """Return the run that a command is about.

    Raises:
        InvalidCredentialsException: There is none.
    """
    return str(resolved_config(config, "run_id").run_id)


def token_cutter(options: argparse.Namespace) -> Callable[[str], str]:
    """Return a function that cuts the configured tokens out of a text."""
    names = (getattr(options, name, None) for name in ("connection", "pipeline"))
    auths: list[TokenAuth] = []
    for token in configured_tokens(*names):
        # the command itself refuses an invalid one
        with suppress(InvalidCredentialsException):
            auths.append(TokenAuth(valid_token(token)))

    def cut(text: str) -> str:
        for auth in auths:
            text = auth.without_token(text)
        return text

    return cut


@with_dbt_cloud_config
def _config(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    job_id: int | str | None = None,  # noqa: ARG001 - the decorator merges it
    run_id: int | str | None = None,  # noqa: ARG001
    wait_seconds: float | None = None,  # noqa: ARG001
    timeout: float | None = None,  # noqa: ARG001
    connection: str | None = None,  # noqa: ARG001
) -> DBTCloudConfiguration:
    return resolved_config(credentials, "account_id")


def _value(options: argparse.Namespace, name: str) -> Any:
    """Return an option, or the positional argument that means the same."""
    value = getattr(options, name)
    bare = getattr(options, f"bare_{name}", None)
    if value is not None and bare is not None and value != bare:
        raise InputError(f"`{bare}` and `--{name.replace('_', '-')} {value}` differ: pass one.")
    return bare if value is None else value
