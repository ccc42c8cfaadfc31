"""The `--vars` of a dbt command: YAML, with more variables merged into it.

dbt Core reads YAML 1.1 and dbt Fusion YAML 1.2. What they read differently stays as it was written,
and what is added has one meaning in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import chain
from types import ModuleType
from typing import Any

__all__ = ["VariablesError", "merged_vars"]


_MAP = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"
_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_ONE_LINE = 2**31


class VariablesError(ValueError):
    """The `--vars` of a command cannot be read; the message is a predicate."""


def merged_vars(text: str | None, variables: Mapping[str, Any]) -> str:
    """Return the `--vars` of a command with more variables, as JSON if possible.

    Args:
        text: The `--vars` of the command; None if it has none.
        variables: The variables, as JSON. They replace those of the same name.

    Raises:
        VariablesError: The text is not a mapping in YAML.
    """
    yaml = _yaml()
    try:
        own = yaml.compose(text or "{}", Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise VariablesError("are not YAML") from error
    is_mapping = isinstance(own, yaml.MappingNode)
    if not is_mapping and own is not None and own.tag != _NULL:
        raise VariablesError("are not a mapping in YAML")
    pairs = [pair for pair in own.value if not _is_named(pair[0], variables)] if is_mapping else []
    try:
        _make_flow(yaml, *chain.from_iterable(pairs))
    except RecursionError:
        raise VariablesError("contain themselves") from None
    added = [(_node(yaml, name), _node(yaml, value)) for name, value in variables.items()]
    merged = yaml.MappingNode(_MAP, [*pairs, *added], flow_style=True)
    options = {"Dumper": yaml.SafeDumper, "width": _ONE_LINE, "allow_unicode": True}
    return str(yaml.serialize(merged, **options)).rstrip("\n")


def _is_named(key: Any, names: Mapping[str, Any]) -> bool:
    return key.tag == _TEXT and key.value in names


def _make_flow(yaml: ModuleType, *nodes: Any) -> None:
    """Let nodes be written in one line, and words as JSON."""
    for node in nodes:
        if isinstance(node, yaml.ScalarNode):
            is_word = node.tag == _TEXT and (
                node.value[:1].isalpha() or node.value[:1] in ("", "_")
            )
            node.style = '"' if is_word else node.style
            node.value = node.value or ("null" if node.tag == _NULL else "")
        else:
            node.flow_style = True
            is_mapping = isinstance(node, yaml.MappingNode)
            _make_flow(yaml, *(chain.from_iterable(node.value) if is_mapping else node.value))


def _node(yaml: ModuleType, value: Any) -> Any:
    """Return a JSON value as a node; PyYAML would write texts as plain words."""
    if isinstance(value, str):
        return yaml.ScalarNode(_TEXT, value, style='"')
    if isinstance(value, Mapping):
        pairs = [(_node(yaml, name), _node(yaml, each)) for name, each in value.items()]
        return yaml.MappingNode(_MAP, pairs, flow_style=True)
    if isinstance(value, list | tuple):
        return yaml.SequenceNode(_SEQUENCE, [_node(yaml, each) for each in value], flow_style=True)
    return yaml.compose(yaml.safe_dump(value), Loader=yaml.SafeLoader)


def _yaml() -> ModuleType:
    # dlt depends on PyYAML, which has no types
    return import_module("yaml")
