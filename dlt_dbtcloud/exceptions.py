"""Errors of this package, each with its next step.

```
DBTCloudException(DltException)
├ InvalidCredentialsException     a token, id or host is missing or unusable    terminal
├ DBTCloudAPIError                the API returned an error
│ ├ DBTCloudAuthError             401, 403                                      terminal
│ ├ DBTCloudNotFoundError         404: missing, or not permitted                terminal
│ ├ DBTCloudRateLimitError        429                                           transient
│ └ DBTCloudServerError           5xx, or a response that is not the API's      transient
├ DBTCloudTransportError          no response                                   transient
├ DBTCloudTriggerUnknownError     a run may have been triggered                 transient
└ DBTCloudRunError                the run did not succeed, or only with warnings
  ├ DBTCloudRunFailed             it failed                                     terminal
  ├ DBTCloudRunCancelled          it was cancelled                              terminal
  ├ DBTCloudRunWarning            it succeeded with warnings                    terminal
  └ DBTCloudRunTimeout            it is still running                           transient
```

`terminal` and `transient` are dlt's `TerminalException` and `TransientException`, which its retry
helpers check. Attributes are plain JSON values because dlt copies them into its trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from typing import TypeVar

from dlt.common.exceptions import DltException, TerminalException, TransientException

from dlt_dbtcloud.payloads import has_finished, run_name
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import NodeFailure, Run, RunStatus

__all__ = [
    "DBTCloudAPIError",
    "DBTCloudAuthError",
    "DBTCloudException",
    "DBTCloudNotFoundError",
    "DBTCloudRateLimitError",
    "DBTCloudRunCancelled",
    "DBTCloudRunError",
    "DBTCloudRunFailed",
    "DBTCloudRunTimeout",
    "DBTCloudRunWarning",
    "DBTCloudServerError",
    "DBTCloudTransportError",
    "DBTCloudTriggerUnknownError",
    "InvalidCredentialsException",
    "run_error",
    "without_frames",
]


_CANCELLED_BY_USER = "Cancelled by user."
_E = TypeVar("_E", bound=BaseException)

_TIMED_OUT = re.compile(r"time[d -]*out|time limit|took too long|exceeded", re.IGNORECASE)
_OTHER_SERVER_ADVICE = (
    "If this persists, check that `base_api_url` is the dbt Cloud API and that no proxy or login "
    "page answers in its place."
)


class DBTCloudException(DltException):
    """Base class of this package's errors.

    Attributes:
        may_have_arrived: Whether the request may have taken effect despite the error.
        runs: The runs of the call that exist, as the API's payloads, in the order of its jobs.
    """

    may_have_arrived = False

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.runs: list[Run] = []

    @property
    def is_outage(self) -> bool:
        """Whether the error may be temporary: transient, or not a response of the API."""
        return self.may_have_arrived or isinstance(self, TransientException)

    def with_others(
        self,
        errors: Sequence[DBTCloudException],
        outcomes: Sequence[str],
        runs: Sequence[Run] = (),
    ) -> DBTCloudException:
        """Return a similar error that reports the other runs of the call as well.

        Args:
            errors: The errors of other runs.
            outcomes: The outcomes of the runs without an error, one sentence each.
            runs: The runs of the call that exist.
        """
        texts = [str(self)]
        if errors:
            texts = [f"({i}) {error}" for i, error in enumerate((self, *errors), start=1)]
        report = copy(self)
        report.__cause__ = self.__cause__
        report.runs = [*runs]
        report.args = ("\n".join([*texts, *outcomes]),)
        return report


class InvalidCredentialsException(DBTCloudException, TerminalException):
    """A token, an id or a host is missing or unusable; no run was triggered.

    Attributes:
        keys: The keys of `[dbt_cloud]` to change, if known.
    """

    def __init__(self, message: str, *keys: str) -> None:
        self.keys = [*keys]
        super().__init__(message)


class DBTCloudAPIError(DBTCloudException):
    """The API returned an error.

    Attributes:
        method: The HTTP method of the request: `GET` or `POST`.
        url: The URL of the request.
        status_code: The HTTP status of the response.
        user_message: The API's message for users.
        developer_message: The API's message for developers, with the details in its `data`.
    """

    _advice = ""

    def __init__(
        self,
        method: str,
        url: str,
        status_code: int,
        user_message: str,
        developer_message: str = "",
        *,
        may_have_arrived: bool = False,
    ) -> None:
        self.may_have_arrived = may_have_arrived
        self.method = method
        self.url = url
        self.status_code = status_code
        self.user_message = user_message
        self.developer_message = developer_message
        reason = " ".join(part for part in (user_message, developer_message) if part)
        message = f"`{method} {url}` returned status {status_code}: {reason or 'no message'}"
        advice = self._advice or (_OTHER_SERVER_ADVICE if may_have_arrived else "")
        stop = "" if not advice or message.endswith((".", "!", "?")) else "."
        super().__init__(f"{message}{stop} {advice}".rstrip())


class DBTCloudAuthError(DBTCloudAPIError, TerminalException):
    """401 or 403: this host does not accept the token."""

    _advice = (
        "Either the token is wrong or expired, or it belongs to another host: every host but its "
        "own rejects a valid token in the same way. Compare `base_api_url` with the Access URL in "
        "the account settings of dbt Cloud, and check `api_token`."
    )


class DBTCloudNotFoundError(DBTCloudAPIError, TerminalException):
    """404: the object does not exist, or the token has no permission to read it."""

    _advice = (
        "Check the ids in this URL, and the token's permissions for the account and project. "
        "`dlt dbt-cloud check` lists the accounts and jobs that it can read."
    )

    @property
    def is_outage(self) -> bool:
        """Whether a proxy may have sent the 404: it is not an API response."""
        return self.may_have_arrived and bool(self.user_message)


class DBTCloudRateLimitError(DBTCloudAPIError, TransientException):
    """429: the account has exceeded its rate limit.

    Attributes:
        retry_after: The pause that the API requests, in seconds, or None.
    """

    _advice = "Try again later."

    def __init__(
        self,
        method: str,
        url: str,
        status_code: int,
        *messages: str,
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(method, url, status_code, *messages)


class DBTCloudServerError(DBTCloudAPIError, TransientException):
    """5xx, or a response with any status that is not this API's JSON."""

    _advice = _OTHER_SERVER_ADVICE


