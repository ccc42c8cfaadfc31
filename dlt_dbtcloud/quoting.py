"""What a log or a database says, made fit to be quoted: short, without colours and secrets."""

from __future__ import annotations

import re

__all__ = ["head", "plain", "tail", "without_secrets"]

_LINE_LIMIT = 300
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNPRINTABLE = re.compile(r"[^\S\n ]+|[\x00-\x09\x0b-\x1f\x7f]+")
_HIDDEN = "***"
# each keeps what tells a reader which secret it was
_SECRETS = (
    # a key or certificate, whole
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
    # scheme://user:password@host
    re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)"),
    re.compile(r"(\b(?:Bearer|Basic|Token)\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    # password=..., "api_key": "...", AWS_SECRET_ACCESS_KEY: ...
    re.compile(
        r"""(\b[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key"""
        r"""|private[_-]?key|account[_-]?key|credentials?|signature|sig)[\w.-]*["']?\s*[=:]\s*)"""
        r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s,;&)}\]]+)""",
        re.IGNORECASE,
    ),
    # tokens that are known by how they begin: dbt, AWS, GitHub, GitLab, Slack, Google, Databricks
    re.compile(
        r"()\b(?:dbt[a-z]_[\w=-]{8,}|A[KS]IA[0-9A-Z]{16}|gh[a-z]_\w{20,}|github_pat_\w{20,}"
        r"|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,}|dapi[0-9a-f]{30,}"
        r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
    ),
)


def without_secrets(text: str, *known: str) -> str:
    """Return a text with everything cut out that is, or looks like, a secret.

    Args:
        text: The text.
        *known: Secrets that are known, such as the API's token.
    """
    for secret in filter(None, known):
        text = text.replace(secret, _HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


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
    kept = "\n".join(
        line if len(line) <= _LINE_LIMIT else f"{line[:_LINE_LIMIT]}..." for line in lines[part]
    )
    return cut.format(kept) if len(lines[part]) < len(lines) else kept
