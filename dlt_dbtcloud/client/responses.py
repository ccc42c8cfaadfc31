"""Responses of the API, decoded to payloads and errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus
from typing import Any, cast

from dlt.common.json import json
from requests.utils import get_encoding_from_headers

from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudServerError,
)
from dlt_dbtcloud.values import as_integer, as_mapping

__all__ = [
    "Reply",
    "decode",
    "not_this_api",
    "raise_for_error",
    "raise_for_page",
    "seconds_of",
    "unwrap_object",
    "unwrap_page",
    "unwrap_texts",
]


_MESSAGE_LIMIT = 500
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_ERRORS: dict[int, type[DBTCloudAPIError]] = {
    401: DBTCloudAuthError,
    403: DBTCloudAuthError,
    404: DBTCloudNotFoundError,
}
# longer pauses are not those of this API, which asks for five minutes at most
_LONGEST_RETRY_AFTER = 600.0


@dataclass(frozen=True)
class Reply:
    """A response, without its request and the secrets in that.

    Args:
        method: The method of the request.
        url: The URL of the request.
        status_code: The HTTP status.
        content_type: The header of this name.
        retry_after: The pause that the server requests, in seconds.
        content: The decoded body, or its beginning.
        without_token: Cuts the request's token out of a text, because a server may quote it.
    """

    method: str
    url: str
    status_code: int
    content_type: str
    retry_after: float | None
    content: bytes
    without_token: Callable[[str], str]

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        """The content as text, whatever the declared encoding is."""
        charset = get_encoding_from_headers({"content-type": self.content_type}) or "utf-8"
        try:
            return self.content.decode(charset, errors="replace")
        except (LookupError, ValueError):
            return self.content.decode(errors="replace")


def decode(reply: Reply) -> Any:
    """Return the JSON of a response that has no envelope, or with its envelope.

    Raises:
        DBTCloudAPIError: The response is not a success.
        DBTCloudServerError: It is not JSON.
    """
    payload = _parse(reply)
    is_refused = _status(payload).get("is_success") is False
    if reply.status_code >= 400 or (reply.is_success and is_refused):
        raise _error(reply, payload)
    if not reply.is_success or payload is None:
        raise not_this_api(reply)
    return payload


def unwrap_object(reply: Reply, object_id: int | None = None) -> dict[str, Any]:
    """Return the object in a response: a run, a job, an account.

    Args:
        reply: The response.
        object_id: The id of the object, if it is known. A cache may respond with another one.

    Raises:
        DBTCloudAPIError: The response is not a success, or does not contain the object.
    """
    data = _unwrap(reply)
    if not _is_object(data) or object_id not in (None, data["id"]):
        raise not_this_api(reply)
    return cast(dict[str, Any], data)


def unwrap_list(reply: Reply) -> list[Any]:
    """Return the list in a response; null is an empty list.

    Raises:
        DBTCloudAPIError: The response is not a success, or contains no list.
    """
    data = _unwrap(reply)
    if not isinstance(data, list | None):
        raise not_this_api(reply)
    return data or []


def unwrap_texts(reply: Reply) -> list[str]:
    """Return the list of texts in a response.

    Raises:
        DBTCloudAPIError: The response is not a success, or contains no such list.
    """
    items = unwrap_list(reply)
    if not all(isinstance(item, str) for item in items):
        raise not_this_api(reply)
    return items


def unwrap_page(reply: Reply, known: Collection[int] = ()) -> tuple[list[dict[str, Any]], int]:
    """Return the objects on a page of a list, and their number on all pages.

    Args:
        reply: The response.
        known: The ids of the objects on the pages before it.

    Raises:
        DBTCloudAPIError: The response is not a success, or is not the next page of a list.
    """
    items = unwrap_list(reply)
    extra = as_mapping(as_mapping(_parse(reply)).get("extra"))
    total = as_integer(as_mapping(extra.get("pagination")).get("total_count"))
    if total is None or not all(map(_is_object, items)):
        raise not_this_api(reply)
    if items and all(item["id"] in known for item in items):
        raise _server_error(reply, "this page only repeats the pages before it")
    return items, total


def raise_for_error(reply: Reply) -> None:
    """Raise the matching `DBTCloudAPIError` unless the response is a success.

    Raises:
        DBTCloudAuthError: 401 or 403.
        DBTCloudNotFoundError: 404.
        DBTCloudRateLimitError: 429.
        DBTCloudServerError: 5xx, or a redirect that is not followed.
        DBTCloudAPIError: Any other status that is not a success.
    """
    if reply.status_code >= 400:
        raise _error(reply, _parse(reply))
    if not reply.is_success:
        raise not_this_api(reply)


def raise_for_page(reply: Reply, path: str) -> None:
    """Raise if a page of a proxy arrived in place of a file.

    Raises:
        DBTCloudServerError: It is a page.
    """
    is_page = "text/html" in reply.content_type.lower() and not path.endswith(".html")
    # some servers declare JSON as HTML
    is_json = path.endswith(".json") and reply.content.lstrip()[:1] == b"{"
    if is_page and not is_json:
        raise not_this_api(reply)


def not_this_api(reply: Reply) -> DBTCloudServerError:
    """Return the error for a success that another server sent: a page, or incomplete JSON."""
    return _server_error(
        reply, f"this is not a dbt Cloud API response: {_readable(reply) or '(empty)'}"
    )


def seconds_of(retry_after: str, now: float) -> float | None:
    """Return the seconds of a `Retry-After` header, at most ten minutes; None if invalid.

    Args:
        retry_after: A number of seconds, or a date.
        now: Seconds since 1970.
    """
    if retry_after.strip().isdecimal():
        return min(_LONGEST_RETRY_AFTER, float(retry_after))
    try:
        date = parsedate_tz(retry_after)
        seconds = mktime_tz(date) - now if date else None
    except (ValueError, OverflowError):
        return None
    return None if seconds is None else min(_LONGEST_RETRY_AFTER, max(0.0, seconds))


def _server_error(reply: Reply, text: str) -> DBTCloudServerError:
    return DBTCloudServerError(
        reply.method, reply.url, reply.status_code, text, may_have_arrived=True
    )


def _unwrap(reply: Reply) -> Any:
    payload = decode(reply)
    if not isinstance(payload, dict) or "data" not in payload:
        raise not_this_api(reply)
    return payload["data"]


def _error(reply: Reply, payload: Any) -> DBTCloudAPIError:
    code = reply.status_code
    reported_code = _status(payload).get("code")
    if reply.is_success and isinstance(reported_code, int):
        code = reported_code
    # without the token first: a text that is cut may end within it
    messages = [reply.without_token(text)[:_MESSAGE_LIMIT] for text in _messages(reply, payload)]
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return DBTCloudRateLimitError(
            reply.method, reply.url, code, *messages, retry_after=reply.retry_after
        )
    default = DBTCloudServerError if code >= 500 else DBTCloudAPIError
    # the API may have processed a request whose response another server sent
    may_have_arrived = code >= 500 or payload is None
    return _ERRORS.get(code, default)(
        reply.method, reply.url, code, *messages, may_have_arrived=may_have_arrived
    )


def _messages(reply: Reply, payload: Any) -> tuple[str, str]:
    """Return the messages of a response for users and for developers."""
    if not isinstance(payload, dict):
        return _readable(reply), ""
    status = _status(payload)
    others = (payload.get(key) for key in ("detail", "message", "error"))
    user = status.get("user_message") or next(filter(None, others), "")
    details = (status.get("developer_message"), _details(payload.get("data")))
    developer = " ".join(_text(detail) for detail in details if detail)
    if not user and not developer:
        return _readable(reply), ""
    return _text(user), developer


def _is_object(data: object) -> bool:
    """Return whether a value is an object with an id, like all of the API."""
    number = data.get("id") if isinstance(data, dict) else None
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _details(data: Any) -> str:
    """Return the details in the `data` of a 400: one sentence per field."""
    if isinstance(data, dict):
        return "; ".join(f"`{field}`: {_text(problem)}" for field, problem in data.items())
    return data if isinstance(data, str) else ""


def _text(value: object) -> str:
    """Return a value as text; one that is nested too deeply is omitted."""
    try:
        return str(value)
    except RecursionError:
        return "..."


def _status(payload: Any) -> dict[str, Any]:
    return as_mapping(as_mapping(payload).get("status"))


def _parse(reply: Reply) -> Any:
    try:
        return json.loadb(reply.content)
    except (ValueError, RecursionError):
        return None


def _readable(reply: Reply) -> str:
    """Return the beginning of a text, without markup."""
    text = reply.without_token(reply.text)[: 20 * _MESSAGE_LIMIT]
    return " ".join(_MARKUP.sub(" ", text).split())[:_MESSAGE_LIMIT]