class DBTCloudTransportError(DBTCloudException, TransientException):
    """No response: the connection was refused or lost, the host is unknown, or time ran out.

    Attributes:
        method: The HTTP method of the request: `GET` or `POST`.
        url: The URL of the request.
    """

    def __init__(
        self,
        method: str,
        url: str,
        reason: str,
        advice: str = "",
        *,
        may_have_arrived: bool = True,
    ) -> None:
        self.method = method
        self.url = url
        self.may_have_arrived = may_have_arrived
        advice = advice or "Check `base_api_url` and the network."
        super().__init__(f"`{method} {url}` got no response: {reason}. {advice}")


class DBTCloudTriggerUnknownError(DBTCloudException, TransientException):
    """The response to a trigger was lost and its run could not be identified.

    Attributes:
        job_definition_id: The job.
        cause: The cause of the run, if there is one.
    """

    may_have_arrived = True

    def __init__(self, job_definition_id: int, cause: str, reason: str) -> None:
        self.job_definition_id = job_definition_id
        self.cause = cause
        super().__init__(
            f"Job `{job_definition_id}` may have been triggered, but the response was lost and its "
            f"run could not be identified. {reason} Before you trigger it again, look for the "
            f"cause `{cause}` in its run history in dbt Cloud."
        )


class DBTCloudRunError(DBTCloudException):
    """A run did not succeed, or only with warnings.

    Attributes:
        run_id: The run.
        job_definition_id: The job.
        run_url: The page of the run in dbt Cloud, or None if unknown.
        status: The status code of the run, as in `RunStatus`.
        status_humanized: The name of the status.
    """

    def __init__(self, run: Run, outcome: str, advice: str) -> None:
        self.run_id = run.get("id")
        self.job_definition_id = run.get("job_definition_id")
        self.run_url = run.get("href")
        self.status = run.get("status")
        self.status_humanized = run.get("status_humanized")
        page = f"See {self.run_url}. " if self.run_url else ""
        super().__init__(f"{outcome}\n{page}{advice}")


