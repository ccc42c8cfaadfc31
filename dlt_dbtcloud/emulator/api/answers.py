"""Responses of the API, in its envelope."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.queries import Page, Selection
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.models import JSON


def success(data: Any, extra: JSON | None = None) -> Response:
    """Return data with status 200."""
    body: JSON = {"status": _status(200, "Success!"), "data": data}
    return _json(200, body if extra is None else {**body, "extra": extra})


def no_content() -> Response:
    """Return status 204 without a body."""
    return Response(status=HTTPStatus.NO_CONTENT)


def listing(page: Page[JSON], selection: Selection, **filters: int) -> Response:
    """Return a page of a list, with its filters, order and count."""
    extra = {
        "filters": {**selection.echo(), **filters},
        "order_by": selection.order_by,
        "pagination": {"count": len(page.items), "total_count": page.total_count},
    }
    return success(page.items, extra)


def failure(error: ApiError) -> Response:
    """Return the response to a refused request."""
    body: JSON = {"status": _status(error.code, error.user_message), "data": error.data}
    if error.code == HTTPStatus.BAD_REQUEST and isinstance(error.data, str):
        # the service sends both if the detail is a string
        body |= {"extra": {}, "error_code": None}
    return _json(error.code, body)


def detail(code: int, text: str) -> Response:
    """Return an error without an envelope, as the service does for 405 and 500."""
    return _json(code, {"detail": text})


def _status(code: int, message: str) -> JSON:
    return {
        "code": code,
        "is_success": code == HTTPStatus.OK,
        "user_message": message,
        "developer_message": "",
    }


def _json(code: int, body: JSON) -> Response:
    return Response(json.dumps(body), code, content_type="application/json")
