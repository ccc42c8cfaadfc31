"""The `[dbt_cloud]` section, and how a call's arguments and its config become one."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import dlt
from dlt.common import logger
from dlt.common.configuration import configspec, resolve_configuration, with_config
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.configuration.specs import BaseConfiguration, extract_inner_hint
from dlt.common.configuration.utils import deserialize_value
from dlt.common.typing import ConfigValueSentinel, TSecretStrValue

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.credentials import (
    BASE_URL,
    is_placeholder,
    valid_base_url,
    valid_id,
    valid_token,
)
from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.typing import TriggerData

__all__ = [
    "OVERRIDES",
    "DBTCloudConfiguration",
    "connect",
    "required",
    "trigger_data",
    "with_dbt_cloud_config",
]


_P = ParamSpec("_P")
_R = TypeVar("_R")

_IDS = ("account_id", "job_id", "project_id", "environment_id", "run_id")


@configspec
class DBTCloudConfiguration(BaseConfiguration):
    """The `[dbt_cloud]` section of secrets.toml and config.toml, or `DBT_CLOUD__*`.

    An instance that is passed as `credentials` is never changed: what is set in it wins over the
    config, what is not is filled in from there.

    Raises:
        InvalidCredentialsException: On resolution, where the token, an id or the host is unusable.
        ConfigurationValueError: On resolution, where an option has a value that it cannot have.
    """

    __section__: ClassVar[str] = "dbt_cloud"

    api_token: TSecretStrValue = dlt.secrets.value
    """A service token or a personal access token."""
    account_id: str | None = None
    """Digits, as in the URL of the account's pages; so are all the ids."""
    base_api_url: str = BASE_URL
    """The account's Access URL, with or without `/api`."""

    job_id: str | None = None
    project_id: str | None = None
    environment_id: str | None = None
    run_id: str | None = None

    cause: str = "Triggered via API"
    """Why the job runs, as its page will show it; the API takes 255 characters."""
    git_sha: str | None = None
    git_branch: str | None = None
    """Used where there is no `git_sha`."""
    schema_override: str | None = None
    dbt_version_override: str | None = None
    target_name_override: str | None = None
    threads_override: int | None = None
    timeout_seconds_override: int | None = None
    generate_docs_override: bool | None = None
    steps_override: list[str] | None = None
    """dbt commands to run in place of the job's own."""

    wait_for_outcome: bool = True
    wait_seconds: float = 10.0
    """Seconds between status checks, at most."""
    timeout: float = 86400.0
    """Seconds to wait for a run's end."""
    cancel_on_abandon: bool = False
    raise_on_failure: bool = False
    retries: int = 0
    """How often what failed is retried."""

    only_loaded: bool = False
    reuse_queued_run: bool = False

    __given__: frozenset[str] = dataclasses.field(
        default=frozenset(), init=False, repr=False, compare=False
    )
    """The fields that were given on creation, as one that is given may equal its default."""

    def __new__(cls, *args: Any, **kwargs: Any) -> DBTCloudConfiguration:
        """Remember which fields are given."""
        self = super().__new__(cls)
        self.__given__ = frozenset([*list(cls.get_resolvable_fields())[: len(args)], *kwargs])
        return self

    def on_resolved(self) -> None:
        """Check every value, and bring each into the one form that the rest works with."""
        texts = {name: value.strip() for name, value in self.items() if isinstance(value, str)}
        _refuse_placeholders(texts)
        for name, text in texts.items():
            self[name] = text or None
        self.api_token = valid_token(self.api_token)
        self.base_api_url = valid_base_url(self.base_api_url or BASE_URL)
        self.cause = self.cause or type(self).cause
        for name in _IDS:
            if self[name] is not None:
                self[name] = valid_id(name, self[name])
        _check_seconds("wait_seconds", self.wait_seconds)
        _check_seconds("timeout", self.timeout)
        if self.retries < 0:
            raise ConfigurationValueError(f"`retries={self.retries}` must be 0 or more.")


def required(config: DBTCloudConfiguration, *names: str) -> tuple[str, ...]:
    """Return the values of fields that a call cannot do without.

    Raises:
        InvalidCredentialsException: One of them is not set; says which, and how to set it.
    """
    missing = [name for name in names if not config[name]]
    if missing:
        keys = " and ".join(f"`{name}`" for name in missing)
        variables = " and ".join(f"`DBT_CLOUD__{name.upper()}`" for name in missing)
        raise InvalidCredentialsException(
            f"{keys} {'is' if len(missing) == 1 else 'are'} missing. Set {keys} under "
            f"`[dbt_cloud]` in `.dlt/secrets.toml`, or {variables} in the environment, or pass "
            "`credentials` that hold it."
        )
    return tuple(config[name] for name in names)


