"""The resolution of a call's config, once per call."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from dlt.common import logger
from dlt.common.configuration import resolve_configuration, with_config
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.inject import create_resolved_partial
from dlt.common.configuration.specs import BaseConfiguration, extract_inner_hint
from dlt.common.configuration.utils import deserialize_value
from dlt.common.exceptions import DltException
from dlt.common.typing import ConfigValueSentinel

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.configuration.connections import (
    connection_traces,
    file_sections,
    misplaced_settings,
    prefix_of,
    section_of,
    valid_connection,
)
from dlt_dbtcloud.configuration.names import did_you_mean, suggesting
from dlt_dbtcloud.configuration.spec import (
    IDS,
    Collector,
    DBTCloudConfiguration,
    fields_of_spec,
    refuse_placeholders,
)
from dlt_dbtcloud.configuration.trigger import used_by_trigger
from dlt_dbtcloud.exceptions import InvalidCredentialsException, without_frames

__all__ = ["connect", "resolved_config", "with_dbt_cloud_config"]


_P = ParamSpec("_P")
_R = TypeVar("_R")

# the ids that are arguments of helpers, too
_ARGUMENTS = ("job_id", "run_id")


def with_dbt_cloud_config(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Resolve the config of a call and pass it to the function.

    An argument of the call wins over `credentials`, and `credentials` over the config: the section
    of a `connection`, environment, secrets.toml, config.toml, defaults. `None` means not passed.

    Args:
        function: Has a parameter `credentials`, which receives the resolved config:
            `resolved_config` reads it. Parameters named like its fields receive their values.
    """
    signature = inspect.signature(function)
    injected = with_config(function, spec=DBTCloudConfiguration)
    parameters = signature.parameters.items()
    defaults = _given({name: each.default for name, each in parameters if each.default is True})

    def resolved_call(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Callable[[], _R]:
        with suggesting(function.__name__, signature, kwargs):
            arguments = signature.bind(*args, **kwargs).arguments
        _warn_of_unknown_keys()
        fields = _fields_of(arguments.pop("credentials", None), signature)
        config = _resolve({**_given(fields), **_given(arguments)}, defaults)
        if "data" in signature.parameters:
            refuse_placeholders(config, *used_by_trigger(config, arguments.get("data")))
        progress = arguments.get("progress") or fields.get("progress")
        config.__collector__ = progress if isinstance(progress, Collector) else None
        call = cast(Callable[..., _R], create_resolved_partial(injected, config))
        return functools.partial(call, **{**arguments, "credentials": config})

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            call = resolved_call(args, kwargs)
        except (DltException, TypeError, ValueError) as error:
            raise without_frames(error) from error.__cause__
        finally:
            # a traceback that shows variables would show the caller's token
            del args, kwargs
        try:
            return call()
        except DltException as error:
            raise without_frames(error) from error.__cause__
        finally:
            del call

    return wrapper


def resolved_config(
    credentials: DBTCloudConfiguration | Mapping[str, Any], *required: str
) -> DBTCloudConfiguration:
    """Return the config that a function receives from `with_dbt_cloud_config`.

    Args:
        credentials: The function's argument of this name.
        required: The fields that the function needs.

    Raises:
        InvalidCredentialsException: A required field is not set.
    """
    refuse_placeholders(credentials, *required)
    missing = [name for name in required if not credentials[name]]
    if missing:
        keys = " and ".join(f"`{name}`" for name in missing)
        connection = credentials.get("connection")
        prefix = prefix_of(connection)
        variables = " and ".join(f"`{prefix}{name.upper()}`" for name in missing)
        arguments = " and ".join(f"`{name}=…`" for name in missing if name in _ARGUMENTS)
        others = {*missing} - {*_ARGUMENTS}
        passed = [*([arguments] if arguments else []), *(["`credentials`"] if others else [])]
        hints = "".join(f" {hint}" for hint in misplaced_settings(missing))
        raise InvalidCredentialsException(
            f"{keys} {'is' if len(missing) == 1 else 'are'} missing. Pass {' and '.join(passed)} "
            f"to the call, or set {keys} under `{section_of(connection)}` in "
            f"`.dlt/secrets.toml`, or {variables} in the environment.{hints}",
            *missing,
        )
    return cast(DBTCloudConfiguration, credentials)


def connect(config: DBTCloudConfiguration, clock: Clock = time) -> DBTCloudClientV2:
    """Return a client of the configured account."""
    return DBTCloudClientV2(
        config.api_token,
        config.account_id,
        config.base_api_url,
        clock=clock,
        connection=config.connection,
    )


def _fields_of(credentials: object, signature: inspect.Signature) -> Mapping[str, Any]:
    """Return the fields that are set in the `credentials` of a call."""
    if credentials is None or isinstance(credentials, ConfigValueSentinel):
        return {}
    if isinstance(credentials, BaseConfiguration):
        given = {*credentials.as_dict_nondefault(), *getattr(credentials, "__given_fields__", ())}
        is_whole = credentials.is_resolved()
        return {name: credentials[name] for name in credentials if is_whole or name in given}
    if not isinstance(credentials, Mapping):
        ids = [name for name in ("job_id", "run_id") if name in signature.parameters]
        is_id = isinstance(credentials, int) or str(credentials).isdecimal()
        meant = "".join(f" Did you mean `{name}=…`?" for name in ids[:1] if is_id)
        raise InvalidCredentialsException(
            f"`credentials` is a `{type(credentials).__name__}`.{meant} Pass a "
            "`DBTCloudConfiguration` or a dict of its fields, or omit it to read the config."
        )
    unknown = [str(key) for key in credentials if key not in fields_of_spec()]
    if unknown:
        hints = "".join(did_you_mean(key, fields_of_spec()) for key in unknown)
        raise InvalidCredentialsException(
            f"`credentials` has unknown keys: {', '.join(unknown)}.{hints} "
            f"Known keys: {', '.join(fields_of_spec())}."
        )
    return credentials


def _resolve(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> DBTCloudConfiguration:
    """Resolve the config of a call once, below the values that the caller passes.

    Args:
        given: The values that the caller passes.
        defaults: The defaults of the function, which win over those of the spec.

    Raises:
        ConfigFieldMissingException: No token is set; it lists the places of the connection as well.
    """
    config = DBTCloudConfiguration()
    for name, default in defaults.items():
        config[name] = default
    config.__given_fields__ = frozenset(given)
    try:
        return resolve_configuration(config, explicit_value=given)
    except ConfigFieldMissingException as error:
        for hint in misplaced_settings(fields_of_spec()):
            logger.warning(hint)
        if not config.connection:
            raise
        name, fields = config.connection, fields_of_spec()
        raise ConfigFieldMissingException(
            config,
            {
                field: [*connection_traces(name, field, fields[field]), *traces]
                for field, traces in error.traces.items()
            },
        ) from None
    finally:
        if config.connection:
            _warn_of_unknown_keys(config.connection)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are set for fields, converted to the fields' types.

    Ids are not converted: a boolean or a fraction must not become an id. A collector of dlt is not
    a value of the config.
    """
    return {
        name: _converted(name, value, hint)
        for name, hint in fields_of_spec().items()
        if (value := values.get(name)) is not None
        and not isinstance(value, ConfigValueSentinel | Collector)
    }


def _converted(name: str, value: Any, hint: type) -> Any:
    if name == "connection":
        return valid_connection(value)
    return value if name in IDS else deserialize_value(name, value, extract_inner_hint(hint))


def _warn_of_unknown_keys(connection: str | None = None) -> None:
    """Warn once of each key of a section that is probably misspelt."""
    prefix, place = prefix_of(connection), section_of(connection)
    for variable in os.environ:
        key = variable.removeprefix(prefix)
        if key != variable and "__" not in key:
            _warn_of_key(key.lower(), f"`{variable}` in the environment")
    for file, section in file_sections(connection):
        for key, value in section.items():
            if not isinstance(value, Mapping):
                _warn_of_key(key, f"`{key}` under `{place}` in `{file}`")


@functools.cache
def _warn_of_key(key: str, place: str) -> None:
    hint = "" if key in fields_of_spec() else did_you_mean(key, fields_of_spec())
    if hint:
        logger.warning(f"{place} is not a known key.{hint}")
