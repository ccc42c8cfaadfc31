"""Every error that the API is known to send becomes the right exception, in the API's words."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from dlt.common.exceptions import TerminalException, TransientException
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dlt_dbtcloud import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
    DBTCloudServerError,
)

TOKEN = "dbtc_s3cr3t"
RUN = "/api/v2/accounts/1/runs/5/"
NOT_FOUND = (
    "The requested resource was not found. Please check that you have the proper permissions."
)
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


def envelope(code: int, message: str, developer: str = "", **others: Any) -> dict[str, Any]:
    status = {
        "code": code,
        "is_success": code < 400,
        "user_message": message,
        "developer_message": developer,
    }
    return {"status": status, "data": None, **others}


@pytest.fixture
def client(httpserver: HTTPServer) -> DBTCloudClientV2:
    return DBTCloudClientV2(TOKEN, 1, httpserver.url_for("/"))


def answer(httpserver: HTTPServer, status: int, body: Any, **headers: str) -> None:
    expectation = httpserver.expect_request(RUN)
    if isinstance(body, str):
        expectation.respond_with_data(body, status, headers, content_type="text/html")
    else:
        expectation.respond_with_json(body, status, headers)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, envelope(401, "Invalid token."), DBTCloudAuthError, "Invalid token."),
        (403, envelope(403, "Forbidden: Access denied"), DBTCloudAuthError, "Access denied"),
        (404, envelope(404, NOT_FOUND), DBTCloudNotFoundError, NOT_FOUND),
        (404, HTML, DBTCloudNotFoundError, "Bad Gateway"),
        (
            400,
            envelope(400, "Bad request", data={"status__in": "'X' is not valid"}),
            DBTCloudAPIError,
            "Bad request `status__in`: 'X' is not valid",
        ),
        (
            400,
            envelope(400, "Bad request", data="foo: unknown", extra={}, error_code=None),
            DBTCloudAPIError,
            "Bad request foo: unknown",
        ),
        (
            400,
            envelope(400, "", "cause is needed", data={"cause": "required key not provided"}),
            DBTCloudAPIError,
            "cause is needed `cause`: required key not provided",
        ),
        (405, {"detail": 'Method "GET" not allowed.'}, DBTCloudAPIError, '"GET" not allowed'),
        (429, envelope(429, "Slow down"), DBTCloudRateLimitError, "Slow down"),
        (429, "", DBTCloudRateLimitError, "no message"),
        (500, {"detail": "Server error"}, DBTCloudServerError, "Server error"),
        (502, HTML, DBTCloudServerError, "502 Bad Gateway Bad Gateway"),
        (503, {"message": "gateway"}, DBTCloudServerError, "gateway"),
        (504, ["x"], DBTCloudServerError, '[ "x" ]'),
        (200, HTML, DBTCloudServerError, "no answer of the dbt Cloud API: 502 Bad Gateway"),
        (200, "", DBTCloudServerError, "(empty)"),
        (200, [], DBTCloudServerError, "no answer of the dbt Cloud API"),
        (200, {"status": "ok"}, DBTCloudServerError, "no answer of the dbt Cloud API"),
        (200, envelope(200, "Success!"), DBTCloudServerError, "no answer of the dbt Cloud API"),
        (200, envelope(200, "", data={}), DBTCloudServerError, "no answer of the dbt Cloud API"),
        (200, envelope(401, "Invalid token."), DBTCloudAuthError, "status 401"),
        (200, {"status": {"code": "x", "is_success": False}}, DBTCloudAPIError, "status 200"),
    ],
)
def test_each_answer_becomes_its_exception(
    httpserver: HTTPServer,
    client: DBTCloudClientV2,
    status: int,
    body: Any,
    kind: type[DBTCloudAPIError],
    said: str,
) -> None:
    answer(httpserver, status, body)
    with client, pytest.raises(kind) as caught:
        client.get_run_status(5)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert f"`GET {httpserver.url_for(RUN)}`" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_half_a_json_is_no_answer(httpserver: HTTPServer, client: DBTCloudClientV2) -> None:
    httpserver.expect_request(RUN).respond_with_data(
        '{"status": {"code": 200, "is_suc', content_type="application/json"
    )
    with client, pytest.raises(DBTCloudServerError, match="no answer of the dbt Cloud API"):
        client.get_run_status(5)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)]
)
def test_retry_after_is_read(
    httpserver: HTTPServer, client: DBTCloudClientV2, header: str, seconds: float | None
) -> None:
    httpserver.expect_request(f"{RUN}cancel/").respond_with_json(
        envelope(429, "Slow down"), 429, {"Retry-After": header}
    )
    with client, pytest.raises(DBTCloudRateLimitError) as caught:
        client.cancel_run(5)
    assert caught.value.retry_after == seconds


def test_a_wrong_token_is_told_from_a_wrong_host(
    httpserver: HTTPServer, client: DBTCloudClientV2
) -> None:
    answer(httpserver, 401, envelope(401, "Invalid token."))
    with client, pytest.raises(DBTCloudAuthError) as caught:
        client.get_run_status(5)
    assert "another host" in str(caught.value)
    assert "`base_api_url`" in str(caught.value)


def test_a_server_that_quotes_the_request_does_not_give_the_token_away(
    httpserver: HTTPServer, client: DBTCloudClientV2
) -> None:
    def quote(request: Request) -> Response:
        return Response(f"<p>{request.headers}</p>", 404, content_type="text/html")

    httpserver.expect_request(RUN).respond_with_handler(quote)
    with client, pytest.raises(DBTCloudNotFoundError, match=r"Token \*\*\*") as caught:
        client.get_run_status(5)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in str(caught.value.attrs())


def test_what_may_be_tried_again_is_marked_for_dlt() -> None:
    for terminal in (DBTCloudAuthError, DBTCloudNotFoundError):
        assert issubclass(terminal, TerminalException)
    for transient in (DBTCloudRateLimitError, DBTCloudServerError):
        assert issubclass(transient, TransientException)


def test_errors_travel_between_processes() -> None:
    error = DBTCloudNotFoundError("GET", "https://host/api/v2/", 404, NOT_FOUND)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.attrs() == error.attrs()
