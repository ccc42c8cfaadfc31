"""Named connections: sections `[dbt_cloud.NAME]` that win over `[dbt_cloud]`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import LookupTrace, ValueNotSecretException
from dlt.common.configuration.providers import ConfigProvider, EnvironProvider
from dlt.common.configuration.providers.doc import BaseDocProvider
from dlt.common.configuration.specs import extract_inner_hint
from dlt.common.configuration.specs.base_configuration import is_secret_hint
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import deserialize_value

from dlt_dbtcloud.client.credentials import is_loopback, is_placeholder, shown, valid_base_url
from dlt_dbtcloud.configuration.names import did_you_mean
from dlt_dbtcloud.exceptions import InvalidCredentialsException

__all__ = [
    "SECTION",
    "configured_tokens",
    "connection_fields",
    "connection_traces",
    "file_sections",
    "first_set",
    "is_set",
    "known_connections",
    "line_that_sets",
    "misplaced_settings",
    "prefix_of",
    "section_of",
    "valid_connection",
]


SECTION = "dbt_cloud"
# set by the fixture `dbt_cloud`: a connection in a file then has the account of `[dbt_cloud]`,
# unless it is that of an emulator
_EMULATED = "DBT_CLOUD_EMULATED"
_ACCOUNT = frozenset({"api_token", "account_id", "base_api_url"})
# sections that are written for `[dbt_cloud]`
_MISSPELT = ("dbtcloud", "dbt-cloud", "dbtCloud", "DBT_CLOUD", "dbt.cloud", "dbt", "dbt_platform")
_MISPLACED = (*_MISSPELT, "sources.dbt_cloud", "destination.dbt_cloud", "credentials.dbt_cloud")

_QUOTE = '"'
# environment variables separate sections by `__`
_NAME = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*", re.ASCII)


def section_of(connection: str | None) -> str:
    """Return the section of a connection as it is written in a file."""
    return f"[{SECTION}.{connection}]" if connection else f"[{SECTION}]"


def prefix_of(connection: str | None) -> str:
    """Return the beginning of a connection's environment variables."""
    return "__".join([*_path(connection), ""]).upper()


def valid_connection(value: object) -> str:
    """Return the name of a connection.

    Raises:
        InvalidCredentialsException: It cannot be the name of a section.
    """
    if not isinstance(value, str):
        meant = "Did you mean `credentials=…`? " if isinstance(value, Mapping) else ""
        raise InvalidCredentialsException(
            f"`connection` is a `{type(value).__name__}`. {meant}Pass the name of a section: "
            f'`connection="prod"` reads `{section_of("prod")}`.',
            "connection",
        )
    name = value.strip()
    if not _NAME.fullmatch(name):
        raise InvalidCredentialsException(
            f"`connection={shown(value)}` is not the name of a section: it may contain letters and "
            "digits, with single `_` or `-` between them.",
            "connection",
        )
    return name


