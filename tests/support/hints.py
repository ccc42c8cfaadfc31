"""Memory of what dlt finds out about types, again for each field that it reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache, wraps
from types import ModuleType
from typing import Any

from dlt.common import typing, validation
from dlt.common.configuration.specs import base_configuration

__all__ = ["remember_types", "remembered"]

_Function = Callable[..., Any]

# functions whose results depend on their arguments alone, which are types and flags
_FUNCTIONS: list[tuple[ModuleType, list[str]]] = [
    (
        typing,
        [
            "extract_inner_type",
            "extract_type_if_modifier",
            "is_callable_type",
            "is_literal_type",
            "is_optional_type",
            "is_union_type",
        ],
    ),
    (
        base_configuration,
        [
            "extract_inner_hint",
            "is_base_configuration_inner_hint",
            "is_context_inner_hint",
            "is_credentials_inner_hint",
            "is_secret_hint",
        ],
    ),
]


def remember_types() -> None:
    """Let dlt inspect each type once, which is a fifth of the work of a load.

    A function that a version of dlt does not have is left out.
    """
    for module, names in _FUNCTIONS:
        for name in names:
            if found := getattr(module, name, None):
                _replace(name, found, remembered(found))
    if found := getattr(validation, "get_type_hints", None):
        # dlt passes the names of the type's own module
        validation.get_type_hints = _hints_of_types(found)  # type: ignore[attr-defined] # imported


def remembered(function: _Function) -> _Function:
    """Return a function that computes each result once, unless an argument has no hash."""
    known = cache(function)

    @wraps(function)
    def result(*args: Any, **options: Any) -> Any:
        try:
            return known(*args, **options)
        except TypeError:
            return function(*args, **options)

    return result


def _hints_of_types(get_type_hints: _Function) -> _Function:
    known: dict[Any, dict[str, Any]] = {}

    def hints(spec: Any, **options: Any) -> dict[str, Any]:
        if spec not in known:
            known[spec] = get_type_hints(spec, **options)
        return known[spec]

    return hints


def _replace(name: str, function: _Function, other: _Function) -> None:
    """Replace a function in all modules of dlt that have imported it."""
    for module in _modules():
        if vars(module).get(name) is function:
            setattr(module, name, other)


def _modules() -> Iterator[ModuleType]:
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "dlt":
            yield module
