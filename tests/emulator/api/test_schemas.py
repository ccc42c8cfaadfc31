"""Values are checked against the types of OpenAPI 3.0, and each wrong field gets its reason."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.emulator.api.schemas import BOOLEAN, INTEGER, NON_EMPTY, OBJECT, Schema, validate
from dlt_dbtcloud.emulator.errors import ApiError

SCHEMA: Schema = {
    "properties": {
        "id": INTEGER,
        "flag": BOOLEAN,
        "steps": {"type": "array", "items": NON_EMPTY},
        "settings": {**OBJECT, "properties": {"threads": INTEGER}},
    },
    "additionalProperties": False,
}


def test_valid_fields_are_accepted() -> None:
    validate({"id": 2**40, "flag": False, "steps": ["a"], "settings": {"threads": 1}}, SCHEMA)


def test_invalid_fields_answer_400_with_their_reasons() -> None:
    cases: list[tuple[Any, Any]] = [
        ({"id": 1.0}, {"id": "1.0 is not of type 'integer'"}),
        ({"id": True}, {"id": "True is not of type 'integer'"}),
        ({"flag": 0}, {"flag": "0 is not of type 'boolean'"}),
        ({"steps": ["", 1]}, {"steps": "'' is not a non-empty string"}),
        ({"settings": {"threads": "x"}}, {"threads": "'x' is not of type 'integer'"}),
        (
            {"flag": 0, "id": "x"},
            {"id": "'x' is not of type 'integer'", "flag": "0 is not of type 'boolean'"},
        ),
        (
            {"id": "x", "foo": 1},
            "Additional properties are not allowed ('foo' was unexpected)",
        ),
    ]
    for instance, data in cases:
        with pytest.raises(ApiError) as refused:
            validate(instance, SCHEMA)
        assert (refused.value.code, refused.value.data) == (400, data)
