"""Foreign texts, made harmless: redacted, without control characters, and cut."""

from __future__ import annotations

import re

from dlt_dbtcloud.redaction import Redact, redact

__all__ = ["Texts", "redactor"]


# characters that are redacted for each one that is shown
_MARGIN = 4
# characters at a cut that may be the rest of a secret
_EDGE = 200
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
        """Return the last lines of a text, with a note on how many characters were cut."""
        if not text:
            return ""
        is_cut = len(text) > _MARGIN * limit
        cleaned = self._clean(text[-_MARGIN * limit :])[_EDGE if is_cut else 0 :]
        if len(cleaned) <= limit and not is_cut:
            return cleaned
        kept = cleaned[-limit:]
        _, _, lines = kept.partition("\n")
        end = lines or kept
        return f"… {max(len(text), len(cleaned)) - len(end):,} characters were cut\n{end}"

    def _head(self, text: str, limit: int) -> tuple[str, int]:
        """Return the beginning of a text, and the number of characters after it."""
        read = _MARGIN * limit
        if len(text) <= read + _EDGE:
            return self._clean(text), 0
        return self._clean(text[: read + _EDGE])[:-_EDGE], len(text) - read

    def _clean(self, text: str) -> str:
        if text.isascii():
            return self._redact(text)
        return self._redact(_UNSAFE.sub(_shown, text))


def redactor(*secrets: str) -> Redact:
    """Return a function that removes some known secrets and all apparent ones from a text."""

    def redacted(text: str) -> str:
        return redact(text, *secrets)

    return redacted


def _shown(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
