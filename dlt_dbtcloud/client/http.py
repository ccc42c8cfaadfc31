"""HTTP requests to the API."""

from __future__ import annotations

import math
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from itertools import chain
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote, quote_plus, urlsplit

import requests
from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.json import json
from dlt.sources.helpers.requests import Client, Session
from requests import Response
from requests.auth import AuthBase
from requests.utils import requote_uri
from urllib3.exceptions import HTTPError

from dlt_dbtcloud.client.connection import advice_for, never_left, reason_of
from dlt_dbtcloud.client.credentials import Secret, is_loopback
from dlt_dbtcloud.client.deadlines import BodyTooLarge, DeadlineAdapter, limit_body
from dlt_dbtcloud.client.outages import Clock, Patience, Throttle
from dlt_dbtcloud.client.responses import (
    Reply,
    decode,
    not_this_api,
    raise_for_error,
    seconds_of,
    unwrap_object,
    unwrap_page,
    unwrap_texts,
)
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudServerError,
    DBTCloudTransportError,
)
from dlt_dbtcloud.redaction import redact

__all__ = ["TokenAuth", "Transport"]


_T = TypeVar("_T")

# a request and the reading of its response, within seconds or the session's timeout
Send = Callable[[float | None], _T]

_PAGE = 100
_TIMEOUT = 60.0
_CHUNK = 1 << 16
# each has the timeout of a request; the API redirects a path without a slash, and `http`
_REDIRECTS = 3
# as many as dlt keeps open
_CONNECTIONS = 50
# requests passes some errors of urllib3, of codecs and of files with certificates through
_FAILURES = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


@configspec
class _RequestConfiguration(BaseConfiguration):
    """The setting of dlt that all requests use."""

    __section__: ClassVar[str] = "runtime"

    request_timeout: float = _TIMEOUT


