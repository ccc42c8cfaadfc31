"""Decoder of a JSON file that loses only the parts that it cannot read."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

__all__ = ["Decoder", "NotAnObjectError", "Unread"]


_T = TypeVar("_T")
_Entries = dict[str, msgspec.Raw]

_NULL = msgspec.Raw(b"null")
_ERRORS = (msgspec.DecodeError, RecursionError, ValueError)
_PLACE = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")
# digits of the integers that surely fit in 64 bits
_MAX_DIGITS = 18


class Unread(msgspec.Struct, frozen=True):
    """A part of an artifact that could not be read.

    Args:
        path: The JSON path of the field: `$.nodes["model.shop.orders"].tags`.
        unique_id: The node that is lost by it, if known.
    """

    path: str
    unique_id: str = ""

    def __str__(self) -> str:
        # a result is identified by its position, and any other part by its key
        is_result = self.unique_id and self.path.startswith("$.results[")
        return f"`{self.path}`" + (f" of `{self.unique_id}`" if is_result else "")


class NotAnObjectError(ValueError):
    """A JSON value that is not an object."""


class Decoder:
    """Decodes a JSON object part by part.

    Args:
        content: The content of the file.

    Attributes:
        unread: The parts that could not be read.

    Raises:
        NotAnObjectError: It is another JSON value.
        ValueError: It is not JSON.
    """

    def __init__(self, content: bytes) -> None:
        self.unread: list[Unread] = []
        try:
            self._parts: _Entries = _decoded(content, _Entries)
        except msgspec.ValidationError as error:
            raise NotAnObjectError("This is not a JSON object.") from error
        except _ERRORS as error:
            raise ValueError("This is not JSON.") from error

    def part(self, name: str, kind: type[_T]) -> _T | None:
        """Return a field of the artifact; None if it is missing, null, or cannot be read."""
        return cast(_T | None, self._read(self._parts.get(name, _NULL), kind | None, f"$.{name}"))

    def entries(self, name: str, kind: type[_T]) -> dict[str, _T] | None:
        """Return the entries of a section that can be read; None if the artifact lacks it."""
        section = self.part(name, _Entries)
        if section is None:
            return None
        found = ((key, self._read(raw, kind, f"$.{name}", key)) for key, raw in section.items())
        return {key: entry for key, entry in found if entry is not None}

    def results(self, kind: type[_T]) -> tuple[_T, ...]:
        """Return the results that can be read."""
        found = self.part("results", list[msgspec.Raw])
        if found is None and not self.unread:
            self.unread.append(Unread("$.results"))
        read = (self._read(raw, kind, "$.results", i) for i, raw in enumerate(found or ()))
        return tuple(result for result in read if result is not None)

    def _read(self, raw: msgspec.Raw, kind: Any, path: str, key: str | int | None = None) -> Any:
        """Decode a part; note its path if it cannot be read."""
        try:
            return _decoded(raw, kind)
        except _ERRORS as error:
            where = "" if key is None else f"[{json.dumps(key, ensure_ascii=False)}]"
            unique_id = key if isinstance(key, str) else _unique_id(raw) if key is not None else ""
            self.unread.append(Unread(path + where + _place(error), unique_id))
        return None


class _Identified(msgspec.Struct):
    unique_id: str = ""


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _decoded(content: bytes | msgspec.Raw, kind: Any) -> Any:
    """Decode JSON, if need be as Python writes it: NaN becomes null, a lone surrogate a `?`."""
    decode = _decoder(kind).decode
    try:
        return decode(content)
    except _ERRORS:
        return decode(_standard(bytes(content)))


def _standard(content: bytes) -> bytes:
    value = json.loads(
        content.decode(errors="replace"),
        parse_constant=lambda _: None,
        parse_float=_float,
        parse_int=_integer,
    )
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> float | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else _float(digits)


def _place(error: Exception) -> str:
    """Return the path of an error within its part; empty for the part itself."""
    text = str(error)
    place, missing = _PLACE.search(text), _MISSING.search(text)
    return (place[1] if place else "") + (f".{missing[1]}" if missing else "")


def _unique_id(raw: msgspec.Raw) -> str:
    """Return the unique id of a result that cannot be read, if it has one."""
    try:
        return str(_decoded(raw, _Identified).unique_id)
    except _ERRORS:
        return ""
