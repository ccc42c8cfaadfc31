"""Hints at the names that misspelt ones resemble."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["did_you_mean", "suggesting"]


# characters of a wrong name that is the beginning, or any part, of the name that was meant
_BEGINNING = 3
_PART = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that a wrong name resembles, or nothing."""
    alike = {_squeezed(other): other for other in known}
    word = _squeezed(name)
    close = difflib.get_close_matches(word, alike, n=1, cutoff=0.75)
    # `threads` for `threads_override`, `branch` for `git_branch`
    close += [other for other in alike if other.startswith(word) and len(word) >= _BEGINNING]
    close += [other for other in alike if word in other and len(word) >= _PART]
    return f" Did you mean `{alike[close[0]]}`?" if close else ""


def _squeezed(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


@contextmanager
def suggesting(callee: str, signature: inspect.Signature, given: Iterable[str]) -> Iterator[None]:
    """Add the names of the callee and of the intended argument to a `TypeError`."""
    try:
        yield
    except TypeError as error:
        known = [name for name in signature.parameters if name != "self"]
        hints = (did_you_mean(name, known) for name in given if name not in known)
        hint = next(hints, "")
        raise TypeError(f"`{callee}`: {error}.{hint}") from None
