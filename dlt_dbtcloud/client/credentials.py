"""Validation of tokens, ids and base URLs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.redaction import redact

__all__ = [
    "ACCESS_URL",
    "BASE_URL",
    "Secret",
    "is_loopback",
    "is_placeholder",
    "shown",
    "valid_base_url",
    "valid_id",
    "valid_token",
]


BASE_URL = "https://cloud.getdbt.com/api"

_ID = re.compile(r"0*([1-9][0-9]{0,18})", re.ASCII)
_HOST = re.compile(r"[\w.:-]+")
_TOKEN = re.compile(r"[!-~]+")
_PLACEHOLDER = re.compile(
    r"<.*>|.*set me up.*|.*configure me.*|api_token|change_?me|your[ _-].*", re.IGNORECASE
)
ACCESS_URL = (
    "It is the Access URL in the account settings of dbt Cloud, "
    "for example `https://ab123.us1.dbt.com`."
)


class Secret(str):
    """A text that no traceback shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder from a template."""
    return bool(_PLACEHOLDER.fullmatch(value.strip()))


def valid_token(token: object) -> Secret:
    """Return a token without surrounding white space, which files and copying add.

    Raises:
        InvalidCredentialsException: It is empty, a placeholder, or not valid in an HTTP header.
    """
    token = Secret(token.strip() if isinstance(token, str) else "")
    if not token:
        problem = "is missing"
    elif is_placeholder(token):
        problem = "is still a placeholder"
    elif not _TOKEN.fullmatch(token):
        problem = "contains white space or characters that are not valid in a token"
    else:
        return token
    del token  # a traceback may show the variables of its functions
    raise InvalidCredentialsException(
        f"`api_token` {problem}. Create one in dbt Cloud under Account settings, API tokens, and "
        "set it as `api_token` under `[dbt_cloud]` in `.dlt/secrets.toml`, or as "
        "`DBT_CLOUD__API_TOKEN`.",
        "api_token",
    )


def valid_id(name: str, value: object) -> str:
    """Return a dbt Cloud id as a string of digits.

    Args:
        name: The name of the id for the error message, for example `job_id`.
        value: A positive integer, or its digits.

    Raises:
        InvalidCredentialsException: The value is anything else.
    """
    if isinstance(value, Mapping):
        raise InvalidCredentialsException(
            f"`{name}` is a `{type(value).__name__}`. Did you mean `credentials=…`?", name
        )
    is_number = isinstance(value, int | str) and not isinstance(value, bool)
    match = _ID.fullmatch(str(value).strip()) if is_number else None
    if match is None:
        # other objects may contain a secret
        is_text = isinstance(value, int | float | str)
        what = f"`{name}={shown(value)}`" if is_text else f"`{name}`, a `{type(value).__name__}`,"
        raise InvalidCredentialsException(
            f"{what} is not a dbt Cloud id: ids are the digits in its URLs.", name
        )
    return match[1]


def valid_base_url(url: str) -> str:
    """Return the base URL of the API, `https://HOST/api`, from any form that users paste.

    Args:
        url: A host with or without scheme, port, `/api`, `/api/v2` or a trailing slash.

    Raises:
        InvalidCredentialsException: It contains no host, is the URL of a page, or would
            send the token unencrypted.
    """
    parts = _split(url)
    prefix, api, _ = f"{parts.path.rstrip('/')}/".partition("/api/")
    if prefix.strip("/") and not api:
        raise _unusable(url, "is a page, not the API")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _unusable(url, "would send the token unencrypted: use `https`")
    return f"{parts.scheme}://{parts.netloc}{prefix.rstrip('/')}/api"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(_with_scheme(url.strip()))
        port_is_usable = parts.port != 0
    except ValueError:
        raise _unusable(url, "is not a URL") from None
    if "@" in parts.netloc:
        raise InvalidCredentialsException(
            f"`base_api_url` contains a user or a password: remove them. {ACCESS_URL}",
            "base_api_url",
        )
    is_host = _HOST.fullmatch(parts.hostname or "") and port_is_usable
    if parts.scheme not in ("http", "https") or not is_host:
        raise _unusable(url, "does not contain a host")
    return parts


def _with_scheme(text: str) -> str:
    if "://" in text:
        return text
    host = urlsplit(f"//{text}").hostname
    if is_loopback(host):
        return f"http://{text}"
    return f"https://{text}" if "." in (host or "") else text


def _unusable(url: str, problem: str) -> InvalidCredentialsException:
    message = f"`base_api_url={shown(url)}` {problem}. {ACCESS_URL}"
    return InvalidCredentialsException(message, "base_api_url")


def shown(value: object) -> str:
    """Return a value for a message; cut a long word, which may be a token."""
    text = redact(str(value))
    is_long_word = len(text) > 16 and not re.search(r"[./: ]", text)
    return repr(f"{text[:4]}...") if is_long_word else repr(text[:100])


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
