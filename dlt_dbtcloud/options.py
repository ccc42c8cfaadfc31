"""How the words of a dbt command line belong together: options, their values, and the rest.

dbt 1.5 to 1.11 reads them with click, and with options of its own that take every word up to the
next option: `--select a b` has two values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Part", "parts"]

_ALIASES = {"-s": "--select", "-m": "--select", "--models": "--select", "--model": "--select"}
# options that take every word up to the next option
_GREEDY = frozenset(
    {
        "--exclude",
        "--exclude-resource-type",
        "--exclude-resource-types",
        "--output-keys",
        "--resource-type",
        "--resource-types",
        "--select",
    }
)
# options that take one word, whatever it looks like
_VALUED = frozenset(
    {
        "--add-package",
        "--args",
        "--defer-state",
        "--event-time-end",
        "--event-time-start",
        "--host",
        "--indirect-selection",
        "--inline",
        "--inline-direct",
        "--limit",
        "--log-file-max-bytes",
        "--log-format",
        "--log-format-file",
        "--log-level",
        "--log-level-file",
        "--log-path",
        "--output",
        "--partial-parse-file-path",
        "--port",
        "--printer-width",
        "--profile",
        "--profiles-dir",
        "--project-dir",
        "--record-timing-info",
        "--sample",
        "--selector",
        "--source",
        "--sqlparse",
        "--state",
        "--target",
        "--target-path",
        "--threads",
        "--vars",
        "--warn-error-options",
        "-o",
        "-r",
        "-t",
    }
)


@dataclass(frozen=True)
class Part:
    """An option with its values, or a word that belongs to none."""

    option: str
    words: tuple[str, ...]
    values: tuple[str, ...] = ()


def parts(words: Sequence[str]) -> Iterator[Part]:
    """Divide the words that follow `dbt`."""
    rest = deque(words)
    while rest:
        word = rest.popleft()
        option, value = _option(word)
        if word == "--":
            yield from (Part("", (each,)) for each in (word, *rest))
            return
        if value and option not in _GREEDY | _VALUED and not word.startswith("--"):
            # flags in one word: `-xs a` is `-x -s a`
            rest.appendleft(f"-{value}")
            word, value = option, None
        taken = _taken(option, value, rest)
        values = taken if value is None else (value, *taken)
        yield Part(option, (word, *taken), values)


def _option(word: str) -> tuple[str, str | None]:
    """Return the option that a word is, and the value that it holds, if any."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return _ALIASES.get(name, name), value if equals else None
    if len(word) > 1 and word.startswith("-"):
        return _ALIASES.get(word[:2], word[:2]), word[2:] or None
    return "", None


def _taken(option: str, value: str | None, rest: deque[str]) -> tuple[str, ...]:
    """Take the words that belong to an option from those that follow it."""
    taken = []
    if value is None and rest and option in _GREEDY | _VALUED:
        taken.append(rest.popleft())
    while option in _GREEDY and rest and not rest[0].startswith("-"):
        taken.append(rest.popleft())
    return tuple(taken)
