"""The `[dbt_cloud]` section: its spec, its resolution, and the trigger and client made from it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import dlt
from dlt.common import logger
from dlt.common.configuration import configspec, resolve_configuration, with_config
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.configuration.inject import create_resolved_partial
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
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.typing import TriggerData

__all__ = [
    "OVERRIDES",
    "DBTCloudConfiguration",
    "connect",
    "resolved_config",
    "trigger_data",
    "with_dbt_cloud_config",
]


_P = ParamSpec("_P")
_R = TypeVar("_R")

# the fields of a trigger that change the work of a run
OVERRIDES = tuple(name for name in TriggerData.__annotations__ if name != "cause")
_CONFIG_OVERRIDES = [name for name in OVERRIDES if name.endswith("_override")]
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

    __section__: ClassVar[str] = "dbt_cloud"

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
    """Longest pause between two status checks, in seconds."""
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

    def __new__(cls, *args: Any, **kwargs: Any) -> DBTCloudConfiguration:
        """Remember which fields are passed."""
        self = super().__new__(cls)
        passed = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs).arguments
        self.__given_fields__ = frozenset(passed) - {"self"}
        return self

    def on_resolved(self) -> None:
        """Validate and normalize every value.

        Raises:
            InvalidCredentialsException: The token, an id or the host is unusable.
            ConfigurationValueError: An option has an invalid value.
        """
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

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        arguments = signature.bind(*args, **kwargs).arguments
        given = {**_given(_fields_of(arguments.pop("credentials", None))), **_given(arguments)}
        config = resolve_configuration(DBTCloudConfiguration(), explicit_value=given)
        call = create_resolved_partial(injected, config)
        return cast(Callable[..., _R], call)(**{**arguments, "credentials": config})

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
    missing = [name for name in required if not credentials[name]]
    if missing:
        keys = " and ".join(f"`{name}`" for name in missing)
        variables = " and ".join(f"`DBT_CLOUD__{name.upper()}`" for name in missing)
        raise InvalidCredentialsException(
            f"{keys} {'is' if len(missing) == 1 else 'are'} missing. Set {keys} under "
            f"`[dbt_cloud]` in `.dlt/secrets.toml`, or {variables} in the environment, or pass "
            "`credentials` that contain it."
        )
    return cast(DBTCloudConfiguration, credentials)


def trigger_data(
    config: DBTCloudConfiguration, data: TriggerData | Mapping[str, Any] | None = None
) -> TriggerData:
    """Return the body of a trigger, from the config and the caller's `data`.

    Args:
        config: The resolved config.
        data: Fields of `TriggerData`, which win over the config. `None` as a value drops the
            config's; `git_sha` or `git_branch` replaces both of the config's.

    Raises:
        TypeError: `data` is not a mapping.
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
    unknown = body.keys() - TriggerData.__annotations__.keys()
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        logger.warning(f"Unknown fields in `data` are sent unchanged: {names}.")
    return cast(TriggerData, {name: value for name, value in body.items() if value is not None})


def connect(config: DBTCloudConfiguration, clock: Clock = time) -> DBTCloudClientV2:
    """Return a client of the configured account."""
    return DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url, clock=clock)


def _refuse_placeholders(texts: Mapping[str, str]) -> None:
    names = " and ".join(f"`{name}`" for name, text in texts.items() if is_placeholder(text))
    if names:
        raise InvalidCredentialsException(
            f"Still a placeholder: {names}. Set the needed values under `[dbt_cloud]` in "
            "`.dlt/secrets.toml`, or as `DBT_CLOUD__*`, and remove the rest."
        )


def _check_seconds(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationValueError(f"`{name}={value}` must be a number of seconds above 0.")


def _fields_of(credentials: object) -> Mapping[str, Any]:
    """Return the fields that are set in the `credentials` of a call."""
    if credentials is None or isinstance(credentials, ConfigValueSentinel):
        return {}
    if isinstance(credentials, BaseConfiguration):
        given = {*credentials.as_dict_nondefault(), *getattr(credentials, "__given_fields__", ())}
        is_whole = credentials.is_resolved()
        return {name: credentials[name] for name in credentials if is_whole or name in given}
    if not isinstance(credentials, Mapping):
        raise InvalidCredentialsException(
            f"`credentials` is a `{type(credentials).__name__}`. Pass a `DBTCloudConfiguration` or "
            "a dict of its fields, or omit it to read the config."
        )
    unknown = [str(key) for key in credentials if key not in _fields()]
    if unknown:
        raise InvalidCredentialsException(
            f"`credentials` has unknown keys: {', '.join(unknown)}. "
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
