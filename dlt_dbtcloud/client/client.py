"""Client of the dbt Cloud Administrative API v2, with one method per operation.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import requests
from dlt.common import logger
from dlt.common.json import json

from dlt_dbtcloud.cause import is_of_another_call
from dlt_dbtcloud.client.credentials import (
    ACCESS_URL,
    BASE_URL,
    valid_base_url,
    valid_id,
    valid_token,
)
from dlt_dbtcloud.client.http import TokenAuth, Transport
from dlt_dbtcloud.client.outages import DEFAULT_TIMEOUT, Clock, Patience, RateLimiter
from dlt_dbtcloud.client.responses import Reply, not_this_api, raise_for_page
from dlt_dbtcloud.client.shapes import shaped_job, shaped_run
from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import Job, Run

__all__ = ["DBTCloudClientV2"]


_DEFAULT_HOST = urlsplit(BASE_URL).hostname


class DBTCloudClientV2:
    """Client of one account, on one kept-alive connection.

    GETs are retried as dlt's `RUNTIME__REQUEST_*` settings configure. A POST is sent once, because
    it may have taken effect if its response is lost. Use the client as a context manager, or call
    `close`.

    Every method that sends a request raises

    - `InvalidCredentialsException`: `account_id` or another id is missing or invalid
    - `DBTCloudAPIError` or one of its subclasses: the API returned an error
    - `DBTCloudTransportError`: the API did not respond; a POST may have taken effect

    Args:
        api_token: A service token or a personal access token.
        account_id: The account, as digits.
        base_api_url: The account's Access URL, with or without `/api`; `http` to loopback only.
        session: A session to use instead of the client's own, for example with your proxy or
            certificates. It applies its own retries, and its owner closes it.
        clock: A clock, injectable for tests.
        connection: The connection that the account is configured as, for messages.

    Attributes:
        clock: The clock.

    Raises:
        InvalidCredentialsException: A value is unusable.
    """

    api_version = "v2"

    def __init__(
        self,
        api_token: str,
        account_id: int | str | None = None,
        base_api_url: str = BASE_URL,
        *,
        session: requests.Session | None = None,
        clock: Clock = time,
        connection: str | None = None,
    ) -> None:
        try:
            auth = TokenAuth(valid_token(api_token))
        finally:
            del api_token  # a traceback may show the variables of its functions
        self.account_id = None if account_id in (None, "") else valid_id("account_id", account_id)
        self.base_api_url = f"{valid_base_url(base_api_url)}/{self.api_version}"
        self.clock = clock
        self._connection = connection
        if urlsplit(self.base_api_url).hostname == _DEFAULT_HOST:
            logger.warning(
                f"`base_api_url` is the default, `{_DEFAULT_HOST}`, which dbt Labs will remove. "
                f"Set the account's own Access URL. {ACCESS_URL}"
            )
        self._transport = Transport(self.base_api_url, auth, session, clock)

    def __enter__(self) -> DBTCloudClientV2:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_api_url!r}, account_id={self.account_id!r})"

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._transport.close()

    def patient(
        self,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        cool_down: float = 0.0,
        limiter: RateLimiter | None = None,
        within: float | None = None,
    ) -> DBTCloudClientV2:
        """Return a client on the same connection that waits out outages.

        It sends GETs and cancellations again until they are answered. A POST that creates a run is
        sent again only if it certainly did not arrive.

        Args:
            timeout: Seconds for which one request is retried; 0 sends each request once.
            cool_down: Additional seconds while the API limits the rate of requests.
            limiter: The rate of requests, retries included.
            within: Longest time for one request, in seconds, but at least ten; by default what is
                left of `timeout`, and the session's timeout for a POST that creates a run.
        """
        other = copy(self)
        other._transport = self._transport.patient(Patience(timeout, cool_down, limiter, within))
        return other

    @property
    def shortest_pause(self) -> float:
        """The shortest pause between status checks, in seconds.

        It is 0 until the API has refused all requests for half a minute, and doubles each time.
        """
        return self._transport.shortest_pause

    def call(self, helper: str, run_id: int | None) -> str:
        """Return the call of a helper for a run, as a message quotes it."""
        connection = f", connection={self._connection!r}" if self._connection else ""
        return f"`{helper}(run_id={run_id}{connection})`"

    def redact(self, text: str) -> str:
        """Return a plain text without the client's token and other apparent secrets."""
        return redact(self.without_token(text))

    def without_token(self, text: str) -> str:
        """Cut the client's token out of a text."""
        return self._transport.without_token(text)

    def trigger_job_run(
        self, job_id: int | str | None, data: Mapping[str, Any] | None = None
    ) -> int:
        """Trigger a run of a job and return its id; `start_job_run` returns the run.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

        Args:
            job_id: The job.
            data: As for `start_job_run`.
        """
        return id_of(self.start_job_run(job_id, data))

    def start_job_run(self, job_id: int | str | None, data: Mapping[str, Any] | None = None) -> Run:
        """Trigger a run of a job and return it, queued.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Trigger%20Job%20Run

        Args:
            job_id: The job.
            data: The overrides of this run, the fields of `TriggerData`; a missing `cause` is
                added, because the API requires it.
        """
        body = {"cause": "Triggered via API", **(data or {})}
        path, number = self._job(job_id, "run/"), int(valid_id("job_id", job_id))

        def is_expected(run: dict[str, Any]) -> bool:
            is_of_job = run.get("job_definition_id") in (None, number)
            return is_of_job and not is_of_another_call(shaped_run(run), str(body["cause"]))

        return self._run_of(self._transport.post(path, body, is_expected=is_expected))

    def get_run_status(self, run_id: int | str | None, include_related: Iterable[str] = ()) -> Run:
        """Return a run.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run

        Args:
            run_id: The run.
            include_related: Related objects to include: `trigger`, `job`, `environment`,
                `repository`, `run_steps`, `run_retries`, `audit`, `debug_logs`; the last one
                requires `run_steps` as well.
        """
        path, number = self._run(run_id), int(valid_id("run_id", run_id))
        return self._run_of(self._transport.get(path, number, include_related=include_related))

    def list_runs(self, **filters: Any) -> Iterator[Run]:
        """Yield the runs of the account, from all pages.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Runs

        Args:
            **filters: The API's filters: `job_definition_id`, `project_id`, `environment_id`,
                `status`, `status__in`, `pk__in`, `id__gt`, `created_at__range`,
                `finished_at__range`, `include_related`, `order_by`, `limit` (the size of a page,
                at most 100), `offset` … Lists are encoded as the API expects.
        """
        return map(self._run_of, self._transport.pages(self._path("runs/"), filters))

    def get_job(self, job_id: int | str | None, include_related: Iterable[str] = ()) -> Job:
        """Return a job.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job

        Args:
            job_id: The job.
            include_related: Related objects to include: `environment`, `most_recent_run`,
                `most_recent_completed_run`, `custom_environment_variables`.
        """
        path, number = self._job(job_id), int(valid_id("job_id", job_id))
        return self._job_of(self._transport.get(path, number, include_related=include_related))

    def list_jobs(self, **filters: Any) -> Iterator[Job]:
        """Yield the jobs of the account, from all pages.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Jobs

        Args:
            **filters: The API's filters: `project_id`, `environment_id`, `name__icontains`,
                `state`, `include_related`, `order_by`, `limit`, `offset` …
        """
        return map(self._job_of, self._transport.pages(self._path("jobs/"), filters))

    def cancel_run(self, run_id: int | str | None) -> Run:
        """Request the cancellation of a run, which takes effect later, and return the run.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Cancel%20Run

        Args:
            run_id: The run.
        """
        return self._run_of(self._transport.post(self._run(run_id, "cancel/"), is_idempotent=True))

    def retry_run(self, run_id: int | str | None) -> Run:
        """Retry a failed run from its point of failure, and return the new run.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retry%20Run

        Args:
            run_id: The failed run.
        """
        path, number = self._run(run_id, "retry/"), int(valid_id("run_id", run_id))
        return self._run_of(
            self._transport.post(
                path, is_expected=lambda run: run.get("retrying_run_id") in (None, number)
            )
        )

    def list_run_artifacts(self, run_id: int | str | None) -> list[str]:
        """Return the paths of a run's artifacts.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Run%20Artifacts

        Args:
            run_id: The run.
        """
        return self._transport.get_texts(self._run(run_id, "artifacts/"))

    def get_run_artifact(self, run_id: int | str | None, path: str, step: int | None = None) -> Any:
        """Return an artifact of a run: decoded if it is a `.json`, else its bytes.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

        Args:
            run_id: The run.
            path: As `list_run_artifacts` returns it: `manifest.json`, `run_results.json` …
            step: The index of the step, counted from 1; by default the last step, which is
                `dbt docs generate` if the job generates docs.
        """
        return self._artifact(self._run(run_id, _artifact_path(path)), step)

    def get_job_artifact(self, job_id: int | str | None, path: str) -> Any:
        """Return the latest artifact of a job: decoded if it is a `.json`, else bytes.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job%20Artifact

        Args:
            job_id: The job.
            path: As for `get_run_artifact`.
        """
        return self._artifact(self._job(job_id, _artifact_path(path)))

    def download_run_artifact(
        self,
        run_id: int | str | None,
        path: str,
        to: str | os.PathLike[str],
        step: int | None = None,
    ) -> Path:
        """Stream an artifact of a run to a file, which appears when it is complete.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Run%20Artifact

        Args:
            run_id: The run.
            path: As `list_run_artifacts` returns it.
            to: The file to write; its folder must exist.
            step: The index of the step, counted from 1; by default the last step.
        """
        return self._download(self._run(run_id, _artifact_path(path)), Path(to), step)

    def download_job_artifact(
        self, job_id: int | str | None, path: str, to: str | os.PathLike[str]
    ) -> Path:
        """Stream the latest artifact of a job to a file, which appears when it is complete.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Job%20Artifact

        Args:
            job_id: The job.
            path: As for `get_run_artifact`.
            to: The file to write; its folder must exist.
        """
        return self._download(self._job(job_id, _artifact_path(path)), Path(to))

    def get_account(self) -> dict[str, Any]:
        """Return the account.

        API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Account
        """
        return self._transport.get(self._path())

    def get_endpoint(self, endpoint: str) -> Any:
        """Return the whole JSON response to a GET, like the client of `dlt.helpers.dbt_cloud`.

        Args:
            endpoint: The path below the base URL, such as `accounts/1/runs/5/`.
        """
        return self._transport.get_payload(_endpoint(endpoint))

    def post_endpoint(self, endpoint: str, json_body: dict[Any, Any] | None = None) -> Any:
        """Return the whole JSON response to a POST, like the client of `dlt.helpers.dbt_cloud`.

        Args:
            endpoint: The path below the base URL, such as `accounts/1/jobs/7/run/`.
            json_body: The JSON body.
        """
        # the API redirects a path without a slash, and a POST follows no redirect
        return self._transport.post_payload(f"{_endpoint(endpoint).rstrip('/')}/", json_body)

    def _run_of(self, payload: dict[str, Any]) -> Run:
        """Return the run of a payload, without the token in the texts that errors quote."""
        run = shaped_run(payload)
        if message := run.get("status_message"):
            run["status_message"] = self.without_token(message)
        if status := run.get("status_humanized"):
            run["status_humanized"] = self.without_token(status)
        if href := run.get("href"):
            run["href"] = self.without_token(href)
        job = run.get("job")
        if job and (name := job.get("name")):
            job["name"] = self.without_token(name)
        return run

    def _job_of(self, payload: dict[str, Any]) -> Job:
        """Return the job of a payload, without the token in the name that errors quote."""
        job = shaped_job(payload)
        if name := job.get("name"):
            job["name"] = self.without_token(name)
        return job

    def _download(self, path: str, target: Path, step: int | None = None) -> Path:
        def download(_within: float | None) -> Path:
            with self._transport.stream(path, step=step) as (beginning, chunks):
                raise_for_page(beginning, path)
                _write(target, chunks)
            return target

        return self._transport.attempt(download)

    def _artifact(self, path: str, step: int | None = None) -> Any:
        return self._transport.attempt(lambda _within: self._read_artifact(path, step))

    def _read_artifact(self, path: str, step: int | None) -> Any:
        with self._transport.stream(path, step=step) as (beginning, chunks):
            raise_for_page(beginning, path)
            content = b"".join(chunks)
        return _decoded(content, beginning) if path.endswith(".json") else content

    def _path(self, collection: str = "") -> str:
        if not self.account_id:
            raise InvalidCredentialsException(
                "`account_id` is missing. It is the first number in the URLs of the account's "
                "pages in dbt Cloud.",
                "account_id",
            )
        return f"/accounts/{self.account_id}/{collection}"

    def _job(self, job_id: object, below: str = "") -> str:
        return self._path(f"jobs/{_required_id('job_id', job_id)}/{below}")

    def _run(self, run_id: object, below: str = "") -> str:
        return self._path(f"runs/{_required_id('run_id', run_id)}/{below}")


