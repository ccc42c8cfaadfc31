"""The envelope that every answer of the API but a file comes in."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.queries import Page, Selection
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.models import JSON


def success(data: Any, extra: JSON | None = None) -> Response:
    """Answer 200 with data."""
    body: JSON = {"status": _status(200, "Success!"), "data": data}
    return answer(200, body if extra is None else {**body, "extra": extra})


def listing(page: Page[JSON], selection: Selection, **filters: int) -> Response:
    """Answer 200 with one page of a list, and how it was selected."""
    extra = {
        "filters": {**selection.echo(), **filters},
        "order_by": selection.order_by,
        "pagination": {"count": len(page.items), "total_count": page.total_count},
    }
    return success(page.items, extra)


def failure(error: ApiError) -> Response:
    """Answer a refusal."""
    body: JSON = {"status": _status(error.code, error.user_message), "data": error.data}
    if error.code == HTTPStatus.BAD_REQUEST and isinstance(error.data, str):
        # the service sends both where the detail is a text
        body |= {"extra": {}, "error_code": None}
    return answer(error.code, body)


def detail(code: int, text: str) -> Response:
    """Answer without an envelope, as the service does for a wrong method or its own failure."""
    return answer(code, {"detail": text})


def answer(code: int, body: JSON) -> Response:
    """Answer JSON."""
    return Response(json.dumps(body), code, content_type="application/json")


def _status(code: int, message: str) -> JSON:
    return {
        "code": code,
        "is_success": code == HTTPStatus.OK,
        "user_message": message,
        "developer_message": "",
    }
