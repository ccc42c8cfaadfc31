"""What is quoted is short and readable, and holds no secret."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from dlt_dbtcloud.redaction import head, plain, tail, without_secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2hunter2 user=me", "hunter2hunter2"),
        ("PGPASSWORD: 'hunter 2'", "hunter 2"),
        ('{"private_key": "MIIEvQIBADANBg"}', "MIIEvQIBADANBg"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ("x-api-key: abcd1234", "abcd1234"),
        ("snowflake_passwd = 'p w'", "p w"),
        ("https://account.blob.core.windows.net/c?sv=1&sig=abc%2Fdef&x=1", "abc%2Fdef"),
        ("postgresql://loader:s3cr3t!@db.example.com:5432/raw", "s3cr3t!"),
        ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
        ("Authorization: Token abcdefghijkl", "abcdefghijkl"),
        ("using AKIAIOSFODNN7EXAMPLE as id", "AKIAIOSFODNN7EXAMPLE"),
        ("cloned with ghp_0123456789abcdefghijklmnop", "ghp_0123456789abcdefghijklmnop"),
        ("dbtc_0123456789abcdef was used", "dbtc_0123456789abcdef"),
        ("dapi0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        (f"got {JWT} back", JWT),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----",
            "MIIE\nabcd",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\nabcd", "abcd"),
        (r"{\"password\": \"hunter2hunter2\"}", "hunter2hunter2"),
        ("\x1b[1mpassword\x1b[0m: hunter2hunter2", "hunter2hunter2"),
        ("loader --password hunter2hunter2 --x", "hunter2hunter2"),
        ("create user x identified by 'hunter2'", "hunter2"),
        ("alter user x password 'hunter2'", "hunter2"),
        ("postgresql://u:hunt@er2@host/db", "er2"),
        ("password=hun)ter2", "ter2"),
        ('dbt build --vars \'{"db_password": "hunter2"}\'', "hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_cut_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in without_secrets(text)
    assert "***" in without_secrets(text)


def test_a_known_secret_is_cut_out_wherever_it_stands() -> None:
    assert without_secrets("a0b1c2d3 and xa0b1c2d3x", "a0b1c2d3", "") == "*** and x***x"


@pytest.mark.parametrize(
    "text",
    [
        "Conversion Error: Time out of range: 99:99:0.0",
        "Runtime Error in model fct_flights (models/marts/fct_flights.sql)",
        'Database Error: column "token_count" does not exist',
        "1 of 82 ERROR creating sql table model analytics.fct_tokens [ERROR in 0.06s]",
        "See https://ab123.us1.dbt.com/deploy/1/projects/2/runs/3/ for more",
        "compare a://b with user@example.com",
        "the token of the lexer was not expected: found SELECT",
        "secret sauce, password reset and tokens are words",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_colours_and_control_characters_are_stripped() -> None:
    coloured = (
        "\x1b[0m12:00:00  \x1b[31mERROR\x1b[0m in\tx  \r\n\x1b]8;;http://a\x07link\x07\x00!\n"
    )
    assert plain(coloured) == "12:00:00  ERROR in    x\nlink !"


def test_a_head_and_a_tail_say_that_there_is_more() -> None:
    text = "\n".join("abcdef")
    assert head(text, 2) == "a\nb\n..."
    assert tail(text, 2) == "...\ne\nf"
    assert head(text, 6) == tail(text, 6) == text


def test_an_endless_line_is_cut() -> None:
    assert len(head("x" * 10_000, 5)) < 400


@pytest.mark.parametrize("quote", [head, tail])
def test_a_line_is_not_cut_within_a_secret(quote: Callable[[str, int], str]) -> None:
    line = f"{'x' * 265} postgres://dbt:{'hunter2' * 5}@warehouse/{'x' * 10_000}"
    assert "hunter2" not in without_secrets(quote(line, 5))


@pytest.mark.parametrize(
    "junk", ["a.", "eyJaaaaaaaa.", "token ", "password=", "x://y:", "--secret-"]
)
def test_junk_costs_no_more_than_its_length(junk: str) -> None:
    began = time.thread_time()
    without_secrets(junk * 20_000)
    assert time.thread_time() - began < 10
