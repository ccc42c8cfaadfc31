"""The `[dbt_cloud]` section: its spec, its resolution, and the trigger and client made from it."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import dlt
from dlt.common import logger
from dlt.common.configuration import configspec, resolve_configuration, with_config
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.configuration.inject import create_resolved_partial
from dlt.common.configuration.providers import ConfigTomlProvider, SecretsTomlProvider
from dlt.common.configuration.specs import BaseConfiguration, extract_inner_hint
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import deserialize_value
from dlt.common.exceptions import DltException
from dlt.common.typing import ConfigValueSentinel, TSecretStrValue

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.credentials import (
    BASE_URL,
    is_placeholder,
    valid_base_url,
    valid_id,
    valid_token,
)
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.exceptions import InvalidCredentialsException, without_frames
from dlt_dbtcloud.typing import TriggerData

__all__ = [
    "OVERRIDES",
    "DBTCloudConfiguration",
    "connect",
    "refuse_placeholders",
    "resolved_config",
    "trigger_data",
    "with_dbt_cloud_config",
]


_P = ParamSpec("_P")
_R = TypeVar("_R")

# the fields of a trigger that change the work of a run
OVERRIDES = tuple(name for name in TriggerData.__annotations__ if name != "cause")
_CONFIG_OVERRIDES = [name for name in OVERRIDES if name.endswith("_override")]
# the fields of a trigger that the config can set
_CONFIG_TRIGGER = ("cause", "git_sha", "git_branch", *_CONFIG_OVERRIDES)
# the fields that every call needs
_ALWAYS_USED = ("api_token", "account_id", "base_api_url")
# the ids that are arguments of helpers, too
_ARGUMENTS = ("job_id", "run_id")
_SECTION = "dbt_cloud"
# characters of a wrong name that is the beginning, or any part, of the name that was meant
_BEGINNING = 3
_PART = 5
_IDS = ("account_id", "job_id", "project_id", "environment_id", "run_id")


@configspec
class DBTCloudConfiguration(BaseConfiguration):
    """The `[dbt_cloud]` section of secrets.toml and config.toml, or `DBT_CLOUD__*`.

    An instance passed as `credentials` is never changed. Its fields win over the config, which
    supplies the fields that are not set.

    Raises:
        InvalidCredentialsException: On resolution: the token, an id or the host is unusable.
        ConfigurationValueError: On resolution: an option has an invalid value.
    """

    __section__: ClassVar[str] = _SECTION

    api_token: TSecretStrValue = dlt.secrets.value
    """A service token or a personal access token."""
    account_id: str | int | None = None
    """Like all ids, the digits in the URLs of dbt Cloud; a resolved config has them as `str`."""
    base_api_url: str = BASE_URL
    """The account's Access URL, with or without `/api`."""

    job_id: str | int | None = None
    project_id: str | int | None = None
    environment_id: str | int | None = None
    run_id: str | int | None = None

    cause: str = "Triggered via API"
    """Why the job runs, shown in dbt Cloud; at most 255 characters."""
    git_sha: str | None = None
    git_branch: str | None = None
    """Used if there is no `git_sha`."""
    schema_override: str | None = None
    dbt_version_override: str | None = None
    target_name_override: str | None = None
    threads_override: int | None = None
    timeout_seconds_override: int | None = None
    generate_docs_override: bool | None = None
    steps_override: list[str] | None = None
    """dbt commands to run in place of the job's."""

    wait_for_outcome: bool = True
    wait_seconds: float = 10.0
    """Longest pause between two status checks, in seconds; 0 for the shortest, one second."""
    timeout: float = 86400.0
    """Longest wait for the end of a run, in seconds."""
    cancel_on_abandon: bool = False
    raise_on_failure: bool = False
    retries: int = 0
    """How often to retry a run that failed."""

    only_loaded: bool = False
    reuse_queued_run: bool = False

    __given_fields__: frozenset[str] = dataclasses.field(
        default=frozenset(), init=False, repr=False, compare=False
    )
    """The fields passed on creation: a value that is passed may equal the default."""
    __placeholder_fields__: frozenset[str] = dataclasses.field(
        default=frozenset(), init=False, repr=False, compare=False
    )
    """The fields that count as not set, because their value is a placeholder."""

    def __new__(cls, *args: Any, **kwargs: Any) -> DBTCloudConfiguration:
        """Remember which fields are passed."""
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        with _suggesting(cls.__name__, signature, kwargs):
            passed = signature.bind_partial(self, *args, **kwargs).arguments
        self.__given_fields__ = frozenset(passed) - {"self"}
        return self

    def on_resolved(self) -> None:
        """Validate and normalize every value.

        Raises:
            InvalidCredentialsException: The token, an id or the host is unusable.
            ConfigurationValueError: An option has an invalid value.
        """
        texts = {name: value.strip() for name, value in self.items() if isinstance(value, str)}
        self.__placeholder_fields__ = frozenset(
            filter(lambda name: is_placeholder(texts[name]), texts)
        )
        refuse_placeholders(self, *_ALWAYS_USED)
        for name, text in texts.items():
            self[name] = None if name in self.__placeholder_fields__ else text or None
        self.api_token = valid_token(self.api_token)
        self.base_api_url = valid_base_url(self.base_api_url or BASE_URL)
        self.cause = self.cause or type(self).cause
        for name in _IDS:
            if self[name] is not None:
                self[name] = valid_id(name, self[name])
        if self.wait_seconds != 0:
            _check_seconds("wait_seconds", self.wait_seconds, "0 or a number of seconds above 0")
        _check_seconds("timeout", self.timeout, "a number of seconds above 0")
        if self.retries < 0:
            raise ConfigurationValueError(f"`retries={self.retries}` must be 0 or more.")


