"""Findings, and the settings that repair them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigValueCannotBeCoercedException,
    ValueNotSecretException,
)

from dlt_dbtcloud.configuration import (
    DBTCloudConfiguration,
    fields_of_spec,
    known_connections,
    line_that_sets,
)
from dlt_dbtcloud.exceptions import InvalidCredentialsException
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import ConnectionReport, Finding

__all__ = ["Settings", "failed", "passed", "report", "unusable"]


# values of settings whose right value is not known
_EXAMPLES = {
    "account_id": "70403",
    "api_token": '"…"',
    "base_api_url": '"https://ab123.us1.dbt.com"',
    "connection": '"prod"',
    "job_id": "70471823",
    "job_name": '"Nightly"',
}


class Settings:
    """The places of a call's settings.

    Args:
        connection: The connection in use.
        given: The fields that the caller passes.
    """

    def __init__(self, connection: str | None = None, given: Iterable[str] = ()) -> None:
        self._connection = connection
        self._given = frozenset(given)

    def line(self, name: str, value: object = None, *, beside: str | None = None) -> str:
        """Return the line that sets a field.

        Args:
            name: The field.
            value: Its value, by default an example.
            beside: The field in whose place to set it.
        """
        text = _EXAMPLES.get(name, "…") if value is None else json.dumps(value)
        return line_that_sets(name, text, self._connection, self._given, beside=beside)


def passed(check: str, message: str) -> Finding:
    """Return a finding without a problem."""
    return {"check": check, "ok": True, "message": message, "fix": None}


def failed(check: str, message: str, fix: str) -> Finding:
    """Return a finding of a problem."""
    return {"check": check, "ok": False, "message": message, "fix": fix}


def report(findings: Iterable[Finding]) -> ConnectionReport:
    """Return the report of some findings."""
    found = [*findings]
    return {"ok": all(finding["ok"] for finding in found), "findings": found}


def unusable(error: Exception, settings: Settings) -> Finding:
    """Return the finding for a configuration that cannot be resolved."""
    # dlt quotes values
    message = redact(str(error))
    if isinstance(error, ConfigFieldMissingException):
        keys = [*error.fields]
        message = f"{' and '.join(f'`{key}`' for key in keys)} is not set."
    elif isinstance(error, ValueNotSecretException):
        return failed("configuration", message, "move this key into `.dlt/secrets.toml`")
    elif isinstance(error, ConfigValueCannotBeCoercedException):
        keys = [error.field_name]
    elif isinstance(error, InvalidCredentialsException):
        keys = error.keys
    else:
        keys = [name for name in fields_of_spec() if message.startswith(f"`{name}=")]
    if keys == ["connection"] and not known_connections(fields_of_spec()):
        return failed("configuration", message, "add `[dbt_cloud.prod]` to `.dlt/secrets.toml`")
    fix = " and ".join(settings.line(key, _default(key)) for key in keys)
    return failed("configuration", message, fix or "correct this setting; the message names it")


def _default(key: str) -> object:
    """Return a value that a field may have: a known connection, or its default."""
    if key == "connection":
        return next(iter(known_connections(fields_of_spec())), None)
    return None if key in _EXAMPLES else getattr(DBTCloudConfiguration, key, None)
