"""Variables that a run passes to dbt, with placeholders for its load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud.configuration.names import did_you_mean

__all__ = ["check_variables", "filled_variables", "placeholders_in"]


_KNOWN = ("load_id", "pipeline_name", "tables")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def check_variables(variables: object) -> None:
    """Check that variables can be passed to dbt, and that no placeholder is misspelt.

    Raises:
        ConfigurationValueError: They are not a mapping, a value is not JSON, a key is not a text,
            or a placeholder is misspelt.
    """
    if not isinstance(variables, Mapping):
        kind = type(variables).__name__
        raise ConfigurationValueError(
            f"`additional_vars` is a `{kind}`. Pass a dict: `{{'load_id': '{{load_id}}'}}`."
        )
    for name, value in variables.items():
        _check_json(name, value)
        for placeholder in _placeholders(value):
            hint = "" if placeholder in _KNOWN else did_you_mean(placeholder, _KNOWN)
            if hint:
                raise ConfigurationValueError(
                    f"`{name}` in `additional_vars` has no placeholder `{{{placeholder}}}`.{hint}"
                )


def placeholders_in(variables: Mapping[str, Any]) -> list[str]:
    """Return the names of the placeholders that a load fills, sorted."""
    return sorted({*_placeholders(variables)} & {*_KNOWN})


def filled_variables(variables: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with their placeholders filled, as plain JSON.

    Args:
        variables: The variables; a placeholder is a whole text, such as `{load_id}`.
        values: The values of placeholders, by name.
    """
    plain: dict[str, Any] = json.loads(json.dumps({**variables}))
    return {name: _filled(value, values) for name, value in plain.items()}


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    match = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return values.get(match[1], value) if match else value


def _placeholders(value: object) -> Iterator[str]:
    """Yield the name in each text that consists of a word in braces."""
    if isinstance(value, str):
        match = _PLACEHOLDER.fullmatch(value)
        yield from [match[1]] if match else []
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _placeholders(each)


def _check_json(name: object, value: object) -> None:
    wrong = f"`{name}` in `additional_vars` cannot be passed to dbt"
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = "it is not valid Unicode" if isinstance(error, UnicodeError) else error
        raise ConfigurationValueError(f"{wrong}: {reason}. Pass JSON.") from None
    if not isinstance(name, str) or not _has_text_keys(value):
        raise ConfigurationValueError(f"{wrong}: a key is not a text. Pass JSON.")


def _has_text_keys(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(each) for key, each in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))