def with_dbt_cloud_config(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Resolve the config of a call and pass it to the function.

    An argument of the call wins over `credentials`, and `credentials` over the config: environment,
    secrets.toml, config.toml, defaults. `None` means not passed.

    Args:
        function: Has a parameter `credentials`, which receives the resolved config:
            `resolved_config` reads it. Parameters named like its fields receive their values.
    """
    signature = inspect.signature(function)
    injected = with_config(function, spec=DBTCloudConfiguration)

    def resolved_call(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Callable[[], _R]:
        with _suggesting(function.__name__, signature, kwargs):
            arguments = signature.bind(*args, **kwargs).arguments
        _warn_of_unknown_keys()
        fields = _fields_of(arguments.pop("credentials", None), signature)
        given = {**_given(fields), **_given(arguments)}
        config = resolve_configuration(DBTCloudConfiguration(), explicit_value=given)
        if "data" in signature.parameters:
            refuse_placeholders(config, *_used_by_trigger(config, arguments.get("data")))
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
        variables = " and ".join(f"`DBT_CLOUD__{name.upper()}`" for name in missing)
        arguments = " and ".join(f"`{name}=…`" for name in missing if name in _ARGUMENTS)
        others = {*missing} - {*_ARGUMENTS}
        passed = [*([arguments] if arguments else []), *(["`credentials`"] if others else [])]
        raise InvalidCredentialsException(
            f"{keys} {'is' if len(missing) == 1 else 'are'} missing. Pass {' and '.join(passed)} "
            f"to the call, or set {keys} under `[dbt_cloud]` in `.dlt/secrets.toml`, or "
            f"{variables} in the environment."
        )
    return cast(DBTCloudConfiguration, credentials)


def refuse_placeholders(
    credentials: DBTCloudConfiguration | Mapping[str, Any], *names: str
) -> None:
    """Refuse placeholders of a template in the fields that a call uses.

    Raises:
        InvalidCredentialsException: One of the fields has a placeholder.
    """
    found: frozenset[str] = getattr(credentials, "__placeholder_fields__", frozenset())
    if found.isdisjoint(names):
        return
    keys = " and ".join(f"`{name}`" for name in _fields() if name in found)
    raise InvalidCredentialsException(
        f"Still a placeholder: {keys}. Set the needed values under `[dbt_cloud]` in "
        "`.dlt/secrets.toml`, or as `DBT_CLOUD__*`, and remove the rest."
    )


def trigger_data(
    config: DBTCloudConfiguration, data: TriggerData | Mapping[str, Any] | None = None
) -> TriggerData:
    """Return the body of a trigger, from the config and the caller's `data`.

    Args:
        config: The resolved config.
        data: Fields of `TriggerData`, which win over the config. `None` as a value drops the
            config's; `git_sha` or `git_branch` replaces both of the config's.

    Raises:
        TypeError: `data` is not a mapping, or a value in it is of a type that cannot be sent.
        ConfigurationValueError: A field of `data` is misspelt.
    """
    if not isinstance(data, Mapping | None):
        raise TypeError(f"`data` is a `{type(data).__name__}`. Pass a dict: `{{'cause': '…'}}`.")
    given = dict(data or {})
    body: dict[str, Any] = {"cause": config.cause}
    if not {"git_sha", "git_branch"} & given.keys():
        git = "git_sha" if config.git_sha else "git_branch"
        body[git] = config[git]
    body |= {name: config[name] for name in _CONFIG_OVERRIDES}
    body |= given
    body["cause"] = str(body["cause"] or config.cause)
    _check_fields(body)
    return cast(TriggerData, {name: value for name, value in body.items() if value is not None})


def connect(config: DBTCloudConfiguration, clock: Clock = time) -> DBTCloudClientV2:
    """Return a client of the configured account."""
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url, clock=clock)


def _check_seconds(name: str, value: float, allowed: str) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationValueError(f"`{name}={value}` must be {allowed}.")


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
    unknown = [str(key) for key in credentials if key not in _fields()]
    if unknown:
        hints = "".join(_did_you_mean(key, _fields()) for key in unknown)
        raise InvalidCredentialsException(
            f"`credentials` has unknown keys: {', '.join(unknown)}.{hints} "
            f"Known keys: {', '.join(_fields())}."
        )
    return credentials


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are set for fields, converted to the fields' types.

    Ids are not converted: a boolean or a fraction must not become an id.
    """
    return {
        name: value if name in _IDS else deserialize_value(name, value, extract_inner_hint(hint))
        for name, hint in _fields().items()
        if (value := values.get(name)) is not None and not isinstance(value, ConfigValueSentinel)
    }


@functools.cache
def _fields() -> dict[str, type]:
    return DBTCloudConfiguration.get_resolvable_fields()


def _used_by_trigger(config: DBTCloudConfiguration, data: object) -> Iterator[str]:
    """Yield the fields of the config that the `data` of a trigger does not replace."""
    given = data.keys() if isinstance(data, Mapping) else set()
    git = {"git_sha", "git_branch"}
    replaced = {*given, *(git if git & given else ()), *(["git_branch"] if config.git_sha else ())}
    yield from (name for name in _CONFIG_TRIGGER if name not in replaced)


def _check_fields(body: Mapping[str, Any]) -> None:
    """Check the fields of a trigger before it is sent.

    Raises:
        TypeError: A value is of a type that cannot be sent.
        ConfigurationValueError: A field is misspelt.
    """
    unknown = sorted(str(name) for name in body if name not in TriggerData.__annotations__)
    hints = {name: _did_you_mean(name, TriggerData.__annotations__) for name in unknown}
    for name, hint in hints.items():
        if hint:
            raise ConfigurationValueError(f"`data` has no field `{name}`.{hint}")
    if unknown:
        logger.warning(f"Unknown fields in `data` are sent unchanged: {', '.join(unknown)}.")
    steps = body.get("steps_override")
    if steps is not None and not _are_commands(steps):
        raise TypeError(
            "`steps_override` is not a list of commands. Pass one command per item, such as "
            "`['dbt run', 'dbt test']`, or omit it to run the commands of the job."
        )
    for name, value in body.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` in `data` cannot be sent as JSON: {error}.") from None


def _are_commands(steps: object) -> bool:
    is_list = isinstance(steps, list | tuple) and bool(steps)
    return is_list and all(
        isinstance(step, str) and step.strip() for step in cast(list[Any], steps)
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that a wrong name resembles, or nothing."""
    alike = {_squeezed(other): other for other in known}
    word = _squeezed(name)
    close = difflib.get_close_matches(word, alike, n=1, cutoff=0.75)
    # `threads` for `threads_override`, `branch` for `git_branch`
    close += [other for other in alike if other.startswith(word) and len(word) >= _BEGINNING]
    close += [other for other in alike if word in other and len(word) >= _PART]
    return f" Did you mean `{alike[close[0]]}`?" if close else ""


def _squeezed(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


@contextmanager
def _suggesting(callee: str, signature: inspect.Signature, given: Iterable[str]) -> Iterator[None]:
    """Add the names of the callee and of the intended argument to a `TypeError`."""
    try:
        yield
    except TypeError as error:
        known = [name for name in signature.parameters if name != "self"]
        hints = (_did_you_mean(name, known) for name in given if name not in known)
        hint = next(hints, "")
        raise TypeError(f"`{callee}`: {error}.{hint}") from None


def _warn_of_unknown_keys() -> None:
    """Warn once of each key of the section that is probably misspelt."""
    prefix = f"{_SECTION}__".upper()
    for name in os.environ:
        key = name.removeprefix(prefix)
        if key != name and "__" not in key:
            _warn_of_key(key.lower(), f"`{name}` in the environment")
    for provider in Container()[PluggableRunContext].providers.providers:
        if isinstance(provider, ConfigTomlProvider | SecretsTomlProvider):
            section, _ = provider.get_value(_SECTION, dict, "")
            for key, value in section.items() if isinstance(section, Mapping) else ():
                if not isinstance(value, Mapping):
                    _warn_of_key(key, f"`{key}` under `[{_SECTION}]` in `{provider.name}`")


@functools.cache
def _warn_of_key(key: str, place: str) -> None:
    hint = "" if key in _fields() else _did_you_mean(key, _fields())
    if hint:
        logger.warning(f"{place} is not a known key.{hint}")
