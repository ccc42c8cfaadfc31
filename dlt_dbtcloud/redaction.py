"""Redaction of secrets, and short plain quotations of logs and messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "PATTERNS",
    "Redact",
    "first_lines",
    "last_lines",
    "listed",
    "plain_text",
    "redact",
    "without_backtraces",
]


Redact = Callable[[str], str]

_MAX_LINE_LENGTH = 300
# also in the 8-bit form, which some terminals obey
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[@-Z\\-_]"
)
_UNPRINTABLE = re.compile(r"[^\S\n ]+|[\x00-\x09\x0b-\x1f\x7f-\x9f]+")
# two frames or more of a program in Rust, such as dbt Fusion
_BACKTRACE = re.compile(r"^ +0: \S.*(?:\n +\d+: \S.*|\n +at \S.*)+\n?", re.MULTILINE)
_REDACTED = "***"
_NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|account[_-]?key|credentials?|signature|sig)"
)
# a name that ends like this, which `bypass` does not; dbt's own `PASS=4` counts tests
_ABBREVIATION = r"(?:[\w.-]{0,64}[_.-])?pass(?!\W{0,9}(?:\d+|true|false|none|null)\b)"
_LONG_NAME = rf"[\w.-]{{0,64}}{_NAME}[\w.-]{{0,64}}"
_OPTION = rf"(?<![\w-])--[\w-]{{0,64}}{_NAME}"
_QUOTED = r"""\\*"[^"\n]*"|\\*'[^'\n]*'"""

# the documented forms of tokens
_TOKENS = (
    r"dbt[a-z]_[\w=-]{8,}",
    # AWS
    r"A[KS]IA[0-9A-Z]{16}",
    # GitHub and GitLab
    r"gh[a-z]_\w{20,}",
    r"github_pat_\w{20,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[\w-]{16,}",
    # Slack
    r"x(?:ox[a-z]|app)-[\w-]{10,}",
    # Google
    r"AIza[\w-]{30,}",
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    # Databricks
    r"dapi[0-9a-f]{30,}",
    r"dose[0-9a-f]{30,}",
    # OpenAI, Anthropic, Hugging Face
    r"(?<!-)sk-(?=[\w-]{0,200}\d)[\w-]{20,}",
    r"hf_[A-Za-z0-9]{20,}",
    # Stripe
    r"[rs]k_(?:live|test)_\w{10,}",
    r"whsec_\w{20,}",
    # npm, PyPI, Docker
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-AgEI[\w-]{20,}",
    r"dckr_pat_[\w-]{20,}",
    # Vault, SendGrid, DigitalOcean, Shopify, Postman, Linear, Notion
    r"hv[bs]\.[\w-]{20,}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"do[opr]_v1_\w{30,}",
    r"shp(?:at|ca|pa|ss)_\w{20,}",
    r"PMAK-[\w-]{20,}",
    r"lin_api_\w{20,}",
    r"(?:ntn|secret)_[A-Za-z0-9]{40,}",
    # JSON web tokens
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
)

