"""What clients have asked of the emulator, without their token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request


@dataclass(frozen=True)
class RecordedRequest:
    """A request and the status it was answered with.

    Args:
        method: The HTTP method.
        path: The path, without the query.
        query: The query's parameters, with all values of each.
        json: The body, where it was JSON.
        status: The HTTP status of the answer.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    json: Any
    status: int


def record(request: Request, body: bytes, status: int, token: str) -> RecordedRequest:
    """Note a request; what looks like the token is blotted out, headers are left out."""
    query = {key: request.args.getlist(key) for key in request.args}
    blotted: dict[str, list[str]] = json.loads(_blot(json.dumps(query), token))
    return RecordedRequest(
        method=request.method,
        path=_blot(request.path, token),
        query=blotted,
        json=_decode(_blot(body.decode("utf-8", "replace"), token)),
        status=status,
    )


def _blot(text: str, token: str) -> str:
    return text.replace(token, "***")


def _decode(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
