"""Embedded dbt Cloud: a server of the Administrative API v2 on loopback."""

from __future__ import annotations

from importlib.util import find_spec

try:
    import werkzeug  # noqa: F401, the message names the extra if it is missing

    # imported by the first request that needs it, as that takes longer than the server's start
    if find_spec("jsonschema") is None:
        raise ModuleNotFoundError("No module named 'jsonschema'", name="jsonschema")
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The embedded dbt Cloud needs {error.name}: install the `emulator` extra of "
        "dlt-dbtcloud, `pip install '.[emulator]'` in a checkout.",
        name=error.name,
    ) from error

from dlt_dbtcloud.emulator.http import RecordedRequest, UnhandledRequest
from dlt_dbtcloud.emulator.server import DBTCloudEmulator

__all__ = ["DBTCloudEmulator", "RecordedRequest", "UnhandledRequest"]
