"""Foreign texts, made harmless: redacted, without control characters, and cut."""

from __future__ import annotations

import re

from dlt_dbtcloud.redaction import Redact, redact, without_backtraces

__all__ = ["Texts", "redactor"]


# characters at a cut that may be the rest of a secret, such as a private key
_EDGE = 4_000
# characters that are redacted at first for each one that is shown, and then if too few remain
_MARGIN, _GROWTH = 2, 4
# characters of a URL
_URL = 2_000
# a URL with a user, before or instead of a password
_USER = re.compile(r"https?:[/\\]*[^/\\?#]*@", re.IGNORECASE)
# marks that change the order of the characters around them, and surrogates, which no file has
_UNSAFE = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Texts:
    """Prepares the texts of a page; each short text is prepared once.

    Args:
        redact: Removes secrets and control characters from a text.
    """

    def __init__(self, redact: Redact = redact) -> None:
        self._redact = redact
        self._known: dict[tuple[str, int], str] = {}

    def line(self, text: str | None, limit: int = 200) -> str:
        """Return the first characters of a text as a single line."""
        if not text:
            return ""
        found = self._known.get((text, limit))
        if found is None:
            cleaned = " ".join(self._head(text, limit)[0].split())
            found = cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 1]}…"
            if len(text) <= limit:
                self._known[text, limit] = found
        return found

    def block(self, text: str | None, limit: int) -> str:
        """Return the first characters of a text, with a note on how many were cut."""
        if not text:
            return ""
        head, unread = self._head(text, limit)
        kept = head[:limit]
        cut = len(head) - len(kept) + unread
        return f"{kept.rstrip()}\n… {cut:,} more characters were cut" if cut else kept

    def tail(self, text: str | None, limit: int) -> str:
        """Return the end of a log without backtraces, noting the cut characters."""
        if not text:
            return ""
        size = _first_size(limit)
        while size < len(text):
            cleaned = without_backtraces(self._clean(text[-size:]))
            if len(cleaned) >= limit + _EDGE:
                return _last_lines(cleaned, limit, len(text))
            size *= _GROWTH
        cleaned = without_backtraces(self._clean(text))
        return cleaned if len(cleaned) <= limit else _last_lines(cleaned, limit, len(text))

    def url(self, url: str | None) -> str:
        """Return a URL of the web or a path; empty for any other, and if it has a secret."""
        text = (url or "").strip()
        is_web = text.lower().startswith(("https://", "http://"))
        is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
        if not (is_web or is_path) or len(text) > _URL or not text.isprintable():
            return ""
        return "" if _USER.match(text) or self._redact(text) != text else text

    def _head(self, text: str, limit: int) -> tuple[str, int]:
        """Return the beginning of a text, and the number of characters after it."""
        size = _first_size(limit)
        while size < len(text):
            cleaned = self._clean(text[:size])
            if len(cleaned) >= limit + _EDGE:
                return cleaned[:-_EDGE], len(text) - size + _EDGE
            size *= _GROWTH
        return self._clean(text), 0

    def _clean(self, text: str) -> str:
        if text.isascii():
            return self._redact(text)
        return self._redact(_UNSAFE.sub(_shown, text))


def redactor(*secrets: str) -> Redact:
    """Return a function that removes some known secrets and all apparent ones from a text."""

    def redacted(text: str) -> str:
        return redact(text, *secrets)

    return redacted


def _first_size(limit: int) -> int:
    return _MARGIN * limit + _EDGE


def _last_lines(cleaned: str, limit: int, length: int) -> str:
    """Return the end of a text, from the begin of a line, with a note on the cut.

    Args:
        cleaned: The text, or more than its end.
        limit: The number of characters to keep.
        length: The characters of the whole text.
    """
    kept = cleaned[-limit:]
    _, _, lines = kept.partition("\n")
    end = lines or kept
    return f"… {max(length, len(cleaned)) - len(end):,} characters were cut\n{end}"


def _shown(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
