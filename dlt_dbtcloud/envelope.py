"""The envelope of the API's answers: what is in it, or which error it is.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

import re
import time
from email.utils import mktime_tz, parsedate_tz
from typing import Any, cast

from dlt.common.json import json
from requests import Response

from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudServerError,
)

__all__ = ["not_this_api", "raise_for_error", "unwrap_list", "unwrap_object", "unwrap_objects"]

_MESSAGE_LIMIT = 500
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_CLASSES: dict[int, type[DBTCloudAPIError]] = {
    401: DBTCloudAuthError,
    403: DBTCloudAuthError,
    404: DBTCloudNotFoundError,
    429: DBTCloudRateLimitError,
}


def unwrap_object(response: Response) -> dict[str, Any]:
    """Return the object in an answer: a run, a job, an account.

    Raises:
        DBTCloudAPIError: The answer is an error; which one, see `raise_for_error`.
        DBTCloudServerError: It is a success, but not one of this API: a page, half a JSON.
    """
    data = _unwrap(response)
    if not _is_object(data):
        raise not_this_api(response)
    return cast(dict[str, Any], data)


def unwrap_list(response: Response) -> list[Any]:
    """Return the list in an answer, which is empty where the API sends null.

    Raises:
        DBTCloudAPIError: The answer is an error; which one, see `raise_for_error`.
        DBTCloudServerError: It is a success, but not one of this API: a page, half a JSON.
    """
    data = _unwrap(response)
    if not isinstance(data, list | None):
        raise not_this_api(response)
    return data or []


def unwrap_objects(response: Response) -> list[dict[str, Any]]:
    """Return the list of objects in an answer: of runs, of jobs.

    Raises:
        DBTCloudAPIError: The answer is an error; which one, see `raise_for_error`.
        DBTCloudServerError: It is a success, but not one of this API: a page, half a JSON.
    """
    items = unwrap_list(response)
    if not all(map(_is_object, items)):
        raise not_this_api(response)
    return items


def raise_for_error(response: Response) -> None:
    """Return where an answer is a success, else raise what fits it, with the service's own words.

    Raises:
        DBTCloudAuthError: 401 or 403.
        DBTCloudNotFoundError: 404.
        DBTCloudRateLimitError: 429.
        DBTCloudServerError: 5xx.
        DBTCloudAPIError: Any other status that is no success.
    """
    if not response.ok:
        raise _error(response, _parse(response))


def not_this_api(response: Response) -> DBTCloudServerError:
    """Return the error for a success that is not one of this API: a page, or half a JSON."""
    said = f"this is no answer of the dbt Cloud API: {_readable(response) or '(empty)'}"
    error = DBTCloudServerError(*_asked(response), response.status_code, said)
    error.may_have_arrived = True
    return error


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
    said_code = _status(payload).get("code")
    if response.ok and isinstance(said_code, int):
        code = said_code
    default = DBTCloudServerError if code >= 500 else DBTCloudAPIError
    # cut out before the text is cut off, or a part of the token would be left at the end
    said = [_safe(text, response)[:_MESSAGE_LIMIT] for text in _messages(response, payload)]
    error = _CLASSES.get(code, default)(*_asked(response), code, *said)
    # what is no JSON was not said by the API, which may have done its part before
    error.may_have_arrived = code >= 500 or (payload is None and code != 429)
    if isinstance(error, DBTCloudRateLimitError):
        error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    return error


def _asked(response: Response) -> tuple[str, str]:
    return response.request.method or "GET", _safe(response.url, response)


def _safe(text: str, response: Response) -> str:
    """Cut the token out of a text, where a server quotes the request or redirects with it."""
    for asked in (*response.history, response):
        token = asked.request.headers.get("Authorization", "").rpartition(" ")[2]
        text = text.replace(token, "***") if token else text
    return text


def _messages(response: Response, payload: Any) -> tuple[str, str]:
    """Return what an answer says for people, and its details."""
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
    """Tell whether something is an object with an id, as all of the API's are."""
    number = data.get("id") if isinstance(data, dict) else None
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _details(data: Any) -> str:
    """Return the details that stand in `data` of a 400: a sentence, or one for each field."""
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
    """Return the beginning of a text, or of the words of a page."""
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