class Transport:
    """HTTP requests to one API, and the decoding of its responses.

    Args:
        base_url: `https://HOST/api/v2`.
        auth: The authorization of the requests.
        session: The session to use, closed by its owner; by default one of dlt's, which retries
            GETs as `RUNTIME__REQUEST_*` configures.
        clock: A clock, injectable for tests.
        patience: How to wait out outages, in place of the session's own retries.
    """

    def __init__(
        self,
        base_url: str,
        auth: TokenAuth,
        session: requests.Session | None = None,
        clock: Clock = time,
        patience: Patience | None = None,
    ) -> None:
        self._base_url = base_url
        self._auth = auth
        self._given = session
        self._client: Client | None = None
        self._adapter = DeadlineAdapter(pool_maxsize=_CONNECTIONS)
        self._single = _single(session) if session else self._own_session()
        self._clock = clock
        self._patience = patience
        self._throttle = Throttle()

    @property
    def shortest_pause(self) -> float:
        """The shortest pause between requests that can wait, in seconds."""
        return self._throttle.pause

    def close(self) -> None:
        """Close the connection, unless the session was passed in."""
        if self._given is None:
            self._adapter.close()

    def patient(self, patience: Patience) -> Transport:
        """Return a transport on the same connection that waits out outages."""
        other = copy(self)
        other._patience = patience
        return other

    def without_token(self, text: str) -> str:
        """Cut the token out of a text."""
        return self._auth.without_token(text)

    def attempt(self, send: Send[_T], *, is_idempotent: bool = True) -> _T:
        """Send a request and read its response, again during an outage if this is patient.

        Args:
            send: Sends the request and reads its response within some seconds, or within the
                session's timeout if they are None.
            is_idempotent: Whether to send it again when it may have arrived.
        """
        if self._patience is None:
            return send(None)
        return self._patience.request(send, self._clock, is_idempotent=is_idempotent)

    def get(self, path: str, object_id: int | None = None, **query: Any) -> dict[str, Any]:
        """Return the object in the response to a GET.

        Args:
            path: The path below the base URL.
            object_id: The id of the object, if it is known.
            **query: The query.
        """
        return self._get(partial(unwrap_object, object_id=object_id), path, query)

    def get_texts(self, path: str, **query: Any) -> list[str]:
        """Return the list of texts in the response to a GET that has no pages."""
        return self._get(unwrap_texts, path, query)

    def get_payload(self, path: str) -> Any:
        """Return the whole JSON of the response to a GET."""
        return self._get(decode, path, {})

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        is_idempotent: bool = False,
        is_expected: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> dict[str, Any]:
        """Return the object in the response to a POST.

        Args:
            path: The path below the base URL.
            body: The JSON body.
            is_idempotent: Whether a patient transport sends it again when it may have arrived.
            is_expected: Whether an object may be that of this request. A proxy may respond with
                the response to another one.
        """

        def send(within: float | None) -> dict[str, Any]:
            reply = self._exchange("POST", path, within, json=body)
            found = unwrap_object(reply)
            if not is_expected(found):
                raise not_this_api(reply)
            return found

        return self.attempt(send, is_idempotent=is_idempotent)

    def post_payload(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the whole JSON of the response to a POST."""
        return self.attempt(
            lambda within: decode(self._exchange("POST", path, within, json=body)),
            is_idempotent=False,
        )

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the items of a list, page by page.

        New items may move others to the next page, but a page that repeats only others is an error:
        the list would have no end.
        """
        params = _params(query)
        limit = max(1, min(_PAGE, int(params.get("limit", _PAGE))))
        offset, total = int(params.get("offset", 0)), math.inf
        known: set[int] = set()
        while offset < total:
            page = {**params, "limit": limit, "offset": offset}
            items, total = self._get(partial(unwrap_page, known=frozenset(known)), path, page)
            if not items:
                return
            known.update(item["id"] for item in items)
            yield from items
            offset += len(items)

    @contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[tuple[Reply, Iterator[bytes]]]:
        """Open a file, and yield the beginning of its content and all of its chunks."""
        headers = {"Accept": "*/*"}
        with self._send(
            "GET", path, None, params=_params(query), headers=headers, stream=True
        ) as response:
            if not 200 <= response.status_code < 300:
                raise_for_error(self._reply(response, b"".join(self._chunks(response))))
            chunks = self._chunks(response)
            first = next(chunks, b"")
            yield self._reply(response, first), chain([first], chunks)

    def _get(self, read: Callable[[Reply], _T], path: str, query: Mapping[str, Any]) -> _T:
        params = _params(query)
        return self.attempt(lambda within: read(self._exchange("GET", path, within, params=params)))

    def _exchange(self, method: str, path: str, within: float | None, **parts: Any) -> Reply:
        """Send a request and read its response."""
        response = self._send(method, path, within, **parts)
        return self._reply(response, response.content)

    def _send(
        self, method: str, path: str, within: float | None, *, stream: bool = False, **parts: Any
    ) -> Response:
        url = self._base_url + path
        is_retried = method == "GET" and self._patience is None
        session = self._given or (self._retrying if is_retried else self._single)
        sender = session if is_retried else self._single
        headers = {"Accept": "application/json", **parts.pop("headers", {})}
        received: list[Response] = []
        # hooks of a request replace those of its session
        hooks = {
            "response": [
                lambda each, **_: received.append(each),
                limit_body,
                *session.hooks["response"],
            ]
        }
        with self._as_transport_error(method, url), _closing_on_error(received):
            response = sender.send(
                # no variable of a traceback refers to the request with its token
                session.prepare_request(
                    requests.Request(
                        method, url, headers=headers, auth=self._auth, hooks=hooks, **parts
                    )
                ),
                **_settings(session, url, stream=stream),
                timeout=_timeout(session, within),
                # a POST that follows a redirect becomes a GET, or is sent a second time
                allow_redirects=method == "GET",
            )
        _forget_token(response)
        return response

    def _chunks(self, response: Response) -> Iterator[bytes]:
        with self._as_transport_error("GET", self.without_token(response.url)):
            yield from response.iter_content(_CHUNK)

    def _reply(self, response: Response, content: bytes) -> Reply:
        headers = response.headers
        is_limited = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
        self._throttle.record(self._clock.monotonic(), is_limited=is_limited)
        return Reply(
            response.request.method or "GET",
            self.without_token(response.url),
            response.status_code,
            headers.get("Content-Type", ""),
            seconds_of(headers.get("Retry-After", ""), self._clock.time()),
            content,
            self.without_token,
        )

    @contextmanager
    def _as_transport_error(self, method: str, url: str) -> Iterator[None]:
        failure: DBTCloudException | None = None
        cause: Exception | None = None
        try:
            yield
        except BodyTooLarge as error:
            failure = DBTCloudServerError(
                method, url, error.status_code, str(error), may_have_arrived=True
            )
        except _FAILURES as error:
            # a server may quote the token, and the URL of a proxy may have a password;
            # the chained urllib3 errors repeat the reason
            reason = redact(self._auth.without_token(reason_of(error)))
            failure = DBTCloudTransportError(
                method, url, reason, advice_for(error), may_have_arrived=not never_left(error)
            )
            is_of_requests = isinstance(error, requests.RequestException)
            cause = type(error)(reason) if is_of_requests else None
        if failure is not None:
            # outside of the handlers, as the handled error refers to the request with its token
            raise failure from cause

    @property
    def _retrying(self) -> requests.Session:
        """The session of this thread that retries as dlt's, on the same connections."""
        # made when it is needed: its settings take as long to read as a request
        self._client = self._client or Client(raise_for_status=False)
        return self._mounted(self._client.session)

    def _own_session(self) -> requests.Session:
        """Return a session that sends a request once."""
        config = resolve_configuration(_RequestConfiguration())
        session = Session(timeout=config.request_timeout, raise_for_status=False)
        # all threads share the session, so a cookie may be of another thread's request
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        return self._mounted(session)

    def _mounted(self, session: requests.Session) -> requests.Session:
        if session.get_adapter("https://") is not self._adapter:
            session.mount("https://", self._adapter)
            session.mount("http://", self._adapter)
            session.max_redirects = _REDIRECTS
        return session


_ENCODINGS: tuple[Callable[[str], str], ...] = (
    str,
    quote,
    quote_plus,
    lambda token: b64encode(token.encode()).decode(),
    # what requests leaves in a redirect
    lambda token: requote_uri(quote(token, safe="")),
)


class TokenAuth(AuthBase):
    """Authorization of requests, which a .netrc does not override."""

    def __init__(self, token: Secret) -> None:
        self._token = token
        # the forms of most tokens are alike
        self._forms = [*dict.fromkeys(Secret(encode(token)) for encode in _ENCODINGS)]

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header that the API's documents declare."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def without_token(self, text: str) -> str:
        """Cut the token out of a text, also as it is encoded in URLs and headers."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text


@contextmanager
def _closing_on_error(responses: list[Response]) -> Iterator[None]:
    """Close the responses after an error; requests leaves those open that it cannot read."""
    try:
        yield
    except BaseException:
        for each in responses:
            each.close()
        raise
    finally:
        # each refers to its hooks, and so to this list
        responses.clear()


def _forget_token(response: Response) -> None:
    """Drop the token from the requests of a response, which tracebacks may show."""
    for each in (*response.history, response):
        each.request.headers.pop("Authorization", None)


def _settings(session: requests.Session, url: str, *, stream: bool) -> dict[str, Any]:
    """Return the settings of a request from its session and environment; loopback has no proxy."""
    host = urlsplit(url).hostname or ""
    direct = {"no_proxy": host} if is_loopback(host) else {}
    merged = session.merge_environment_settings(url, {**direct}, stream, None, None)
    # those of the session are added otherwise
    return {**merged, "proxies": direct or merged["proxies"]}


def _timeout(session: requests.Session, within: float | None) -> tuple[float, float]:
    """Return the longest waits of a request, for the connection and for the response."""
    given = getattr(session, "timeout", None)
    pair = given if isinstance(given, tuple) else (given, given)
    connect, read = (_TIMEOUT if each is None else float(each) for each in pair)
    return (connect, read) if within is None else (min(connect, within), min(read, within))


def _single(session: requests.Session) -> requests.Session:
    """Return a session on the same connections that sends a request once, unlike dlt's."""
    if not isinstance(session, Session):
        return session
    single = requests.Session()
    single.trust_env = session.trust_env
    single.max_redirects = session.max_redirects
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
