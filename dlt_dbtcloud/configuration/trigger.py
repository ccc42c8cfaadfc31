"""The body of a trigger, from the config and the caller's `data`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from dlt.common import logger
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud.configuration.names import did_you_mean
from dlt_dbtcloud.configuration.spec import DBTCloudConfiguration
from dlt_dbtcloud.typing import TriggerData

__all__ = ["OVERRIDES", "trigger_data", "used_by_trigger"]


# the fields of a trigger that change the work of a run
OVERRIDES = tuple(name for name in TriggerData.__annotations__ if name != "cause")
_CONFIG_OVERRIDES = [name for name in OVERRIDES if name.endswith("_override")]
# the fields of a trigger that the config can set
_CONFIG_TRIGGER = ("cause", "git_sha", "git_branch", *_CONFIG_OVERRIDES)


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


def used_by_trigger(config: DBTCloudConfiguration, data: object) -> Iterator[str]:
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
    hints = {name: did_you_mean(name, TriggerData.__annotations__) for name in unknown}
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
            # JSON with a lone surrogate cannot be read
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` in `data` cannot be sent as JSON: {error}.") from None


def _are_commands(steps: object) -> bool:
    is_list = isinstance(steps, list | tuple) and bool(steps)
    return is_list and all(
        isinstance(step, str) and step.strip() for step in cast(list[Any], steps)
    )
