"""HTTP requests to the API, and the decoding of its responses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from email.utils import mktime_tz, parsedate_tz
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast

import requests
from dlt.common.json import json
from dlt.sources.helpers.requests import Client, Session
from dlt.sources.helpers.rest_client.paginators import OffsetPaginator
from requests import Response
from requests.auth import AuthBase

from dlt_dbtcloud.client.connection import advice_for, never_left, reason_of
from dlt_dbtcloud.client.outages import Clock, Patience
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudServerError,
    DBTCloudTransportError,
)

__all__ = ["Transport", "not_this_api"]


_T = TypeVar("_T")

_MESSAGE_LIMIT = 500
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_ERRORS: dict[int, type[DBTCloudAPIError]] = {
    401: DBTCloudAuthError,
    403: DBTCloudAuthError,
    404: DBTCloudNotFoundError,
}
_PAGE = 100
_TIMEOUT = 60.0


class Transport:
    """HTTP requests to one API, and the decoding of its responses.

    Args:
        base_url: `https://HOST/api/v2`.
        token: The token that authorizes the requests.
        session: The session to use, closed by its owner; by default one of dlt's, which retries
            GETs as `RUNTIME__REQUEST_*` configures.
        clock: A clock, injectable for tests.
        patience: How to wait out outages, in place of the session's own retries.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        session: requests.Session | None = None,
        clock: Clock = time,
        patience: Patience | None = None,
    ) -> None:
        self._base_url = base_url
        self._auth = _TokenAuth(token)
        self._given = session
        self._client = None if session else Client(raise_for_status=False)
        self._single = _single(session or self._session)
        self._clock = clock
        self._patience = patience

    def close(self) -> None:
        """Close the connection, unless the session was passed in."""
        if self._client is not None:
            self._client.session.close()

    def patient(self, patience: Patience) -> Transport:
        """Return a transport on the same connection that waits out outages."""
        other = copy(self)
        other._patience = patience
        return other

    def without_token(self, text: str) -> str:
        """Cut the token out of a text."""
        return self._auth.without_token(text)

    def attempt(self, request: Callable[[], _T], *, is_idempotent: bool = True) -> _T:
        """Send a request and read its response, again during an outage if this is patient.

        Args:
            request: Sends the request and reads its response.
            is_idempotent: Whether to send it again when it may have arrived.
        """
        if self._patience is None:
            return request()
        return self._patience.request(request, self._clock, is_idempotent=is_idempotent)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the object in the response to a GET."""
        params = _params(query)
        return self.attempt(lambda: _unwrap_object(self._send("GET", path, params=params)))

    def get_list(self, path: str, **query: Any) -> list[Any]:
        """Return the list in the response to a GET that has no pages."""
        params = _params(query)
        return self.attempt(lambda: _unwrap_list(self._send("GET", path, params=params)))

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, is_idempotent: bool = False
    ) -> dict[str, Any]:
        """Return the object in the response to a POST.

        Args:
            path: The path below the base URL.
            body: The JSON body.
            is_idempotent: Whether a patient transport sends it again when it may have arrived.
        """
        return self.attempt(
            lambda: _unwrap_object(self._send("POST", path, json=body)), is_idempotent=is_idempotent
        )

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        params = {"limit": _PAGE, "offset": 0, **_params(query)}
        limit = params["limit"] = min(_PAGE, int(params["limit"]))
        paginator = OffsetPaginator(
            limit, offset=int(params["offset"]), total_path="extra.pagination.total_count"
        )
        request = requests.Request("GET", params=params)
        paginator.init_request(request)
        while paginator.has_next_page:
            yield from self.attempt(partial(self._page, path, request, paginator))
            paginator.update_request(request)

    def _page(
        self, path: str, request: requests.Request, paginator: OffsetPaginator
    ) -> list[dict[str, Any]]:
        response = self._send("GET", path, params=request.params)
        items = _unwrap_objects(response)
        try:
            paginator.update_state(response, items)
        except ValueError:
            raise not_this_api(response) from None
        return items

    @contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[requests.Response]:
        """Open a file without reading its content."""
        headers = {"Accept": "*/*"}
        response = self._send("GET", path, params=_params(query), headers=headers, stream=True)
        with response, self._as_transport_error("GET", self._base_url + path):
            _raise_for_error(response)
            yield response

    def _send(
        self, method: str, path: str, *, stream: bool = False, **parts: Any
    ) -> requests.Response:
        url = self._base_url + path
        session = self._session
        headers = {"Accept": "application/json", **parts.pop("headers", {})}
        request = session.prepare_request(
            requests.Request(method, url, headers=headers, auth=self._auth, **parts)
        )
        options: dict[str, Any] = {
            **session.merge_environment_settings(url, {}, stream, None, None)
        }
        options["timeout"] = getattr(session, "timeout", _TIMEOUT)
        # a POST that follows a redirect becomes a GET, or is sent a second time
        options["allow_redirects"] = method == "GET"
        is_retried = method == "GET" and self._patience is None
        sender = session if is_retried else self._single
        with self._as_transport_error(method, url):
            return sender.send(request, **options)

    @contextmanager
    def _as_transport_error(self, method: str, url: str) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as error:
            may_have_arrived, advice = not never_left(error), advice_for(error)
            # a server may quote the token; the chained urllib3 errors repeat the reason
            reason = self._auth.without_token(reason_of(error))
            error.args, error.request, error.response = (reason,), None, None
            error.__cause__ = error.__context__ = None
            raise DBTCloudTransportError(
                method, url, reason, advice, may_have_arrived=may_have_arrived
            ) from error

    @property
    def _session(self) -> requests.Session:
        return self._given or cast(Client, self._client).session


def not_this_api(response: Response) -> DBTCloudServerError:
    """Return the error for a success that another server sent: a page, or incomplete JSON."""
    text = f"this is not a dbt Cloud API response: {_readable(response) or '(empty)'}"
    return DBTCloudServerError(
        *_request_of(response), response.status_code, text, may_have_arrived=True
    )


def _unwrap_object(response: Response) -> dict[str, Any]:
    """Return the object in a response: a run, a job, an account."""
    data = _unwrap(response)
    if not _is_object(data):
        raise not_this_api(response)
    return cast(dict[str, Any], data)


def _unwrap_list(response: Response) -> list[Any]:
    """Return the list in a response; null is an empty list."""
    data = _unwrap(response)
    if not isinstance(data, list | None):
        raise not_this_api(response)
    return data or []


def _unwrap_objects(response: Response) -> list[dict[str, Any]]:
    """Return the list of objects in a response: runs, jobs."""
    items = _unwrap_list(response)
    if not all(map(_is_object, items)):
        raise not_this_api(response)
    return items


def _raise_for_error(response: Response) -> None:
    """Raise the matching `DBTCloudAPIError` unless the response is a success.

    Raises:
        DBTCloudAuthError: 401 or 403.
        DBTCloudNotFoundError: 404.
        DBTCloudRateLimitError: 429.
        DBTCloudServerError: 5xx.
        DBTCloudAPIError: Any other status that is not a success.
    """
    if not response.ok:
        raise _error(response, _parse(response))


class _TokenAuth(AuthBase):
    """Authorization of requests, which a .netrc does not override."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self._token}"
        return request

    def without_token(self, text: str) -> str:
        """Cut the token out of a text."""
        return text.replace(self._token, "***")


