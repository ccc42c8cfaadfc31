"""No message and no variable of a traceback contains the token, and tracebacks are short."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from dlt.common.exceptions import DltException
from pytest_httpserver import HTTPServer

import dlt_dbtcloud
from dlt_dbtcloud import (
    DBTCloudAuthError,
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudRunError,
    DBTCloudTransportError,
    InvalidCredentialsException,
    cancel_dbt_cloud_run,
    check_dbt_cloud,
    dbt_cloud_results,
    get_dbt_cloud_run_results,
    get_dbt_cloud_run_status,
    materialized_assets,
    openlineage_events,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
    run_dbt_cloud_jobs,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.wire import WireServer

TOKEN = "s3cr3t-t0ken-of-a-user"
OURS = str(Path(dlt_dbtcloud.__file__).parent)


def tracebacks(error: BaseException) -> Iterator[TracebackType]:
    """Yield the entries of an error's traceback, and of the errors behind it."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        each = errors.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        errors += [each.__cause__, each.__context__]
        entry = each.__traceback__
        while entry is not None:
            yield entry
            entry = entry.tb_next


def shown(value: object) -> Iterator[str]:
    """Yield what a tool shows of a variable: it, and its attributes."""
    if isinstance(value, DBTCloudClientV2) and not hasattr(value, "clock"):
        # it is not made yet
        return
    yield from (repr(value), str(value))
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    fields = {**getattr(value, "__dict__", {}), **{n: getattr(value, n, None) for n in slots}}
    yield from (repr(field) for field in fields.values())


def leaks(error: BaseException, token: str = TOKEN) -> list[str]:
    """Return the variables of our functions that show the token."""
    return [
        f"{entry.tb_frame.f_code.co_name}: {name}"
        for entry in tracebacks(error)
        if entry.tb_frame.f_code.co_filename.startswith(OURS)
        for name, value in entry.tb_frame.f_locals.items()
        if any(token in text for text in shown(value))
    ]


def error_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> BaseException:
    try:
        call(*arguments, **options)
    except (DltException, TypeError) as error:
        return error
    raise AssertionError("no error")


def assert_has_no_token(error: BaseException) -> None:
    assert leaks(error) == []
    assert TOKEN not in "".join(traceback.format_exception(error))


HELPERS: dict[str, Callable[[Any], Any]] = {
    "run": lambda credentials: run_dbt_cloud_job(credentials, 7),
    "jobs": lambda credentials: run_dbt_cloud_jobs([7, 8], credentials),
    "status": lambda credentials: get_dbt_cloud_run_status(credentials, 5, timeout=0.01),
    "cancel": lambda credentials: cancel_dbt_cloud_run(credentials, 5, timeout=0.01),
    "retry": lambda credentials: retry_dbt_cloud_run(credentials, 5, timeout=0.01),
    "results": lambda credentials: get_dbt_cloud_run_results(credentials, 5),
    "assets": lambda credentials: materialized_assets(5, credentials),
    "events": lambda credentials: openlineage_events(5, credentials),
}
FORMS: dict[str, Callable[..., Any]] = {"dict": dict, "instance": DBTCloudConfiguration}


def test_a_wrong_token_ends_in_a_short_traceback_without_it(cloud: DBTCloudEmulator) -> None:
    # all read both forms alike
    for helper, form in [*((helper, "dict") for helper in HELPERS), ("run", "instance")]:
        error = error_of(HELPERS[helper], FORMS[form](api_token=TOKEN))
        assert isinstance(error, DBTCloudAuthError)
        assert_is_short_without_the_token(error)


def test_a_wrong_host_ends_in_a_short_traceback_without_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    with WireServer() as gone:
        url = gone.url
    credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": url, "timeout": 0.01}
    for helper in HELPERS:
        error = error_of(HELPERS[helper], credentials)
        assert isinstance(error, DBTCloudTransportError)
        assert_is_short_without_the_token(error)


