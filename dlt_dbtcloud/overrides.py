"""What a run overrides of its job: what the config says, and over it what the caller does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dlt.common import logger

from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.typing import TriggerData

__all__ = ["OVERRIDES", "trigger_data"]

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
