"""Quoted text is short and readable, and contains no secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, product

import pytest

from dlt_dbtcloud.redaction import (
    PATTERNS,
    first_lines,
    last_lines,
    plain_text,
    redact,
    without_backtraces,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"

# made up, and put together so that no scanner of this repository finds them
DIGITS = "0123456789abcdefghijABCDEFGHIJ0123456789"
TOKENS = [
    prefix + DIGITS
    for prefix in (
        *("dbtc_", "dbtu_", "dbts_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "glrt-"),
        *("gldt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-"),
        *("xoxb-", "xoxp-", "xapp-", "AIza", "ya29.", "GOCSPX-", "sk-", "sk-ant-", "sk-proj-"),
        *("hf_", "sk_live_", "rk_live_", "rk_test_", "whsec_", "npm_", "pypi-AgEI", "dckr_pat_"),
        *("hvs.", "hvb.", f"SG.{DIGITS}.", "dop_v1_", "doo_v1_", "shpat_", "shpss_", "PMAK-"),
        *("lin_api_", "ntn_", "secret_"),
    )
]

SECRETS = {
    "private key": [
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----",
            "MIIE\nabcd",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\nabcd", "abcd"),
        ('{"key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----"}', "MIIE"),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdGBF\n-----END PGP PRIVATE KEY BLOCK-----",
            "lQdGBF",
        ),
        ("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----", "hQEMA"),
    ],
    "token in a URL": [
        ("clone https://abcdef0123456789@github.com/a/b.git", "abcdef0123456789"),
        ("pip install git+https://s3cr3tt0ken@example.com/a", "s3cr3tt0ken"),
    ],
    "header": [
        ('{"Authorization": "abcdefghijkl"}', "abcdefghijkl"),
        ('{"headers": {"authorization": "Bearer abc", "accept": "*/*"}}', "abc"),
        ("{'Proxy-Authorization': 'Basic YTpi'}", "YTpi"),
        (r"{\"Authorization\": \"Bearer abcdef\"}", "abcdef"),
        ("Cookie: session=abcdef; path=/", "abcdef"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=x/y, Signature=fe5f80", "fe5f80"),
    ],
    "password in a URL": [
        ("postgresql://loader:s3cr3t!@db.example.com:5432/raw", "s3cr3t!"),
        ("postgresql://u:hunt@er2@host/db", "er2"),
    ],
    "authorization header": [
        ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
        ("Authorization: Token abcdefghijkl", "abcdefghijkl"),
    ],
    "assignment": [
        ("password=hunter2hunter2 user=me", "hunter2hunter2"),
        ("PGPASSWORD: 'hunter 2'", "hunter 2"),
        ('{"private_key": "MIIEvQIBADANBg"}', "MIIEvQIBADANBg"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ("x-api-key: abcd1234", "abcd1234"),
        ("snowflake_passwd = 'p w'", "p w"),
        ("https://account.blob.core.windows.net/c?sv=1&sig=abc%2Fdef&x=1", "abc%2Fdef"),
        (r"{\"password\": \"hunter2hunter2\"}", "hunter2hunter2"),
        ("\x1b[1mpassword\x1b[0m: hunter2hunter2", "hunter2hunter2"),
        ("password=hun)ter2", "ter2"),
        ("host=db user=me pass=hunter2hunter2", "hunter2hunter2"),
        ("DB_PASS: hunter2hunter2", "hunter2hunter2"),
        ("pass = 'hunter 2'", "hunter 2"),
        ("config['password'] = 'hunter2'", "hunter2"),
        ('os.environ["SNOWFLAKE_TOKEN"]="hunter2"', "hunter2"),
        ('{"X-Api-Key": "hunter2"}', "hunter2"),
        ('dbt build --vars \'{"db_password": "hunter2"}\'', "hunter2"),
    ],
    "quoted value": [
        ("create user x identified by 'hunter2'", "hunter2"),
        ("alter user x password 'hunter2'", "hunter2"),
    ],
    "option": [("loader --password hunter2hunter2 --x", "hunter2hunter2")],
    "known prefix": [
        ("using AKIAIOSFODNN7EXAMPLE as id", "AKIAIOSFODNN7EXAMPLE"),
        ("cloned with ghp_0123456789abcdefghijklmnop", "ghp_0123456789abcdefghijklmnop"),
        ("using ASIAIOSFODNN7EXAMPLE as id", "ASIAIOSFODNN7EXAMPLE"),
        ("dose0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ("dbtc_0123456789abcdef was used", "dbtc_0123456789abcdef"),
        ("dapi0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        (f"got {JWT} back", JWT),
        *((f"with {token} as key", token) for token in TOKENS),
    ],
}


def test_each_pattern_matches_its_secrets() -> None:
    for name, pattern in PATTERNS.items():
        for text, secret in SECRETS[name]:
            assert secret not in pattern.sub(r"\1***", plain_text(text))


def test_what_looks_like_a_secret_is_redacted() -> None:
    for text, secret in chain.from_iterable(SECRETS.values()):
        assert secret in text
        assert secret not in redact(text)
        assert "***" in redact(text)


def test_a_value_is_redacted_however_long_its_name_is() -> None:
    assert redact(f"{'x' * 1_000}_password=hunter2") == f"{'x' * 1_000}_password=***"


def test_a_known_secret_is_redacted_anywhere() -> None:
    assert redact("a0b1c2d3 and xa0b1c2d3x", "a0b1c2d3", "") == "*** and x***x"


HARMLESS = [
    "Conversion Error: Time out of range: 99:99:0.0",
    "Runtime Error in model fct_flights (models/marts/fct_flights.sql)",
    'Database Error: column "token_count" does not exist',
    "1 of 82 ERROR creating sql table model analytics.fct_tokens [ERROR in 0.06s]",
    "See https://ab123.us1.dbt.com/deploy/1/projects/2/runs/3/ for more",
    "compare a://b with user@example.com",
    "the token of the lexer was not expected: found SELECT",
    "secret sauce, password reset and tokens are words",
    "Done. PASS=4 WARN=0 ERROR=1 SKIP=2 NO-OP=0 TOTAL=7",
    "12:00:00  3 of 7 PASS not_null_flights_id [PASS in 0.02s]",
    '{"pass": 4, "bypass": true, "compass=north"}',
    "bypass=yes and passes: all",
    "glossary-of-all-the-business-terms and pypi-publishes-this-package-every-night",
    "the key sk-learn, task-runner-with-a-long-name-of-many-words and risk-9",
    "git@github.com:org/repo.git and ssh://git@github.com/org/repo.git",
    "Authorization failed: check the role",
    "See https://docs.getdbt.com/docs/@next and mail me@example.com",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "model.flights.secretary and source:raw.tokens.token_types",
]


def test_what_does_not_look_like_a_secret_stays() -> None:
    for text in HARMLESS:
        assert redact(text) == text


def test_plain_text_has_no_colours_and_control_characters() -> None:
    coloured = (
        "\x1b[0m12:00:00  \x1b[31mERROR\x1b[0m in\tx  \r\n\x1b]8;;http://a\x07link\x07\x00!\n"
    )
    assert plain_text(coloured) == "12:00:00  ERROR in    x\nlink !"


def test_plain_text_has_no_8_bit_control_characters() -> None:
    """A terminal such as xterm obeys U+009B as it does ESC [, also in UTF-8."""
    assert plain_text("\x9b31mred\x9b0m \x9d0;title\x9cx \x90q") == "red x  q"
    assert plain_text("\x9b31") == " 31"


def test_backtraces_of_dbt_fusion_are_removed() -> None:
    frames = "   0: <unknown>\n   1: start_thread\n             at ./nptl/create.c:442:8\n"
    assert without_backtraces(f"Error\n{frames}{frames}\nThe end") == "Error\n\nThe end"
    # a list of a user, and a line
    kept = "1: one\n2: two\n   0: alone\nat last"
    assert without_backtraces(kept) == kept


def test_an_ellipsis_replaces_the_other_lines() -> None:
    text = "\n".join("abcdef")
    assert first_lines(text, 2) == "a\nb\n..."
    assert last_lines(text, 2) == "...\ne\nf"
    assert first_lines(text, 6) == last_lines(text, 6) == text


def test_a_long_line_is_cut() -> None:
    assert len(first_lines("x" * 10_000, 5)) < 400


@pytest.mark.parametrize("quote", [first_lines, last_lines])
def test_a_cut_line_contains_no_part_of_a_secret(quote: Callable[[str, int], str]) -> None:
    line = f"{'x' * 265} postgres://dbt:{'hunter2' * 5}@warehouse/{'x' * 10_000}"
    assert "hunter2" not in quote(redact(line), 5)


JUNK = [
    *("a.", "eyJaaaaaaaa.", "token ", "password=", "x://y:", "--secret-", "https://", "sk-"),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PGP ",
        "Bearer ",
        "Authorization: ",
        "a_",
        "\\",
    ),
    *("['password'] = ", "pass=", "\x1b[", "\x1b]", "\t", '"', "password='", "cookie=\\"),
    "12:00:00  1 of 82 OK created sql table model analytics.fct_tokens [OK in 0.06s]\n",
]


def test_the_time_to_redact_grows_with_the_length_of_a_text() -> None:
    """Sixteen times the text takes about 16 times as long; if quadratic, 130 times or more."""

    def seconds(junk: str, length: int) -> float:
        # no pattern is skipped in a text beyond ASCII
        text = "\u00e9" + (junk * (length // len(junk) + 1))[:length]
        began = time.thread_time()
        redact(text)
        return time.thread_time() - began

    for junk in JUNK:
        short = min(seconds(junk, 1_000) for _ in range(3))
        # up to three times, as the machine may interrupt one
        limit = 60 * max(short, 5e-4)
        assert any(seconds(junk, 16_000) < limit for _ in range(3)), junk


NAMES = [
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey"),
    *("access-key", "private_key", "account_key", "credential", "credentials", "signature"),
    *("sig", "PASSWORD", "Api-Key"),
    # which regular expressions fold, though `lower` does not
    *("pa\u017f\u017fword", "to\u212aen", "s\u0131g"),
]


FORMS = ["{}=hunter2", '"{}": "hunter2"', "--{} hunter2", "--{} 'hunter2'"]


def test_every_name_of_a_secret_is_known_in_every_form() -> None:
    for form, name in product(FORMS, NAMES):
        assert "hunter2" not in redact(form.format(name))
