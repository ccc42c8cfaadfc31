"""Embedded dbt Cloud: a server of the Administrative API v2 on loopback."""

from __future__ import annotations

try:
    import jsonschema  # noqa: F401
    import werkzeug  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The embedded dbt Cloud needs {error.name}: install the `emulator` extra of "
        "dlt-dbtcloud, `pip install '.[emulator]'` in a checkout.",
        name=error.name,
    ) from error

from dlt_dbtcloud.emulator.http import RecordedRequest
from dlt_dbtcloud.emulator.server import DBTCloudEmulator

__all__ = ["DBTCloudEmulator", "RecordedRequest"]
