"""What a log or a database says, made fit to be quoted: short, without colours and secrets."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["head", "plain", "redacted", "tail", "without_secrets"]


_LINE_LIMIT = 300
# a secret that begins within a line's limit ends within this one
_SECRET_LIMIT = 1200
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNPRINTABLE = re.compile(r"[^\S\n ]+|[\x00-\x09\x0b-\x1f\x7f]+")
_HIDDEN = "***"
_NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|account[_-]?key|credentials?|signature|sig)"
)
_QUOTED = r"""\\*"[^"\n]*"|\\*'[^'\n]*'"""
# each keeps what tells a reader which secret it was; all are bounded, as logs may hold anything
_SECRETS = (
    # a key or certificate, whole
    re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
    # scheme://user:password@host, where a password may hold an @
    re.compile(r"(\w://[^\s/:@]{0,200}:)\S{1,500}(?=@)"),
    re.compile(r"(\b(?:Bearer|Basic|Token)\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    # password=..., "api_key": "...", AWS_SECRET_ACCESS_KEY: ..., --token ..., identified by '...'
    re.compile(
        rf"""((?<![\w.-])[\w.-]{{0,64}}{_NAME}[\w.-]{{0,64}}\\*["']?\s{{0,9}}[=:]\s{{0,9}})"""
        rf"""(?:{_QUOTED}|[^\s,;&]+)""",
        re.IGNORECASE,
    ),
    re.compile(
        rf"""((?:(?<![\w-])--[\w-]{{0,64}}{_NAME}|\b{_NAME}|\bidentified\s+by)\s+)(?:{_QUOTED})""",
        re.IGNORECASE,
    ),
    re.compile(rf"((?<![\w-])--[\w-]{{0,64}}{_NAME}\s+)[^\s-]\S*", re.IGNORECASE),
    # tokens that are known by how they begin: dbt, AWS, GitHub, GitLab, Slack, Google, Databricks
    re.compile(
        r"()(?<![\w.])(?:dbt[a-z]_[\w=-]{8,}|A[KS]IA[0-9A-Z]{16}|gh[a-z]_\w{20,}"
        r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,}|dapi[0-9a-f]{30,}"
        r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
    ),
)


def without_secrets(text: str, *known: str) -> str:
    """Return a text, plain, with everything cut out that is, or looks like, a secret.

    Args:
        text: The text.
        *known: Secrets that are known, such as the API's token.
    """
    text = plain(text)
    for secret in filter(None, known):
        text = text.replace(secret, _HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def redacted(text: str | None, hide: Callable[[str], str]) -> str | None:
    """Return a text that may be missing without its secrets.

    Args:
        text: The text.
        hide: Cuts the API's token out of it.
    """
    return without_secrets(hide(text)) if text else text


def plain(text: str) -> str:
    """Return a text without colours, control characters and white space at its lines' ends."""
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\t", "    "))
    lines = (_UNPRINTABLE.sub(" ", line).rstrip() for line in text.split("\n"))
    return "\n".join(lines).strip("\n")


def head(text: str, lines: int) -> str:
    """Return the first lines of a text, none of them endless."""
    return _shown(plain(text).split("\n"), slice(lines), "{0}\n...")


def tail(text: str, lines: int) -> str:
    """Return the last lines of a text, none of them endless."""
    return _shown(plain(text).split("\n"), slice(-lines, None), "...\n{0}")


def _shown(lines: list[str], part: slice, cut: str) -> str:
    kept = "\n".join(map(_bounded, lines[part]))
    return cut.format(kept) if len(lines[part]) < len(lines) else kept


def _bounded(line: str) -> str:
    """Return a line that is not endless, and not cut within a secret, which would hide it."""
    if len(line) <= _LINE_LIMIT:
        return line
    return f"{without_secrets(line[:_SECRET_LIMIT])[:_LINE_LIMIT]}..."