def connection_fields(name: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return the fields that a connection sets, converted to their types.

    Args:
        name: The connection.
        fields: The fields of the spec with their types.

    Raises:
        InvalidCredentialsException: There is no such connection, or it is the name of a field.
        ValueNotSecretException: A secret is in a file that is not for secrets.
        ConfigValueCannotBeCoercedException: A value does not fit its type.
    """
    found = {
        field: _value(field, hint, name) for field, hint in fields.items() if field != "connection"
    }
    values = {
        field: deserialize_value(field, value, extract_inner_hint(fields[field]))
        for field, (value, _) in found.items()
        if value is not None
    }
    if not values or name in fields:
        _require_known(name, fields)
    if os.environ.get(_EMULATED) and not _is_local(values.get("base_api_url")):
        in_files = {field for field in _ACCOUNT if not isinstance(found[field][1], EnvironProvider)}
        return {field: value for field, value in values.items() if field not in in_files}
    return values


def connection_traces(name: str, field: str, hint: type) -> Iterator[LookupTrace]:
    """Yield the places that were searched for a field, for dlt's own error."""
    for provider in _providers():
        if provider.supports_secrets or not is_secret_hint(hint):
            _, key = provider.get_value(field, hint, "", *_path(name))
            yield LookupTrace(provider.name, [*_path(name)], key, None)


def first_set(*names: str) -> str | None:
    """Return the name that is set in the first place that sets any."""
    for provider in _providers():
        for name in names:
            value, _ = provider.get_value(name, str, "", SECTION)
            if is_set(value):
                return name
    return None


def configured_tokens(*above: str | None) -> list[str]:
    """Return the tokens in all places, those of connections and pipelines included.

    Args:
        *above: The names of connections, and of pipelines that may have sections of their own.
    """
    names = [name for name in above if name]
    paths = [(SECTION,), *((SECTION, name) for name in names), *((name, SECTION) for name in names)]
    found = [
        provider.get_value("api_token", str, "", *path)[0]
        for provider in _providers()
        for path in paths
    ]
    return [*dict.fromkeys(str(each).strip() for each in found if is_set(each))]


def is_set(value: object) -> bool:
    """Return whether a value is neither empty nor a placeholder."""
    return value is not None and bool(str(value).strip()) and not is_placeholder(str(value))


def line_that_sets(
    name: str,
    value: str,
    connection: str | None = None,
    given: Iterable[str] = (),
    *,
    beside: str | None = None,
) -> str:
    """Return the line that sets a field, in the place of its present value.

    Args:
        name: The field.
        value: Its new value, as in a file.
        connection: The connection in use.
        given: The fields that the caller passes.
        beside: The field in whose place to set it.
    """
    placed = beside or name
    if placed in given:
        return f"`{name}={value}` in the call"
    for section in dict.fromkeys((connection, None)):
        for provider in _providers():
            found, _ = provider.get_value(placed, str, "", *_path(section))
            if found is None:
                continue
            if isinstance(provider, EnvironProvider):
                variable = f"{prefix_of(section)}{name.upper()}"
                return f"`{variable}={value.strip(_QUOTE)}` in the environment"
            file = _file(provider, placed, section)
            return f"`{name} = {value}` under `{section_of(section)}` in `{file}`"
    return f"`{name} = {value}` under `{section_of(connection)}` in `.dlt/secrets.toml`"


def file_sections(connection: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the section of a connection in each file, with the name of the file."""
    for provider in _providers():
        if isinstance(provider, BaseDocProvider):
            yield provider.name, _section(provider, *_path(connection))


def misplaced_settings(fields: Iterable[str]) -> list[str]:
    """Return sentences about variables and sections that were probably meant for `[dbt_cloud]`.

    Args:
        fields: The fields of the spec.
    """
    prefix = prefix_of(None)
    meant = {_letters(prefix + name): f"{prefix}{name.upper()}" for name in fields}
    variables = [
        f"`{name}` in the environment is not read: name it `{meant[_letters(name)]}`."
        for name in sorted(os.environ)
        if _letters(name) in meant and not name.startswith(prefix)
    ]
    sections = [
        f"`[{section}]` in `{provider.name}` is not read: name it `{section_of(None)}`."
        for provider in _providers()
        if isinstance(provider, BaseDocProvider)
        for section in _MISPLACED
        if not {*_section(provider, *section.split("."))}.isdisjoint(fields)
    ]
    return [*variables, *sections]


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _section(provider: BaseDocProvider, *path: str) -> Mapping[str, Any]:
    *above, key = path
    section, _ = provider.get_value(key, dict, "", *above)
    return section if isinstance(section, Mapping) else {}


def _require_known(name: str, fields: Iterable[str]) -> None:
    known = known_connections(fields)
    if name in known:
        return
    problem = f"There is no `connection={shown(name)}`.{did_you_mean(name, known)}"
    if name in fields:
        problem = f"`connection={shown(name)}` is a key of `{section_of(None)}`, not a connection."
    listed = ", ".join(f"`{each}`" for each in known) or "none"
    raise InvalidCredentialsException(
        f"{problem} Known connections: {listed}. To add one, write a section like "
        f"`{section_of('prod')}` into `.dlt/secrets.toml`, or set variables like "
        f"`{prefix_of('prod')}API_TOKEN`.",
        "connection",
    )


def known_connections(fields: Iterable[str]) -> list[str]:
    """Return the names of the connections in files and the environment.

    Args:
        fields: The fields of the spec, which are not connections.
    """
    found = {
        key
        for _, section in file_sections()
        for key, value in section.items()
        if isinstance(value, Mapping)
    }
    prefix = prefix_of(None)
    for variable in os.environ:
        name, _, key = variable.removeprefix(prefix).lower().partition("__")
        if variable.startswith(prefix) and key in fields:
            found.add(name)
    return sorted(found.difference(fields))


def _is_local(url: object) -> bool:
    """Return whether a URL leads to an emulator; it is validated with the other fields."""
    with suppress(InvalidCredentialsException):
        return isinstance(url, str) and is_loopback(urlsplit(valid_base_url(url)).hostname)
    return False


def _value(field: str, hint: type, connection: str) -> tuple[Any, ConfigProvider | None]:
    for provider in _providers():
        value, key = provider.get_value(field, hint, "", *_path(connection))
        if value is None:
            continue
        if is_secret_hint(hint) and not provider.supports_secrets:
            raise ValueNotSecretException(provider.name, key)
        return value, provider
    return None, None


def _file(provider: ConfigProvider, field: str, connection: str | None) -> str:
    """Return the file in which a provider finds a field."""
    # the lowest version of dlt does not know it
    locate = getattr(provider, "get_value_location", None)
    folder, _, name = (locate(field, "", *_path(connection)) if locate else "").rpartition(":")
    # dlt marks the files of its global folder
    return f"{'~/' if folder else ''}.dlt/{name or provider.name}"


def _path(connection: str | None) -> tuple[str, ...]:
    return (SECTION, connection) if connection else (SECTION,)


def _providers() -> list[ConfigProvider]:
    """Return dlt's providers of config in the order in which they win."""
    providers = Container()[PluggableRunContext].providers.providers
    return [provider for provider in providers if not provider.is_empty]
