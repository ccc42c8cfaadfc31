"""JSON schemas of query parameters and body fields, and their validation.

The dialect is OpenAPI 3.0's, and the service's messages are those of jsonschema.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from dlt_dbtcloud.emulator.errors import bad_request

if TYPE_CHECKING:
    from jsonschema import Draft4Validator, ValidationError

Schema = Mapping[str, Any]

BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
NON_NEGATIVE: Schema = {"type": "integer", "minimum": 0}
STRING: Schema = {"type": "string"}
NON_EMPTY: Schema = {"type": "string", "minLength": 1}
OBJECT: Schema = {"type": "object"}
STRINGS: Schema = {"type": "array", "items": NON_EMPTY}


def validate(instance: Mapping[str, Any], schema: Schema) -> None:
    """Check the parameters or the body of a request.

    Raises:
        ApiError: 400, with the reason for each field, or with a text for unknown fields.
    """
    reasons: dict[str, str] = {}
    for error in _validators()(schema).iter_errors(instance):
        fields = [name for name in error.path if isinstance(name, str)]
        if not fields:
            raise bad_request(error.message)
        reasons.setdefault(fields[-1], _reason(error))
    if reasons:
        raise bad_request(reasons)


def is_valid(instance: Any, schema: Schema) -> bool:
    """Return whether a value fits a schema."""
    return bool(_validators()(schema).is_valid(instance))


@cache
def _validators() -> type[Draft4Validator]:
    """Return the class of validators, whose import takes longer than the start of the server."""
    from jsonschema import Draft4Validator

    return Draft4Validator


def _reason(error: ValidationError) -> str:
    # inferred: the service's messages for these keywords are unknown
    if error.validator == "maxLength":
        return f"Ensure this field has no more than {error.validator_value} characters."
    if error.validator in ("minItems", "maxItems"):
        return f"{error.instance!r} needs two items"
    if isinstance(error.schema, Mapping) and "minLength" in error.schema:
        return f"{error.instance!r} is not a non-empty string"
    return str(error.message)