def _unwrap(response: Response) -> Any:
    payload = _parse(response)
    status = _status(payload)
    if not response.ok or status.get("is_success") is False:
        raise _error(response, payload)
    if not isinstance(payload, dict) or "data" not in payload:
        raise not_this_api(response)
    return payload["data"]


def _error(response: Response, payload: Any) -> DBTCloudAPIError:
    code = response.status_code
    reported_code = _status(payload).get("code")
    if response.ok and isinstance(reported_code, int):
        code = reported_code
    # without the token first: a text that is cut may end within it
    messages = [_safe(text, response)[:_MESSAGE_LIMIT] for text in _messages(response, payload)]
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        retry_after = _seconds(response.headers.get("Retry-After", ""))
        return DBTCloudRateLimitError(
            *_request_of(response), code, *messages, retry_after=retry_after
        )
    default = DBTCloudServerError if code >= 500 else DBTCloudAPIError
    # the API may have processed a request whose response another server sent
    may_have_arrived = code >= 500 or payload is None
    return _ERRORS.get(code, default)(
        *_request_of(response), code, *messages, may_have_arrived=may_have_arrived
    )


def _request_of(response: Response) -> tuple[str, str]:
    return response.request.method or "GET", _safe(response.url, response)


def _safe(text: str, response: Response) -> str:
    """Cut the token out of a text, because a server may quote the request."""
    for each in (*response.history, response):
        token = each.request.headers.get("Authorization", "").rpartition(" ")[2]
        text = text.replace(token, "***") if token else text
    return text


def _messages(response: Response, payload: Any) -> tuple[str, str]:
    """Return the messages of a response for users and for developers."""
    if not isinstance(payload, dict):
        return _readable(response), ""
    status = _status(payload)
    others = (payload.get(key) for key in ("detail", "message", "error"))
    user = status.get("user_message") or next(filter(None, others), "")
    details = (status.get("developer_message"), _details(payload.get("data")))
    developer = " ".join(str(detail) for detail in details if detail)
    if not user and not developer:
        return _readable(response), ""
    return str(user), developer


def _is_object(data: object) -> bool:
    """Return whether a value is an object with an id, like all of the API."""
    number = data.get("id") if isinstance(data, dict) else None
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _details(data: Any) -> str:
    """Return the details in the `data` of a 400: one sentence per field."""
    if isinstance(data, dict):
        return "; ".join(f"`{field}`: {problem}" for field, problem in data.items())
    return data if isinstance(data, str) else ""


def _status(payload: Any) -> dict[str, Any]:
    status = payload.get("status") if isinstance(payload, dict) else None
    return status if isinstance(status, dict) else {}


def _parse(response: Response) -> Any:
    try:
        return json.loadb(response.content)
    except ValueError:
        return None


def _readable(response: Response) -> str:
    """Return the beginning of a text, without markup."""
    text = _safe(response.text, response)[: 20 * _MESSAGE_LIMIT]
    return " ".join(_MARKUP.sub(" ", text).split())[:_MESSAGE_LIMIT]


def _seconds(retry_after: str) -> float | None:
    """Return the seconds of a `Retry-After` header, which is a number or a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_tz(retry_after)
        return max(0.0, mktime_tz(date) - time.time()) if date else None
    except (ValueError, OverflowError):
        return None


def _single(session: requests.Session) -> requests.Session:
    """Return a session on the same connections that sends a request once, unlike dlt's."""
    if not isinstance(session, Session):
        return session
    single = requests.Session()
    single.trust_env = session.trust_env
    for prefix, adapter in session.adapters.items():
        single.mount(prefix, adapter)
    return single


def _params(query: Mapping[str, Any]) -> dict[str, str | int]:
    """Encode a query: a list as one JSON text, related objects as one comma-separated text."""
    params = {name: _param(name, value) for name, value in query.items() if value is not None}
    return {name: param for name, param in params.items() if param != ""}


def _param(name: str, value: Any) -> str | int:
    if isinstance(value, str):
        return value
    if name == "include_related":
        return ",".join(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return json.dumps(list(value) if isinstance(value, Iterable) else value)
