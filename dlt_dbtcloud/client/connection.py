"""Failures of a connection, and whether the request was sent."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection
from traceback import walk_tb

from requests.exceptions import InvalidSchema, InvalidURL
from urllib3.exceptions import ProxyError

__all__ = ["advice_for", "never_left", "reason_of"]

# OpenSSL's reasons for a response that is not TLS
_NOT_TLS = {"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER"}

_CERTIFICATE_ADVICE = (
    "Check the host in `base_api_url`. If a proxy of your network re-encrypts the traffic, set "
    "`REQUESTS_CA_BUNDLE` to a file with its certificate."
)
_PLAIN_ADVICE = (
    "The server answered in plain HTTP: check whether `base_api_url`, or the URL in `HTTPS_PROXY`, "
    "has to begin with `http://` instead of `https://`."
)


def never_left(error: Exception) -> bool:
    """Return whether a request was certainly not sent: its connection was never made.

    The host or the proxy refused the connection, the proxy refused the tunnel, or the TLS handshake
    failed. The type of an error does not show this. urllib3 also wraps a lost response into a
    `ProxyError`, and OpenSSL has the same errors before and after the handshake.
    """
    return _is_of_settings(error) or any(_rose_in_connect(each) for each in _chain(error))


def reason_of(error: Exception) -> str:
    """Return the reason of a failure, without the addresses of Python objects."""
    wrapped = error.args[0] if error.args else error
    cause: object = getattr(wrapped, "reason", wrapped)
    reason = str(cause)
    if isinstance(cause, ProxyError):
        reason = str(cause.original_error)
        if never_left(error):
            reason = f"{cause.args[0]}: {reason}"
    return re.sub(r"<[^>]*>: |\w+\(host=[^)]*\): ", "", reason) or type(error).__name__


def advice_for(error: Exception) -> str:
    """Return the setting to check after a failure; empty if it is unknown."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return _CERTIFICATE_ADVICE
        if isinstance(each, ssl.SSLError) and each.reason in _NOT_TLS:
            return _PLAIN_ADVICE
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that it wraps."""
    following: BaseException | None = error
    while following is not None:
        yield following
        wrapped = (getattr(following, "reason", None), *following.args, following.__cause__)
        following = next((each for each in wrapped if isinstance(each, BaseException)), None)


def _is_of_settings(error: Exception) -> bool:
    """Return whether an unusable proxy or an unreadable file of certificates is the reason.

    A redirect may have the same errors, but a request that creates a run follows none.
    """
    # requests reports a missing file of certificates like this
    is_file = type(error) is OSError and error.errno is None
    return is_file or isinstance(error, InvalidSchema | InvalidURL)


def _rose_in_connect(error: BaseException) -> bool:
    """Return whether an error was raised while a connection was made."""
    return any(
        frame.f_code.co_name == HTTPConnection.connect.__name__
        and isinstance(frame.f_locals.get("self"), HTTPConnection)
        for frame, _ in walk_tb(error.__traceback__)
    )
