"""The spec of the `[dbt_cloud]` section."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import dlt
from dlt.common.configuration import configspec
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.runtime.collector import (  # type: ignore[attr-defined]  # as in dlt 1.20
    Collector,
)
from dlt.common.typing import TSecretStrValue

from dlt_dbtcloud.client.credentials import (
    BASE_URL,
    is_placeholder,
    valid_base_url,
    valid_id,
    valid_token,
)
from dlt_dbtcloud.configuration.connections import (
    SECTION,
    connection_fields,
    first_set,
    is_set,
    prefix_of,
    section_of,
    valid_connection,
)
from dlt_dbtcloud.configuration.names import suggesting
from dlt_dbtcloud.configuration.variables import check_variables
from dlt_dbtcloud.exceptions import InvalidCredentialsException

__all__ = [
    "IDS",
    "PROGRESS",
    "Collector",
    "DBTCloudConfiguration",
    "fields_of_spec",
    "refuse_placeholders",
]


IDS = ("account_id", "job_id", "project_id", "environment_id", "run_id")
# the collectors of dlt that show progress
PROGRESS = ("log", "tqdm", "enlighten", "alive_progress")

# the fields that every call needs
_ALWAYS_USED = ("api_token", "account_id", "base_api_url")


@configspec
class DBTCloudConfiguration(BaseConfiguration):
    """The `[dbt_cloud]` section of secrets.toml and config.toml, or `DBT_CLOUD__*`.

    An instance passed as `credentials` is never changed. Its fields win over the config, which
    supplies the fields that are not set.

    Raises:
        InvalidCredentialsException: On resolution: the token, an id or the host is unusable.
        ConfigurationValueError: On resolution: an option has an invalid value.
    """

    __section__: ClassVar[str] = SECTION

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
    raise_on_warning: bool = False
    """Whether to raise if a run succeeded with tests that warn, or with stale sources."""
    retries: int = 0
    """How often to retry a run that failed."""

    progress: str | None = None
    """How to show the progress of a run: one of `PROGRESS`. Calls also take a collector."""

    only_loaded: bool = False
    reuse_queued_run: bool = False
    additional_vars: dict[str, Any] | None = None
    """Variables for dbt; the load fills `{load_id}`, `{pipeline_name}` and `{tables}`."""

    job_name: str | None = None
    """The name of the job, if there is no `job_id`."""
    connection: str | None = None
    """The name of a section `[dbt_cloud.NAME]`, which wins over `[dbt_cloud]`."""

    __given_fields__: frozenset[str] = dataclasses.field(
        default=frozenset(), init=False, repr=False, compare=False
    )
    """The fields passed on creation: a value that is passed may equal the default."""
    __collector__: Any = dataclasses.field(default=None, init=False, repr=False, compare=False)
    """The collector of dlt that the caller passed as `progress`."""
    __placeholder_fields__: frozenset[str] = dataclasses.field(
        default=frozenset(), init=False, repr=False, compare=False
    )
    """The fields that count as not set, because their value is a placeholder."""

    def __new__(cls, *args: Any, **kwargs: Any) -> DBTCloudConfiguration:
        """Remember which fields are passed."""
        self = super().__new__(cls)
        signature = _signature_of(cls)
        with suggesting(cls.__name__, signature, kwargs):
            passed = signature.bind_partial(self, *args, **kwargs).arguments
        self.__given_fields__ = frozenset(passed) - {"self"}
        return self

    def on_resolved(self) -> None:
        """Apply the connection, then validate and normalize every value.

        Raises:
            InvalidCredentialsException: The token, an id or the host is unusable.
            ConfigurationValueError: An option has an invalid value.
        """
        self._apply_connection()
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
        for name in IDS:
            if self[name] is not None:
                self[name] = valid_id(name, self[name])
        if self.wait_seconds != 0:
            _check_seconds("wait_seconds", self.wait_seconds, "0 or a number of seconds above 0")
        _check_seconds("timeout", self.timeout, "a number of seconds above 0")
        if self.retries < 0:
            raise ConfigurationValueError(f"`retries={self.retries}` must be 0 or more.")
        if self.progress is not None and self.progress not in PROGRESS:
            names = ", ".join(f"`{name}`" for name in PROGRESS)
            raise ConfigurationValueError(
                f"`progress={self.progress!r}` must be one of {names}, or a collector of dlt."
            )
        check_variables(self.additional_vars or {})

    def on_partial(self) -> None:
        """Resolve if the connection has the required fields."""
        self._apply_connection()
        if not self.is_partial():
            self.resolve()

    def _apply_connection(self) -> None:
        """Set the fields of the connection that the caller has not passed."""
        stored: dict[str, Any] = {}
        if self.connection is not None and self.connection.strip():
            self.connection = valid_connection(self.connection)
            stored = connection_fields(self.connection, fields_of_spec())
        for name in stored.keys() - self.__given_fields__:
            self[name] = stored[name]
        if is_set(self.job_name) and is_set(self.job_id) and self._names_job(stored):
            self.job_id = None

    def _names_job(self, stored: Mapping[str, Any]) -> bool:
        """Return whether the job's name wins over its id, which another place sets."""
        for place in (self.__given_fields__, stored):
            if "job_id" in place or "job_name" in place:
                return "job_id" not in place
        return first_set("job_id", "job_name") == "job_name"


@functools.cache
def fields_of_spec() -> dict[str, type]:
    """Return the fields of the spec with their types."""
    return DBTCloudConfiguration.get_resolvable_fields()


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
    keys = " and ".join(f"`{name}`" for name in fields_of_spec() if name in found)
    connection = credentials.get("connection")
    raise InvalidCredentialsException(
        f"Still a placeholder: {keys}. Set the needed values under `{section_of(connection)}` in "
        f"`.dlt/secrets.toml`, or as `{prefix_of(connection)}*`, and remove the rest.",
        *(name for name in fields_of_spec() if name in found),
    )


@functools.cache
def _signature_of(spec: type[BaseConfiguration]) -> inspect.Signature:
    return inspect.signature(spec.__init__)


def _check_seconds(name: str, value: float, allowed: str) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationValueError(f"`{name}={value}` must be {allowed}.")