def with_dbt_cloud_config(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Inject the config into a function's arguments, `credentials` and all that are fields of it.

    An argument of the call wins over `credentials`, and that over the config: environment, then
    secrets.toml, then config.toml, then defaults. `None` means not given.

    Args:
        function: Takes `credentials`, which it gets as a resolved `DBTCloudConfiguration`.
    """
    signature = inspect.signature(function)
    injected = with_config(function, spec=DBTCloudConfiguration)

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        arguments = signature.bind(*args, **kwargs).arguments
        given = {**_given(_fields_of(arguments.pop("credentials", None))), **_given(arguments)}
        config = resolve_configuration(DBTCloudConfiguration(), explicit_value=given)
        return cast(Callable[..., _R], injected)(credentials=config, **arguments)

    return wrapper


def _fields_of(credentials: object) -> Mapping[str, Any]:
    """Return the fields that are set in what a caller passed as `credentials`."""
    if credentials is None or isinstance(credentials, ConfigValueSentinel):
        return {}
    if isinstance(credentials, BaseConfiguration):
        given = {*credentials.as_dict_nondefault(), *getattr(credentials, "__given__", ())}
        is_whole = credentials.is_resolved()
        return {name: credentials[name] for name in credentials if is_whole or name in given}
    if not isinstance(credentials, Mapping):
        raise InvalidCredentialsException(
            f"`credentials` is a `{type(credentials).__name__}`. Pass a `DBTCloudConfiguration` or "
            "a dict of its fields, or nothing to have it read from the config."
        )
    unknown = [str(key) for key in credentials if key not in _fields()]
    if unknown:
        raise InvalidCredentialsException(
            f"`credentials` has unknown keys: {', '.join(unknown)}. "
            f"Known are: {', '.join(_fields())}."
        )
    return credentials


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given for fields, with the types that dlt gives to what it reads.

    Ids stay as they are: a boolean or a fraction is no id and must not become one.
    """
    return {
        name: value if name in _IDS else deserialize_value(name, value, extract_inner_hint(hint))
        for name, hint in _fields().items()
        if (value := values.get(name)) is not None and not isinstance(value, ConfigValueSentinel)
    }


@functools.cache
def _fields() -> dict[str, type]:
    return DBTCloudConfiguration.get_resolvable_fields()


def _refuse_placeholders(texts: Mapping[str, str]) -> None:
    names = " and ".join(f"`{name}`" for name, text in texts.items() if is_placeholder(text))
    if names:
        raise InvalidCredentialsException(
            f"Still a placeholder: {names}. Fill in what the job needs under `[dbt_cloud]` in "
            "`.dlt/secrets.toml`, or as `DBT_CLOUD__*`, and leave out the rest."
        )


def _check_seconds(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationValueError(f"`{name}={value}` must be a number of seconds above 0.")


OVERRIDES = tuple(name for name in TriggerData.__annotations__ if name != "cause")
_OF_CONFIG = [name for name in OVERRIDES if name.endswith("_override")]


def trigger_data(
    config: DBTCloudConfiguration, data: Mapping[str, Any] | None = None
) -> TriggerData:
    """Return the body of a trigger: what the config says, and over it what the caller does.

    Args:
        config: The resolved config.
        data: Fields of `TriggerData`. `None` as a value leaves out what the config says; either of
            `git_sha` and `git_branch` replaces both of the config's.

    Raises:
        TypeError: `data` is no mapping.
    """
    if not isinstance(data, Mapping | None):
        raise TypeError(f"`data` is a `{type(data).__name__}`. Pass a dict: `{{'cause': '…'}}`.")
    given = dict(data or {})
    body: dict[str, Any] = {"cause": config.cause}
    if not {"git_sha", "git_branch"} & given.keys():
        git = "git_sha" if config.git_sha else "git_branch"
        body[git] = config[git]
    body |= {name: config[name] for name in _OF_CONFIG}
    body |= given
    body["cause"] = str(body["cause"] or config.cause)
    unknown = body.keys() - TriggerData.__annotations__.keys()
    if unknown:
        logger.warning(
            f"`data` holds fields that the trigger's documentation does not know, they are sent as "
            f"they are: {', '.join(sorted(map(str, unknown)))}"
        )
    return cast(TriggerData, {name: value for name, value in body.items() if value is not None})


def connect(config: DBTCloudConfiguration) -> DBTCloudClientV2:
    """Return a client of the account that a config names."""
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url)
