"""Exit statuses and one-line messages of the command line."""

from __future__ import annotations

import re
from enum import IntEnum

from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
)
from dlt.common.exceptions import DltException, MissingDependencyException

from dlt_dbtcloud.exceptions import (
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRunTimeout,
    InvalidCredentialsException,
    run_error,
)
from dlt_dbtcloud.payloads import has_finished
from dlt_dbtcloud.typing import Run

__all__ = ["ExitStatus", "InputError", "message_of", "status_of_error", "status_of_run", "worded"]

# the helpers that a message names, and their commands
_COMMANDS = {
    "run_dbt_cloud_job": "run",
    "get_dbt_cloud_run_status": "status",
    "get_dbt_cloud_run_results": "results",
    "retry_dbt_cloud_run": "retry",
    "cancel_dbt_cloud_run": "cancel",
}
_CALL = re.compile(
    rf"`({'|'.join(_COMMANDS)})\((?:run|job)_id=(\d+)(?:, connection=[\"']([\w-]+)[\"'])?\)`"
)
# environment variables, which stay as they are, begin with a capital letter
_ARGUMENT = re.compile(r"`([a-z]\w*)=…`(?: to the call)?")
_VALUE = re.compile(r"`([a-z]\w*)=\"?([\w-]+)\"?` in the call")
_FLAG = re.compile(r"`([a-z]\w*)=(True|False)`")
_MISSING = (
    "`{fields}` is missing. Set it under `[dbt_cloud]` in `.dlt/secrets.toml`, or "
    "{variables} in the environment."
)
_BAD_INPUT = (
    InvalidCredentialsException,
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    ConfigurationException,
    MissingDependencyException,
    TypeError,
    ValueError,
)


class ExitStatus(IntEnum):
    """Exit statuses, as shells and `timeout` use them."""

    SUCCESS = 0
    FAILURE = 1
    BAD_INPUT = 2
    TIMEOUT = 124
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


class InputError(ValueError):
    """An argument of the command line is unusable."""


def status_of_run(run: Run) -> ExitStatus:
    """Return the exit status for a run that a helper returned.

    A run that is still in progress was not waited for, which is not a failure.
    """
    if not has_finished(run):
        return ExitStatus.SUCCESS
    return ExitStatus.SUCCESS if run_error(run) is None else ExitStatus.FAILURE


def status_of_error(error: Exception) -> ExitStatus:
    """Return the exit status for an error that a command raised."""
    if isinstance(error, DBTCloudRunTimeout):
        return ExitStatus.TIMEOUT
    return ExitStatus.BAD_INPUT if isinstance(error, _BAD_INPUT) else ExitStatus.FAILURE


def message_of(error: Exception) -> str:
    """Return the message of an error, in the words of the command line."""
    if isinstance(error, ConfigFieldMissingException):
        # dlt's own message has a paragraph for each field
        fields = [str(name) for name in error.traces]
        variables = " and ".join(f"`DBT_CLOUD__{name.upper()}`" for name in fields)
        return _MISSING.format(fields="`, `".join(fields), variables=variables)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, DltException) and type(error).__module__.startswith("dlt."):
        text = " ".join(text.split())
    return worded(text)


def worded(text: str) -> str:
    """Return a message with commands and options in place of calls and arguments."""
    text = _CALL.sub(_command, text)
    text = _ARGUMENT.sub(lambda argument: f"`--{_dashed(argument[1])}`", text)
    text = _VALUE.sub(lambda argument: f"`--{_dashed(argument[1])} {argument[2]}`", text)
    return _FLAG.sub(
        lambda flag: f"`--{'' if flag[2] == 'True' else 'no-'}{_dashed(flag[1])}`", text
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _command(call: re.Match[str]) -> str:
    connection = f" --connection {call[3]}" if call[3] else ""
    return f"`dlt dbt-cloud {_COMMANDS[call[1]]} {call[2]}{connection}`"
