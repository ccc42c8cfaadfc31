"""Tokens, ids and hosts are accepted in the forms that users paste, and in no other."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.client.credentials import valid_base_url, valid_id, valid_token
from dlt_dbtcloud.exceptions import InvalidCredentialsException


def test_a_base_url_is_accepted_in_every_form_that_users_paste() -> None:
    cases = [
        ("https://cloud.getdbt.com/api", "https://cloud.getdbt.com/api"),
        ("https://cloud.getdbt.com/api/", "https://cloud.getdbt.com/api"),
        ("https://cloud.getdbt.com/api/v2", "https://cloud.getdbt.com/api"),
        ("https://cloud.getdbt.com/api/v2/", "https://cloud.getdbt.com/api"),
        ("https://cloud.getdbt.com/api/v3/accounts/1/", "https://cloud.getdbt.com/api"),
        ("https://cloud.getdbt.com", "https://cloud.getdbt.com/api"),
        ("cloud.getdbt.com", "https://cloud.getdbt.com/api"),
        ("  ab123.us1.dbt.com/\n", "https://ab123.us1.dbt.com/api"),
        ("ab123.us1.dbt.com/api/v2", "https://ab123.us1.dbt.com/api"),
        ("HTTPS://AB123.US1.dbt.com", "https://AB123.US1.dbt.com/api"),
        ("https://dbt.example.org:8443", "https://dbt.example.org:8443/api"),
        ("https://proxy.example.org/dbt/api/v2", "https://proxy.example.org/dbt/api"),
        ("https://dbt/api", "https://dbt/api"),
        ("http://127.0.0.1:8580", "http://127.0.0.1:8580/api"),
        ("http://localhost:8580/api", "http://localhost:8580/api"),
        ("localhost:8580", "http://localhost:8580/api"),
        ("127.0.0.1:8580", "http://127.0.0.1:8580/api"),
        ("http://[::1]:8580", "http://[::1]:8580/api"),
    ]
    for pasted, expected in cases:
        assert valid_base_url(pasted) == expected


def test_an_unusable_base_url_is_refused() -> None:
    cases = [
        ("http://example.com", "unencrypted"),
        ("http://cloud.getdbt.com/api", "unencrypted"),
        ("http://127.0.0.1.example.com", "unencrypted"),
        ("http://localhost.example.com", "unencrypted"),
        ("ftp://cloud.getdbt.com", "does not contain a host"),
        ("https://", "does not contain a host"),
        ("https://exa mple.com", "does not contain a host"),
        ("https://cloud.getdbt.com:port", "is not a URL"),
        ("https://cloud.getdbt.com:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://cloud.getdbt.com/deploy/1/projects/2", "is a page"),
        ("dbt", "does not contain a host"),
    ]
    for pasted, problem in cases:
        with pytest.raises(InvalidCredentialsException, match=problem) as caught:
            valid_base_url(pasted)
        assert "Access URL" in str(caught.value)


def test_a_misplaced_secret_is_not_repeated() -> None:
    cases = [
        "https://me:hunter2hunter2@cloud.getdbt.com",
        "dbtc_aVeryLongTokenInTheWrongPlace",
    ]
    for pasted in cases:
        with pytest.raises(InvalidCredentialsException) as caught:
            valid_base_url(pasted)
        assert "hunter2" not in str(caught.value)
        assert "LongToken" not in str(caught.value)


def test_an_id_is_a_number_or_its_digits() -> None:
    cases: list[tuple[object, str]] = [
        (1, "1"),
        ("70403", "70403"),
        (" 5\n", "5"),
        ("007", "7"),
        (2**62, str(2**62)),
    ]
    for value, expected in cases:
        assert valid_id("job_id", value) == expected


def test_anything_else_is_not_an_id() -> None:
    cases: list[object] = [
        "../../1",
        "1/2",
        "abc",
        "-1",
        "0",
        0,
        -1,
        1.0,
        True,
        "٣",
        "1e3",
        [1],
        "9" * 40,
        "",
        "1?x=2",
    ]
    for value in cases:
        with pytest.raises(InvalidCredentialsException, match=r"`job_id.*digits"):
            valid_id("job_id", value)


def test_a_token_passed_as_an_id_is_not_repeated() -> None:
    with pytest.raises(InvalidCredentialsException) as caught:
        valid_id("account_id", "dbtc_aVeryLongTokenInTheWrongPlace")
    assert "LongToken" not in str(caught.value)


def test_a_token_is_stripped() -> None:
    assert valid_token(" dbtc_abc=\n") == "dbtc_abc="


def test_an_invalid_token_is_refused() -> None:
    cases: list[tuple[object, str]] = [
        ("", "is missing"),
        (None, "is missing"),
        ("  \n", "is missing"),
        ("set me up!", "placeholder"),
        ("please set me up!", "placeholder"),
        ("<configure me>", "placeholder"),
        ("<your token>", "placeholder"),
        ("your-token-here", "placeholder"),
        ("api_token", "placeholder"),
        ("abc\ndef", "white space"),
        ("abc def", "white space"),
        ("tökén", "characters"),
    ]
    for token, problem in cases:
        with pytest.raises(InvalidCredentialsException, match=problem) as caught:
            valid_token(token)
        assert "DBT_CLOUD__API_TOKEN" in str(caught.value)
        assert "def" not in str(caught.value)
