"""The routes of the API, and the calls that their handlers receive.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from werkzeug.routing import IntegerConverter, Map, Rule

from dlt_dbtcloud.emulator.api.queries import Query
from dlt_dbtcloud.emulator.models import JSON

_V2 = "/api/v2/accounts/<int:account_id>/"
_V3 = "/api/v3/accounts/<int:account_id>/"
_VARIABLES = f"{_V3}projects/<int:project_id>/environment-variables/"
# clients read accounts, projects and environments through either version
_ANY = "/api/<any(v2, v3):version>/accounts/<int:account_id>/"

# the page of a run, for people
_RUN = "/deploy/<int:account_id>/projects/<int:project_id>/runs/<int:id>/"

# HTTP method, path, and the method of a class in this package that handles it
ROUTES = (
    # resources.py
    ("GET", "/api/<any(v2, v3):version>/accounts/", "list_accounts"),
    ("GET", _ANY, "get_account"),
    ("GET", f"{_ANY}projects/", "list_projects"),
    ("GET", f"{_ANY}projects/<int:id>/", "get_project"),
    ("POST", f"{_ANY}projects/", "create_project"),
    ("POST", f"{_ANY}projects/<int:id>/", "update_project"),
    ("DELETE", f"{_ANY}projects/<int:id>/", "delete_project"),
    ("GET", f"{_ANY}environments/", "list_environments"),
    ("GET", f"{_ANY}projects/<int:project_id>/environments/", "list_environments"),
    ("GET", f"{_ANY}environments/<int:id>/", "get_environment"),
    ("GET", f"{_ANY}projects/<int:project_id>/environments/<int:id>/", "get_environment"),
    ("POST", f"{_ANY}environments/", "create_environment"),
    ("POST", f"{_ANY}projects/<int:project_id>/environments/", "create_environment"),
    ("POST", f"{_ANY}environments/<int:id>/", "update_environment"),
    ("POST", f"{_ANY}projects/<int:project_id>/environments/<int:id>/", "update_environment"),
    ("DELETE", f"{_ANY}environments/<int:id>/", "delete_environment"),
    ("DELETE", f"{_ANY}projects/<int:project_id>/environments/<int:id>/", "delete_environment"),
    # account.py
    ("GET", "/api/v2/whoami/", "show_current_user"),
    ("GET", "/api/v2/users/<int:id>/", "get_user"),
    ("GET", f"{_ANY}users/", "list_users"),
    ("GET", f"{_V3}users/<int:id>/", "get_account_user"),
    ("GET", "/api/v3/users/<int:user_id>/credentials/", "list_user_credentials"),
    ("GET", f"{_ANY}connections/", "list_connections"),
    ("GET", f"{_ANY}projects/<int:project_id>/connections/", "list_connections"),
    ("GET", f"{_ANY}repositories/", "list_repositories"),
    ("GET", f"{_ANY}projects/<int:project_id>/repositories/", "list_repositories"),
    ("GET", f"{_ANY}groups/", "list_groups"),
    ("GET", f"{_ANY}audit-logs/", "list_audit_logs"),
    # variables.py
    ("GET", f"{_VARIABLES}job/", "list_job_variables"),
    ("GET", f"{_VARIABLES}environment/", "list_environment_variables"),
    ("GET", f"{_VARIABLES}user/", "list_user_variables"),
    ("POST", _VARIABLES, "create_variable"),
    ("POST", f"{_VARIABLES}<int:id>/", "update_variable"),
    ("DELETE", f"{_VARIABLES}<int:id>/", "delete_variable"),
    ("POST", f"{_VARIABLES}bulk/", "create_variables"),
    ("PUT", f"{_VARIABLES}bulk/", "update_variables"),
    ("DELETE", f"{_VARIABLES}bulk/", "delete_variables"),
    # jobs.py
    ("GET", f"{_V2}jobs/", "list_jobs"),
    ("GET", f"{_V2}jobs/<int:id>/", "get_job"),
    ("POST", f"{_V2}jobs/", "create_job"),
    ("POST", f"{_V2}jobs/<int:id>/", "update_job"),
    ("DELETE", f"{_V2}jobs/<int:id>/", "delete_job"),
    ("POST", f"{_V2}jobs/<int:id>/run/", "trigger_job"),
    ("POST", f"{_V2}jobs/<int:id>/rerun/", "rerun_job"),
    ("GET", f"{_V2}jobs/<int:id>/artifacts/<path:name>", "get_job_artifact"),
    # runs.py
    ("GET", f"{_V2}runs/", "list_runs"),
    ("GET", f"{_V2}runs/<int:id>/", "get_run"),
    ("POST", f"{_V2}runs/<int:id>/cancel/", "cancel_run"),
    ("GET", f"{_V2}runs/<int:id>/retry/", "get_failure_details"),
    ("POST", f"{_V2}runs/<int:id>/retry/", "retry_run"),
    ("GET", f"{_V2}steps/<int:id>/", "get_step"),
    ("GET", f"{_V2}runs/<int:id>/artifacts/", "list_artifacts"),
    ("GET", f"{_V2}runs/<int:id>/artifacts/<path:name>", "get_artifact"),
    # pages/handlers.py
    ("GET", "/", "show_overview"),
    ("GET", "/favicon.ico", "show_icon"),
    ("GET", _RUN, "show_run"),
    ("GET", f"{_RUN}steps/<int:step>/log.txt", "show_log"),
    ("GET", f"{_RUN}steps/<int:step>/dbt.log", "show_debug_log"),
    ("GET", f"{_RUN}steps/<int:step>/target/<path:name>", "show_file"),
)


@dataclass(frozen=True)
class Call:
    """The parameters of the path, the query and the body of a request."""

    path: Mapping[str, Any]
    query: Query
    body: JSON

    @property
    def account_id(self) -> int:
        """The account in the path."""
        return int(self.path["account_id"])

    @property
    def id(self) -> int:
        """The id in the path."""
        return int(self.path["id"])


class _IdConverter(IntegerConverter):
    """An id of up to 64 bits; older versions of werkzeug fail on thousands of digits."""

    regex = r"\d{1,19}"


@cache
def url_map() -> Map:
    """Return the map from URLs to names of handlers, which is slow to build.

    A path without its last slash is redirected (308), and `//` is not a path of the API.
    """
    rules = [Rule(path, methods=[method], endpoint=name) for method, path, name in ROUTES]
    return Map(rules, merge_slashes=False, converters={"int": _IdConverter})
