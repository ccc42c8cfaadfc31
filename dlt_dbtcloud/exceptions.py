"""Everything that can go wrong between a pipeline and dbt Cloud, and what to do about it.

```
DBTCloudException(DltException)
├ InvalidCredentialsException     a token, id or host is missing or unusable    terminal
├ DBTCloudAPIError                the API answered, but with an error
│ ├ DBTCloudAuthError             401, 403                                      terminal
│ ├ DBTCloudNotFoundError         404: missing, or not permitted                terminal
│ ├ DBTCloudRateLimitError        429                                           transient
│ └ DBTCloudServerError           5xx, or an answer that is no JSON             transient
├ DBTCloudTransportError          no answer                                     transient
├ DBTCloudTriggerUnknownError     the run may exist                             transient
└ DBTCloudRunError                a run did not end well
  ├ DBTCloudRunFailed             it failed                                     terminal
  ├ DBTCloudRunCancelled          it was cancelled                              terminal
  └ DBTCloudRunTimeout            it is still running                           transient
```

`terminal` and `transient` are dlt's `TerminalException` and `TransientException`, which its retry
helpers read. Attributes are plain JSON values, because dlt copies them into its trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dlt.common.exceptions import DltException, TerminalException, TransientException

from dlt_dbtcloud.payloads import is_over, run_name
from dlt_dbtcloud.redaction import without_secrets
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
    "DBTCloudServerError",
    "DBTCloudTransportError",
    "DBTCloudTriggerUnknownError",
    "InvalidCredentialsException",
    "run_error",
]


_TIMED_OUT = re.compile(r"time[d -]*out|time limit|took too long|exceeded", re.IGNORECASE)


class DBTCloudException(DltException):
    """The base of all errors of this package.

    Attributes:
        may_have_arrived: Whether a request may have taken effect all the same.
    """

    may_have_arrived = False

    @property
    def is_outage(self) -> bool:
        """Tell whether it may pass by itself: no word of the API's, or one to come again later."""
        return self.may_have_arrived or isinstance(self, TransientException)


class InvalidCredentialsException(DBTCloudException, TerminalException):
    """A token, an id or a host is missing or cannot be used; no request was sent."""


class DBTCloudAPIError(DBTCloudException):
    """The API answered with an error.

    Attributes:
        method: How it was asked: `GET` or `POST`.
        url: What was asked for.
        status_code: The HTTP status.
        user_message: What the API says for people.
        developer_message: What it says for developers, with the details of its `data`.
    """

    _advice = ""

    def __init__(
        self,
        method: str,
        url: str,
        status_code: int,
        user_message: str,
        developer_message: str = "",
    ) -> None:
        self.method = method
        self.url = url
        self.status_code = status_code
        self.user_message = user_message
        self.developer_message = developer_message
        said = " ".join(part for part in (user_message, developer_message) if part)
        message = f"`{method} {url}` was answered with status {status_code}: {said or 'no message'}"
        stop = "" if not self._advice or message.endswith((".", "!", "?")) else "."
        super().__init__(f"{message}{stop} {self._advice}".rstrip())


class DBTCloudAuthError(DBTCloudAPIError, TerminalException):
    """401 or 403: the token is not accepted here."""

    _advice = (
        "Either the token is wrong or expired, or it belongs to another host: a valid token gets "
        "this same answer from every host but its own. Compare `base_api_url` with the Access URL "
        "in the account settings of dbt Cloud, and check `api_token`."
    )


class DBTCloudNotFoundError(DBTCloudAPIError, TerminalException):
    """404: the object does not exist, or this token may not see it; the API does not tell which."""

    _advice = "Check the ids in this URL, and that the token may see that account and project."


class DBTCloudRateLimitError(DBTCloudAPIError, TransientException):
    """429: more requests a minute than the account may send.

    Attributes:
        retry_after: Seconds to wait that the API asks for, or None where it does not say.
    """

    _advice = "Try again later."
    retry_after: float | None

    def __init__(self, method: str, url: str, status_code: int, *messages: str) -> None:
        self.retry_after = None
        super().__init__(method, url, status_code, *messages)


class DBTCloudServerError(DBTCloudAPIError, TransientException):
    """5xx, or an answer at any status that is not the JSON of this API."""

    _advice = (
        "If that stays so, check `base_api_url`: it must be the host of the dbt Cloud API, "
        "and no proxy or login page may answer for it."
    )


