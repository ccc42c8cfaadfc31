"""JSON Schema of OpenLineage events, from the classes of the official client.

The classes are generated from the spec. Unlike the spec, the schema refuses unknown fields, to find
misspelt ones.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import generated
from openlineage.client.generated import base

FORMATS = {
    "eventTime": "date-time",
    "runId": "uuid",
    "producer": "uri",
    "_producer": "uri",
    "schemaURL": "uri",
    "_schemaURL": "uri",
    "uri": "uri",
}
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string", "minLength": 1},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}
CHECKER = FormatChecker()
BASES = {
    "run": base.RunFacet,
    "job": base.JobFacet,
    "facets": base.DatasetFacet,
    "inputFacets": base.InputDatasetFacet,
    "outputFacets": base.OutputDatasetFacet,
}


def validate(event: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError`, or `KeyError` for a facet that is not in the spec."""
    check(base.RunEvent, event)
    assert event["schemaURL"] == base.RunEvent._get_schema()
    facets = [("run", event["run"]["facets"]), ("job", event["job"]["facets"])]
    for dataset in (*event["inputs"], *event["outputs"]):
        facets += [(name, dataset[name]) for name in BASES if name in dataset]
    for owner, found in facets:
        for facet in found.values():
            check_facet(BASES[owner], facet)


def check_facet(base_class: type, facet: dict[str, Any]) -> None:
    _, _, name = facet["_schemaURL"].rpartition("/")
    known = classes()[name]
    assert issubclass(known, base_class), f"{name} is not a {base_class.__name__}"
    assert facet["_schemaURL"] == known._get_schema()  # type: ignore[attr-defined]  # every facet class has it
    check(known, facet)


def check(known: type, value: Any) -> None:
    root = {**_reference(known), "$defs": definitions()}
    Draft202012Validator(root, format_checker=CHECKER).validate(value)


@CHECKER.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    return datetime.fromisoformat(str(value)).tzinfo is not None


@CHECKER.checks("uri")
def is_uri(value: object) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]*", str(value)) is not None


@cache
def classes() -> dict[str, type]:
    """Return the classes of the spec's facets by name."""
    return {known.__name__: known for known in _generated() if issubclass(known, base.BaseFacet)}


@cache
def definitions() -> dict[str, Any]:
    return {_key(known): schema(known) for known in _generated()}


def _generated() -> list[type]:
    modules = pkgutil.iter_modules(generated.__path__, f"{generated.__name__}.")
    namespaces = [vars(importlib.import_module(module.name)) for module in modules]
    values = [value for namespace in namespaces for value in namespace.values()]
    return [value for value in values if isinstance(value, type) and attr.has(value)]


def _key(known: type) -> str:
    return f"{known.__module__}.{known.__qualname__}"


def _reference(known: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_key(known)}"}


def schema(known: type) -> dict[str, Any]:
    hints = get_type_hints(known)
    fields = attr.fields(known)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.default is attr.NOTHING],
        "properties": {field.name: _field(field.name, hints[field.name]) for field in fields},
    }


def _field(name: str, hint: Any) -> dict[str, Any]:
    form = FORMATS.get(name)
    return {**_type(hint), **({"format": form} if form else {})}


def _type(hint: Any) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        # None is not sent
        return {"anyOf": [_type(arg) for arg in args if arg is not type(None)]}
    if origin is list:
        return {"type": "array", "items": _type(args[0])}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(args[1])}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    return _reference(hint) if attr.has(hint) else PLAIN[hint]


def _value(hint: Any) -> dict[str, Any]:
    """Return the schema of a mapping's values; a facet is checked against its own class."""
    is_facet = isinstance(hint, type) and issubclass(hint, base.BaseFacet)
    return {"type": "object", "required": ["_producer", "_schemaURL"]} if is_facet else _type(hint)
