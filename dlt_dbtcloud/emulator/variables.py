"""Environment variables of projects, environments and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlt_dbtcloud.emulator.models import Definition

# scopes of a job's variables; each overrides the ones before it
SCOPES = ("project", "environment", "job")
# the field with the object that a variable of a scope belongs to
OWNERS = {
    "project": "project_id",
    "environment": "environment_id",
    "job": "job_definition_id",
    "user": "user_id",
}
SECRET_PREFIX = "DBT_ENV_SECRET_"  # noqa: S105 - a public prefix
MASK = "**********"

ByScope = dict[str, Definition]


def by_name(
    variables: Iterable[Definition], owners: Mapping[str, int | None]
) -> dict[str, ByScope]:
    """Group variables by name and scope.

    Args:
        variables: The variables of an account.
        owners: The id of the object by scope, for the scopes to return. A project is required.
    """
    found: dict[str, ByScope] = {}
    for variable in variables:
        scope = variable.fields["type"]
        if (
            scope in owners
            and variable.fields["project_id"] == owners["project"]
            and variable.fields[OWNERS[scope]] == owners[scope]
        ):
            found.setdefault(variable.fields["name"], {})[scope] = variable
    return found


def values_for_run(
    variables: Iterable[Definition], owners: Mapping[str, int | None]
) -> dict[str, str]:
    """Return the values for a run, of which the job's override those of its environment."""
    grouped = by_name(variables, owners)
    return {
        name: next(
            scopes[scope].fields["raw_value"] for scope in reversed(SCOPES) if scope in scopes
        )
        for name, scopes in grouped.items()
    }


def shown_value(variable: Definition) -> str:
    """Return the value as the API shows it; the value of a secret is masked."""
    if variable.fields["name"].startswith(SECRET_PREFIX):
        return MASK
    return str(variable.fields["raw_value"])