class DBTCloudTransportError(DBTCloudException, TransientException):
    """No answer: the connection was refused or cut, the name is unknown, or time ran out.

    Attributes:
        method: How it was asked: `GET` or `POST`.
        url: What was asked for.
    """

    def __init__(
        self, method: str, url: str, reason: str, *, may_have_arrived: bool = True
    ) -> None:
        self.method = method
        self.url = url
        self.may_have_arrived = may_have_arrived
        super().__init__(
            f"`{method} {url}` got no answer: {reason}. Check `base_api_url` and the network."
        )


class DBTCloudTriggerUnknownError(DBTCloudException, TransientException):
    """The answer to a trigger was lost, and whether there is a run could not be found out.

    Attributes:
        job_definition_id: The job.
        cause: What the run carries, if there is one.
    """

    may_have_arrived = True

    def __init__(self, job_definition_id: int, cause: str, reason: str) -> None:
        self.job_definition_id = job_definition_id
        self.cause = cause
        super().__init__(
            f"Whether job `{job_definition_id}` has a new run is not known. {reason} Before you "
            f"trigger it again, look in its run history in dbt Cloud for the cause `{cause}`."
        )


class DBTCloudRunError(DBTCloudException):
    """A run did not end well.

    Attributes:
        run_id: The run.
        job_definition_id: Its job.
        run_url: Its page in dbt Cloud, or None where the API does not tell.
        status: Its status code.
        status_humanized: The same in a word.
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
    """The run ended with an error.

    Attributes:
        failures: The nodes that failed, the first twenty of them, as dicts of
            `dlt_dbtcloud.typing.NodeFailure`; none where dbt did not come to run any.
    """

    def __init__(
        self,
        run: Run,
        outcome: str | None = None,
        failures: Sequence[NodeFailure] = (),
        advice: str = "Its steps and logs say why.",
    ) -> None:
        self.failures = [*failures]
        super().__init__(run, outcome or f"{run_name(run)} failed{_said(run)}.", advice)


class DBTCloudRunCancelled(DBTCloudRunError, TerminalException):
    """The run was cancelled, by somebody or by its own time limit.

    Attributes:
        timed_out: Whether it was dbt Cloud that ended it, as it took longer than its time limit.
    """

    def __init__(self, run: Run) -> None:
        self.timed_out = bool(_TIMED_OUT.search(run.get("status_message") or ""))
        outcome = "took longer than its time limit, so dbt Cloud cancelled it"
        advice = "Give it more time, with `timeout_seconds_override` or in the job's settings."
        if not self.timed_out:
            outcome = f"was cancelled{_canceller(run)}"
            advice = "Start it again when that was not meant."
        super().__init__(run, f"{run_name(run)} {outcome}{_said(run)}.", advice)


class DBTCloudRunTimeout(DBTCloudRunError, TransientException):
    """The run is still going on, but the time to wait for it is over.

    Attributes:
        timeout: How many seconds it was waited for.
    """

    def __init__(
        self,
        run: Run,
        timeout: float,
        *,
        trouble: BaseException | None = None,
        ended: Run | None = None,
    ) -> None:
        self.timeout = timeout
        status = (run.get("status_humanized") or "not over").lower()
        resume = f"`get_dbt_cloud_run_status(run_id={run.get('id')})`"
        advice = f"It goes on by itself; {resume} goes on watching it."
        if ended:
            how = ended.get("status_humanized") or "it has ended"
            advice = f"As it is not waited for any longer: {how}."
        super().__init__(
            run,
            f"{run_name(run)} is still {status} after `timeout={timeout:g}` seconds.",
            advice + (f" The last check failed: {trouble}" if trouble else ""),
        )


def _said(run: Run) -> str:
    said = without_secrets(run.get("status_message") or "").rstrip(" .")
    return f": {said}" if said else ""


def _canceller(run: Run) -> str:
    event = (run.get("audit") or {}).get("cancellation") or {}
    name = (event.get("actor") or {}).get("name")
    return f" by {name}" if name else ""


def run_error(run: Run) -> DBTCloudRunError | None:
    """Return the error that a run's end means, or None where it succeeded or is not over."""
    if not is_over(run) or run.get("is_success") or run.get("status") == RunStatus.SUCCESS:
        return None
    if run.get("is_cancelled") or run.get("status") == RunStatus.CANCELLED:
        return DBTCloudRunCancelled(run)
    return DBTCloudRunFailed(run)