class DBTCloudRunFailed(DBTCloudRunError, TerminalException):
    """The run failed.

    Attributes:
        failures: The first twenty failed nodes, as `dlt_dbtcloud.typing.NodeFailure`; empty if dbt
            ran no node.
    """

    def __init__(
        self,
        run: Run,
        outcome: str | None = None,
        failures: Sequence[NodeFailure] = (),
        advice: str = "Its steps and logs show the reason.",
    ) -> None:
        self.failures = [*failures]
        super().__init__(run, outcome or f"{run_name(run)} failed{_reason(run)}.", advice)


class DBTCloudRunCancelled(DBTCloudRunError, TerminalException):
    """The run was cancelled, by a user or by dbt Cloud.

    Attributes:
        timed_out: Whether dbt Cloud cancelled the run because it exceeded the job's time limit.
    """

    def __init__(self, run: Run) -> None:
        self.timed_out = bool(_TIMED_OUT.search(run.get("status_message") or ""))
        outcome = f"exceeded its time limit and was cancelled by dbt Cloud{_reason(run)}"
        advice = "Raise the limit with `timeout_seconds_override` or in the job's settings."
        if not self.timed_out:
            canceller = _canceller(run)
            # the message of the service names no one
            is_known = canceller and run.get("status_message") == _CANCELLED_BY_USER
            outcome = f"was cancelled{canceller}{'' if is_known else _reason(run)}"
            advice = "Trigger it again if this was not intended."
        super().__init__(run, f"{run_name(run)} {outcome}.", advice)


class DBTCloudRunWarning(DBTCloudRunError, TerminalException):
    """The run succeeded with warnings, or its warnings could not be read.

    Attributes:
        failures: The first twenty tests that warned and stale sources, as
            `dlt_dbtcloud.typing.NodeFailure`; empty if they could not be read.
    """

    def __init__(
        self,
        run: Run,
        outcome: str,
        failures: Sequence[NodeFailure] = (),
        advice: str = "Its steps and logs show the warnings.",
    ) -> None:
        self.failures = [*failures]
        super().__init__(run, outcome, advice)


class DBTCloudRunTimeout(DBTCloudRunError, TransientException):
    """The run is still running after `timeout`.

    Attributes:
        timeout: The longest wait, in seconds.
    """

    def __init__(
        self,
        run: Run,
        timeout: float,
        *,
        trouble: BaseException | None = None,
        ended: Run | None = None,
        resume: str | None = None,
    ) -> None:
        self.timeout = timeout
        status = (run.get("status_humanized") or "in progress").lower()
        resume = resume or f"`get_dbt_cloud_run_status(run_id={run.get('id')})`"
        advice = f"It is still running in dbt Cloud; call {resume} to keep waiting."
        if ended:
            advice = f"Stopped waiting for it: {ended.get('status_humanized') or 'it has ended'}."
        super().__init__(
            run,
            f"{run_name(run)} is still {status} after `timeout={timeout:g}` seconds.",
            advice + (f" The last status check failed: {trouble}" if trouble else ""),
        )


def without_frames(error: _E) -> _E:
    """Return an error and its causes without tracebacks.

    A user needs the message only. pytest and error trackers show the variables of the functions in
    a traceback, which may contain a secret.
    """
    error.__suppress_context__ = True
    errors: list[BaseException | None] = [error]
    while errors:
        each = errors.pop()
        if each is not None and each.__traceback__ is not None:
            errors += [each.__cause__, each.__context__]
            each.__traceback__ = None
    return error


def run_error(run: Run) -> DBTCloudRunError | None:
    """Return the error for a run that failed or was cancelled, else None.

    A run whose flags and status contradict each other is not a success.
    """
    if not has_finished(run):
        return None
    status, is_success = run.get("status"), run.get("is_success")
    if run.get("is_cancelled") or status == RunStatus.CANCELLED:
        return DBTCloudRunCancelled(run)
    if run.get("is_error") or status == RunStatus.ERROR or is_success is False:
        return DBTCloudRunFailed(run)
    return None if is_success or status == RunStatus.SUCCESS else DBTCloudRunFailed(run)


def _reason(run: Run) -> str:
    message = redact(run.get("status_message") or "").rstrip(" .")
    return f": {message}" if message else ""


def _canceller(run: Run) -> str:
    event = (run.get("audit") or {}).get("cancellation") or {}
    name = (event.get("actor") or {}).get("name")
    return f" by {name}" if name else ""