# group 1 of each stays, to show which secret it was; repetitions are bounded, as logs may be long
PATTERNS: Mapping[str, re.Pattern[str]] = {
    # the whole block of a key, of PEM or PGP
    "private key": re.compile(
        r"(-----BEGIN (?:[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?|PGP [A-Z ]{1,40})-----)"
        r".*?(?=-----END|\Z)",
        re.DOTALL,
    ),
    # scheme://user:password@host; a password may contain an @
    "password in a URL": re.compile(r"(\w://[^\s/:@]{0,100}:)\S{1,250}(?=@)"),
    # https://token@host
    "token in a URL": re.compile(r"(\bhttps?://)[^\s/:@?#*]{6,500}(?=@)", re.IGNORECASE),
    # Authorization: ..., "Cookie": "..."; the scheme of the authorization stays
    "header": re.compile(
        r"""(\b(?:authorization|cookie)\\*["']?\s{0,9}[:=]\s{0,9}\\*["']?"""
        r"""(?:(?:Bearer|Basic|Token|Digest)\s{1,9})?)[^\s"'\\][^\n"'\\]*""",
        re.IGNORECASE,
    ),
    "authorization header": re.compile(
        r"(\b(?:Bearer|Basic|Token)\s+)[\w.~+/=-]{8,}", re.IGNORECASE
    ),
    # password=..., "api_key": "...", AWS_SECRET_ACCESS_KEY: ..., db['password'] = '...'
    "assignment": re.compile(
        rf"""((?<![\w.-])(?:{_LONG_NAME}|{_ABBREVIATION})\\*["']?\]?\s{{0,9}}[=:]\s{{0,9}})"""
        rf"""(?:{_QUOTED}|[^\s,;&]+)""",
        re.IGNORECASE,
    ),
    # --token "...", password '...', identified by '...'
    "quoted value": re.compile(
        rf"""((?:{_OPTION}|\b{_NAME}|\bidentified\s+by)\s+)(?:{_QUOTED})""", re.IGNORECASE
    ),
    "option": re.compile(rf"({_OPTION}\s+)[^\s-]\S*", re.IGNORECASE),
    # tokens of services, and JSON web tokens
    "known prefix": re.compile(rf"()(?<![\w.])(?:{'|'.join(_TOKENS)})"),
}

# of each pattern but the last, words that every match in plain ASCII has one of
_NAMES = ("passw", "passphrase", "pwd", "secret", "token", "key", "credential", "sig")
_WORDS: Mapping[str, Sequence[str]] = {
    "private key": ("-----begin",),
    "password in a URL": ("://",),
    "token in a URL": ("://",),
    "header": ("authorization", "cookie"),
    "authorization header": ("bearer", "basic", "token"),
    "assignment": (*_NAMES, "pass"),
    "quoted value": (*_NAMES, "identified"),
    "option": _NAMES,
}


def redact(text: str, *secrets: str) -> str:
    """Return a plain text without known and apparent secrets.

    Redact a text before cutting it: the rest of a secret that was cut looks like no secret.

    Args:
        text: The text.
        *secrets: The known secrets, such as the API token.
    """
    text = plain_text(text)
    for secret in filter(None, secrets):
        text = text.replace(secret, _REDACTED)
    for name, pattern in PATTERNS.items():
        if _may_match(name, text):
            text = pattern.sub(rf"\1{_REDACTED}", text)
    return text


def _may_match(name: str, text: str) -> bool:
    """Return whether a pattern may match, by a search that is much faster than the pattern."""
    if name not in _WORDS or not text.isascii():
        return True
    lower = text.lower()
    return any(word in lower for word in _WORDS[name])


def plain_text(text: str) -> str:
    """Return a text without colours, control characters and trailing white space."""
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\t", "    "))
    lines = (_UNPRINTABLE.sub(" ", line).rstrip() for line in text.split("\n"))
    return "\n".join(lines).strip("\n")


def without_backtraces(text: str) -> str:
    """Return a plain text without the stack frames that dbt Fusion logs."""
    return _BACKTRACE.sub("", text)


def first_lines(text: str, count: int) -> str:
    """Return the first lines of a redacted text, with long lines cut."""
    lines = text.split("\n")
    return "\n".join([*map(_cut, lines[:count]), *(["..."] if len(lines) > count else [])])


def last_lines(text: str, count: int) -> str:
    """Return the last lines of a redacted text, with long lines cut."""
    lines = text.split("\n")
    return "\n".join([*(["..."] if len(lines) > count else []), *map(_cut, lines[-count:])])


def listed(names: Sequence[str], count: int) -> str:
    """Return the first of some names, and the number of the others."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")


def _cut(line: str) -> str:
    return line if len(line) <= _MAX_LINE_LENGTH else f"{line[:_MAX_LINE_LENGTH]}..."