def _required_id(name: str, value: object) -> str:
    if value in (None, ""):
        raise InvalidCredentialsException(
            f"`{name}` is missing: pass it, or set `DBT_CLOUD__{name.upper()}`.", name
        )
    return valid_id(name, value)


def _artifact_path(path: str) -> str:
    """Return the URL path of an artifact within the run's artifacts.

    Raises:
        ValueError: It is empty, absolute, or contains `..`.
    """
    if not path or {"", ".", ".."} & set(path.split("/")):
        raise ValueError(
            f"`path={path!r}` is not an artifact: pass a path like `run_results.json`."
        )
    return f"artifacts/{quote(path)}"


def _write(target: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that appears when it is complete; leave nothing behind on failure."""
    part = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with part.open("xb") as file:
            file.writelines(chunks)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _decoded(content: bytes, beginning: Reply) -> Any:
    try:
        return json.loadb(content)
    except (ValueError, RecursionError):
        raise not_this_api(beginning) from None


def _endpoint(endpoint: str) -> str:
    """Return the path of an endpoint.

    Raises:
        TypeError: It is not a text.
    """
    if not isinstance(endpoint, str):
        raise TypeError(f"`endpoint` is a `{type(endpoint).__name__}`. Pass a path.")
    return f"/{endpoint.lstrip('/')}"
