"""Environment variables of dbt, and those of projects, environments and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlt_dbtcloud.emulator.models import JSON, DbtProject, Definition, Run

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

# dbt records variables with this prefix in its artifacts
METADATA_PREFIX = "DBT_ENV_CUSTOM_ENV_"
# the client's settings, and those that would override what keeps a run in its folder
REFUSED = ("DBT_CLOUD__", "DBT_ENGINE_")
# the category of a run of a pull request, by the field of its trigger
PULL_REQUESTS = {
    "github_pull_request_id": "github_pull_request",
    "gitlab_merge_request_id": "gitlab_merge_request",
    "azure_pull_request_id": "azure_pull_request",
}
# dbt's environment: plain logs, and no requests to other services
SETTINGS = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_VERSION_CHECK": "false",
    "DBT_USE_COLORS": "false",
    "DBT_USE_COLORS_FILE": "false",
    "DBT_LOG_FORMAT": "default",
    "DBT_QUIET": "false",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
}


def base_environment(
    project: DbtProject, inherited: Mapping[str, str], secret: str
) -> dict[str, str]:
    """Build the environment of the commands of a project, without the client's settings.

    Args:
        project: The dbt project.
        inherited: The environment of the emulator's process.
        secret: The API token, kept out of dbt's environment.
    """
    kept = {key: value for key, value in inherited.items() if secret not in value}
    return {**allowed(kept), **SETTINGS, **project.environ}


def allowed(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that may reach dbt."""
    return {name: value for name, value in variables.items() if not name.startswith(REFUSED)}


def clean(value: str) -> str:
    """Replace the characters that an environment variable cannot have."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def run_environment(run: Run, environment: Definition | None, secret: str) -> dict[str, str]:
    """Build the variables that describe a run, as the service sets them.

    dbt copies those with the prefix to `metadata.env` of its artifacts.

    Args:
        run: The run.
        environment: Its environment.
        secret: The API token, masked in the cause.
    """
    described = describe(run, environment, secret)
    return {
        prefix + name: value
        for prefix in ("", METADATA_PREFIX)
        for name, value in described.items()
    }


def describe(run: Run, environment: Definition | None, secret: str) -> dict[str, str]:
    """Describe a run as `metadata.env` of its artifacts does; see `run_environment`."""
    fields = environment.fields if environment else {}
    values = {
        "ACCOUNT_ID": run.job.account_id,
        "PROJECT_ID": run.job.fields["project_id"],
        "ENVIRONMENT_ID": run.job.fields["environment_id"],
        "ENVIRONMENT_NAME": fields.get("name", ""),
        "ENVIRONMENT_TYPE": _environment_type(fields),
        "JOB_ID": run.job.id,
        "RUN_ID": run.id,
        "RUN_REASON": run.trigger["cause"].replace(secret, "***"),
        "RUN_REASON_CATEGORY": _category(run.trigger),
    }
    return {f"DBT_CLOUD_{name}": clean(str(value)) for name, value in values.items()}


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


def _environment_type(fields: JSON) -> str:
    """Return `dev`, `staging` or `prod`; a general deployment environment has no type."""
    if fields.get("type") == "development":
        return "dev"
    return {"production": "prod", "staging": "staging"}.get(fields.get("deployment_type") or "", "")


def _category(trigger: JSON) -> str:
    """Return the documented category of the reason; calls of the API have none."""
    for name, category in PULL_REQUESTS.items():
        if trigger[name] is not None:
            return category
    return "scheduled" if trigger["cause_category"] == "scheduled" else "other"
