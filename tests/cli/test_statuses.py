"""Exit statuses and messages of errors, in the words of the command line."""

from __future__ import annotations

from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.exceptions import DltException, MissingDependencyException

from dlt_dbtcloud.cli.statuses import (
    InputError,
    message_of,
    status_of_error,
    status_of_run,
    worded,
)
from dlt_dbtcloud.exceptions import (
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRunCancelled,
    DBTCloudRunFailed,
    DBTCloudRunTimeout,
    DBTCloudServerError,
    DBTCloudTransportError,
    DBTCloudTriggerUnknownError,
    InvalidCredentialsException,
)
from dlt_dbtcloud.typing import Run
from tests.support.dbt.nodes import RUN

URL = "https://ab123.us1.dbt.com/api/v2/accounts/1/"


def test_each_error_has_its_status() -> None:
    for error, status in [
        (DBTCloudRunFailed(RUN), 1),
        (DBTCloudRunCancelled(RUN), 1),
        (DBTCloudRunTimeout(RUN, 5.0), 124),
        (DBTCloudTriggerUnknownError(5, "cause", "It is unknown."), 1),
        (DBTCloudTransportError("GET", URL, "refused"), 1),
        (DBTCloudServerError("GET", URL, 503, "down"), 1),
        (DBTCloudAuthError("GET", URL, 401, "Invalid token."), 2),
        (DBTCloudNotFoundError("GET", URL, 404, "not found"), 2),
        (InvalidCredentialsException("`job_id` is missing."), 2),
        (ConfigurationValueError("`retries=-1` must be 0 or more."), 2),
        (InputError("`a` and `b` differ."), 2),
        (TypeError("`data` is a `list`."), 2),
        (MissingDependencyException("progress", ["tqdm"]), 2),
        (OSError("No space left on device"), 1),
        (DltException("Something else."), 1),
    ]:
        assert status_of_error(error) == status


def test_each_run_has_its_status() -> None:
    cases: list[tuple[Run, int]] = [
        ({"status": 10, "is_success": True, "is_complete": True}, 0),
        ({"status": 20, "is_error": True, "is_complete": True}, 1),
        ({"status": 30, "is_cancelled": True, "is_complete": True}, 1),
        ({"status": 3, "is_complete": False, "in_progress": True}, 0),
        ({"status": 99, "is_complete": True}, 1),
        ({"status": 10, "is_success": False, "is_complete": True}, 1),
    ]
    for fields, status in cases:
        assert status_of_run({**RUN, **fields}) == status


def test_calls_are_commands() -> None:
    for text, expected in [
        ("Call `get_dbt_cloud_run_status(run_id=7)`.", "Call `dlt dbt-cloud status 7`."),
        (
            'Call `retry_dbt_cloud_run(run_id=7, connection="prod")`.',
            "Call `dlt dbt-cloud retry 7 --connection prod`.",
        ),
        ("`run_dbt_cloud_job(job_id=7)`", "`dlt dbt-cloud run 7`"),
        ("Pass `job_id=…` to the call, or", "Pass `--job-id`, or"),
        ("`job_id=7` in the call", "`--job-id 7`"),
        ('`connection="prod"` in the call', "`--connection prod`"),
        ("`DBT_CLOUD__API_TOKEN=…` in the environment",) * 2,
        ("`DBT_CLOUD__ONLY_LOADED=True` in the environment",) * 2,
        ("or `only_loaded=False` to run", "or `--no-only-loaded` to run"),
        ("`other(run_id=7)`", "`other(run_id=7)`"),
    ]:
        assert worded(text) == expected


def test_an_error_of_dlt_is_one_line() -> None:
    error = MissingDependencyException("progress", ["tqdm"])
    assert "\n" not in message_of(error)
    assert "tqdm" in message_of(error)