def assert_is_short_without_the_token(error: BaseException) -> None:
    assert_has_no_token(error)
    assert len(list(tracebacks(error))) <= 5
    assert "During handling" not in "".join(traceback.format_exception(error))


def test_the_token_of_a_connection_is_in_no_traceback(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROD__API_TOKEN", TOKEN)
    for helper in HELPERS:
        error = error_of(HELPERS[helper], {"connection": "prod"})
        assert isinstance(error, DBTCloudAuthError)
        assert_has_no_token(error)


UNUSABLE = {
    "job_id": ("RETRIES", "two", {}),
    "account_id": ("ACCOUNT_ID", "x", {}),
    "token": ("API_TOKEN", f"{TOKEN} {TOKEN}", {}),
    "unknown": ("ACCOUNT_ID", "1", {"connection": "prot"}),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_connection_shows_no_token(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable, value, credentials = UNUSABLE[name]
    monkeypatch.setenv("DBT_CLOUD__PROD__API_TOKEN", TOKEN)
    monkeypatch.setenv(f"DBT_CLOUD__PROD__{variable}", value)
    assert_has_no_token(error_of(run_dbt_cloud_job, {"connection": "prod", **credentials}, 7))


def test_a_check_with_a_mistake_shows_no_token(cloud: DBTCloudEmulator) -> None:
    mistakes: list[dict[str, Any]] = [
        {"credentials": {"api_token": TOKEN}, "pipeline": 5},
        {"credentials": {"api_token": TOKEN}, "connection": 5},
        {"connection": {"api_token": TOKEN}},
        {"credentials": [TOKEN]},
    ]
    for arguments in mistakes:
        assert_has_no_token(error_of(check_dbt_cloud, **arguments))


CLIENT: dict[str, Callable[[str], Any]] = {
    "invalid token": lambda _: DBTCloudClientV2(f"{TOKEN} {TOKEN}", 1),
    "invalid host": lambda _: DBTCloudClientV2(TOKEN, 1, "http://example.com"),
    "invalid account": lambda url: DBTCloudClientV2(TOKEN, "x", url),
    "wrong token": lambda url: DBTCloudClientV2(TOKEN, 1, url).get_run_status(5),
    "wrong token of pages": lambda url: [*DBTCloudClientV2(TOKEN, 1, url).list_runs()],
    "wrong token of a POST": lambda url: DBTCloudClientV2(TOKEN, 1, url).trigger_job_run(5),
    "wrong token of a file": lambda url: DBTCloudClientV2(TOKEN, 1, url).get_run_artifact(5, "x"),
    "no connection": lambda _: DBTCloudClientV2(TOKEN, 1, "127.0.0.1:1").trigger_job_run(5),
}


def test_no_error_of_the_client_shows_the_token(cloud: DBTCloudEmulator) -> None:
    for name in CLIENT:
        assert_has_no_token(error_of(CLIENT[name], cloud.url))


@pytest.mark.parametrize(("account", "host"), [(TOKEN, "dbt.example.com"), (1, TOKEN)])
def test_a_token_in_the_place_of_another_argument_is_not_quoted(account: Any, host: str) -> None:
    with pytest.raises(InvalidCredentialsException, match="s3cr") as caught:
        DBTCloudClientV2("dbtc_another", account, host)
    assert TOKEN not in str(caught.value)


# the type checker sees these mistakes, too
run_job: Any = run_dbt_cloud_job
run_jobs: Any = run_dbt_cloud_jobs
run_status: Any = get_dbt_cloud_run_status
run_results: Any = get_dbt_cloud_run_results
results: Any = dbt_cloud_results

MISTAKES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "id first": (lambda _: run_job(123), r"`credentials` is a `int`.*`job_id=…`"),
    "digits first": (lambda _: run_status("5"), r"a `str`.*`run_id=…`"),
    "token first": (lambda _: run_job(TOKEN), r"`credentials` is a `str`\. Pass a"),
    "credentials first": (
        lambda credentials: results(credentials, 5),
        r"`run_id` is a `\w+`\. Did you mean `credentials=…`",
    ),
    "credentials second": (
        lambda credentials: run_job(credentials, credentials),
        r"`job_id` is a `\w+`\. Did you mean `credentials=…`",
    ),
    "credentials as a run": (
        lambda credentials: run_results(None, credentials),
        r"`run_id` is a `\w+`\. Did you mean `credentials=…`",
    ),
    "credentials as jobs": (
        lambda credentials: run_jobs(credentials, [5]),
        r"`credentials` is a `list`",
    ),
    "only credentials as jobs": (
        lambda credentials: run_jobs(credentials),
        r"`job_ids` is a `\w+`\. Did you mean `credentials=…`",
    ),
    "credentials in jobs": (
        lambda credentials: run_jobs([credentials], credentials),
        r"`job_id` is a `\w+`\. Did you mean",
    ),
    "list as an id": (
        lambda _: run_job({}, [TOKEN]),
        r"`job_id`, a `list`, is not a dbt Cloud id",
    ),
    "object as an id": (
        lambda _: run_job({}, type("Id", (), {"__str__": lambda _: TOKEN})()),
        r"`job_id`, a `Id`, is not a dbt Cloud id",
    ),
    "token as an id": (lambda _: run_job({}, TOKEN), r"`job_id='s3cr\.\.\.'`"),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_argument_in_the_wrong_place_is_named_and_not_quoted(
    cloud: DBTCloudEmulator, form: str
) -> None:
    for mistake in MISTAKES:
        call, message = MISTAKES[mistake]
        credentials = FORMS[form](api_token=TOKEN)
        with pytest.raises((InvalidCredentialsException, TypeError), match=message) as caught:
            call(credentials)
        assert TOKEN not in str(caught.value)
        assert leaks(caught.value) == []


def test_an_error_that_is_not_ours_keeps_its_traceback_without_the_token(
    cloud: DBTCloudEmulator,
) -> None:
    data = {"steps_override": [object()]}
    credentials = {"api_token": TOKEN}
    error = error_of(run_dbt_cloud_job, credentials, 7, data)
    assert isinstance(error, TypeError)
    assert len(list(tracebacks(error))) > 5
    assert leaks(error) == []


def test_a_default_host_is_to_be_replaced(caplog: pytest.LogCaptureFixture) -> None:
    DBTCloudClientV2(TOKEN, 1).close()
    assert "Set the account's own Access URL" in caplog.text
    caplog.clear()
    DBTCloudClientV2(TOKEN, 1, "ab123.us1.dbt.com").close()
    assert caplog.text == ""


@pytest.mark.parametrize("status", [20, 30])
def test_a_run_that_quotes_the_token_does_not_reveal_it(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    run = {
        "id": 5,
        "status": status,
        "status_humanized": f"Over {TOKEN}",
        "job": {"id": 3, "name": f"Nightly {TOKEN}"},
        "is_complete": True,
        "status_message": f"git clone https://git.example/?auth={TOKEN} failed",
        "href": f"https://dbt.example.com/5/?token={TOKEN}",
    }
    answer = {"status": {"code": 200, "is_success": True}, "data": run}
    httpserver.expect_request("/api/v2/accounts/1/runs/5/").respond_with_json(answer)
    credentials = {"api_token": TOKEN, "account_id": 1, "base_api_url": httpserver.url_for("/")}
    error = error_of(get_dbt_cloud_run_status, credentials, 5, raise_on_failure=True)
    assert isinstance(error, DBTCloudRunError)
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in str([error.attrs(), error.runs, vars(error)])
    assert TOKEN not in str(get_dbt_cloud_run_status(credentials, 5))
    assert TOKEN not in caplog.text
