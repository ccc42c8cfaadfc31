"""Protection of the pages from the pages of other origins, which share the browser.

A page of another origin can neither frame these pages nor read them. Nothing is started by a GET.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dlt_dbtcloud.emulator.errors import ApiError

__all__ = ["HEADERS", "check_origin", "is_page"]


_LOOPBACK = re.compile(r"(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_FORBIDDEN = 403
# a browser requests the icon of each host that it shows
_PATHS = ("/", "/favicon.ico")
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_page(method: str, path: str) -> bool:
    """Return whether a request is for a page, which needs no token."""
    return path.startswith("/deploy/") or (path in _PATHS and method in ("GET", "HEAD"))


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a request of another origin, or by another name than one of loopback.

    A name of another site that is resolved to loopback would make its pages of the same origin.

    Raises:
        ApiError: The request is refused, with status 403.
    """
    host = headers.get("Host", "")
    if not _LOOPBACK.fullmatch(host):
        raise ApiError(_FORBIDDEN, "The pages are only shown on loopback, by its own names.")
    origin = headers.get("Origin")
    is_own = origin in (None, f"http://{host}", f"https://{host}")
    site = headers.get("Sec-Fetch-Site", "none")
    is_link = headers.get("Sec-Fetch-Mode") == "navigate" and _is_top(headers)
    if not is_own or (site not in ("none", "same-origin") and not is_link):
        raise ApiError(_FORBIDDEN, "Pages of other origins cannot read these pages.")


def _is_top(headers: Mapping[str, str]) -> bool:
    return headers.get("Sec-Fetch-Dest", "document") == "document"
