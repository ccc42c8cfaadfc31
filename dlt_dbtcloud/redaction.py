"""Redaction of secrets, and short plain quotations of logs and messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

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
# each has one of these
_ESCAPES = "\x1b\x9b\x9d"
_UNPRINTABLE = re.compile(r"[^\S\n ]+|[\x00-\x09\x0b-\x1f\x7f-\x9f]+")
# two frames or more of a program in Rust, such as dbt Fusion
_BACKTRACE = re.compile(r"^ +0: \S.*(?:\n +\d+: \S.*|\n +at \S.*)+\n?", re.MULTILINE)
_REDACTED = "***"
_NAME = (
    r"(?:p(?:assw(?:or)?d|assphrase|wd|rivate[_-]?key)|s(?:ecret|ignature|ig)|token"
    r"|a(?:pi[_-]?key|ccess[_-]?key|ccount[_-]?key)|credentials?)"
)
# a name that ends like this, which `bypass` does not; dbt's own `PASS=4` counts tests
_ABBREVIATION = r"(?<![^\W_])pass(?!\W{0,9}(?:\d+|true|false|none|null)\b)"
_OPTION = rf"(?<![\w-])--[\w-]{{0,64}}{_NAME}"
_QUOTED = r"""\\*"[^"\n]*"|\\*'[^'\n]*'"""

# the documented forms of tokens, and words of which each match contains at least one, in lower case
_TOKENS: Mapping[str, Sequence[str]] = {
    r"dbt[a-z]_[\w=-]{8,}": ("dbt",),
    # AWS
    r"A[KS]IA[0-9A-Z]{16}": ("akia", "asia"),
    # GitHub and GitLab
    r"gh[a-z]_\w{20,}": ("gh",),
    r"github_pat_\w{20,}": ("github_pat_",),
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[\w-]{16,}": ("gl",),
    # Slack
    r"x(?:ox[a-z]|app)-[\w-]{10,}": ("xox", "xapp-"),
    # Google
    r"AIza[\w-]{30,}": ("aiza",),
    r"ya29\.[\w-]{20,}": ("ya29.",),
    r"GOCSPX-[\w-]{20,}": ("gocspx-",),
    # Databricks
    r"dapi[0-9a-f]{30,}": ("dapi",),
    r"dose[0-9a-f]{30,}": ("dose",),
    # OpenAI, Anthropic, Hugging Face
    r"(?<!-)sk-(?=[\w-]{0,200}\d)[\w-]{20,}": ("sk-",),
    r"hf_[A-Za-z0-9]{20,}": ("hf_",),
    # Stripe
    r"[rs]k_(?:live|test)_\w{10,}": ("k_live_", "k_test_"),
    r"whsec_\w{20,}": ("whsec_",),
    # npm, PyPI, Docker
    r"npm_[A-Za-z0-9]{30,}": ("npm_",),
    r"pypi-AgEI[\w-]{20,}": ("pypi-agei",),
    r"dckr_pat_[\w-]{20,}": ("dckr_pat_",),
    # Vault, SendGrid, DigitalOcean, Shopify, Postman, Linear, Notion
    r"hv[bs]\.[\w-]{20,}": ("hvb.", "hvs."),
    r"SG\.[\w-]{16,}\.[\w-]{16,}": ("sg.",),
    r"do[opr]_v1_\w{30,}": ("_v1_",),
    r"shp(?:at|ca|pa|ss)_\w{20,}": ("shp",),
    r"PMAK-[\w-]{20,}": ("pmak-",),
    r"lin_api_\w{20,}": ("lin_api_",),
    r"(?:ntn|secret)_[A-Za-z0-9]{40,}": ("ntn_", "secret_"),
    # JSON web tokens
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?": ("eyj",),
}

# group 1 of each stays, to show which secret it was; repetitions are bounded, as logs may be long,
# and first characters are looked for alone, which is much faster
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
        r"((?=[acpst])"
        rf"""(?:{_NAME}[\w.-]{{0,64}}|{_ABBREVIATION})\\*["']?\]?\s{{0,9}}[=:]\s{{0,9}})"""
        rf"""(?:{_QUOTED}|[^\s,;&]+)""",
        re.IGNORECASE,
    ),
    # --token "...", password '...', identified by '...'
    "quoted value": re.compile(
        rf"""((?=[-acipst])(?:{_OPTION}|\b{_NAME}|\bidentified\s+by)\s+)(?:{_QUOTED})""",
        re.IGNORECASE,
    ),
    "option": re.compile(rf"({_OPTION}\s+)[^\s-]\S*", re.IGNORECASE),
    # tokens of services, and JSON web tokens
    "known prefix": re.compile(rf"()(?<![\w.])(?:{'|'.join(_TOKENS)})"),
}

# words and marks of which each match of a pattern contains at least one, in plain ASCII
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
    "known prefix": tuple(chain.from_iterable(_TOKENS.values())),
}
_MARKS: Mapping[str, Sequence[str]] = {
    "password in a URL": ("@",),
    "token in a URL": ("@",),
    "header": ("=", ":"),
    "assignment": ("=", ":"),
    "quoted value": ("'", '"'),
    "option": ("--",),
}
_ALL_WORDS = tuple({*chain.from_iterable(_WORDS.values())})


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
    for name in _possible(text):
        text = PATTERNS[name].sub(rf"\1{_REDACTED}", text)
    return text


def _possible(text: str) -> Sequence[str]:
    """Return the patterns that may match, by searches that are much faster than the patterns."""
    if not text.isascii():
        return [*PATTERNS]
    lower = text.lower()
    found = {word for word in _ALL_WORDS if word in lower}
    if not found:
        return ()
    named = (name for name in PATTERNS if not found.isdisjoint(_WORDS[name]))
    return [name for name in named if any(mark in text for mark in _MARKS.get(name, ("",)))]


def plain_text(text: str) -> str:
    """Return a text without colours, control characters and trailing white space."""
    if text.isprintable():
        return text.rstrip()
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    if any(escape in text for escape in _ESCAPES):
        text = _ANSI.sub("", text)
    lines = text.split("\n")
    plain = (each if each.isprintable() else _UNPRINTABLE.sub(" ", each) for each in lines)
    return "\n".join(map(str.rstrip, plain)).strip("\n")


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
