"""The paths of the API, and the names of their handlers.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.queries import Query
from dlt_dbtcloud.emulator.models import JSON

# clients read accounts, projects and environments through either version
_ANY = "/api/<any(v2, v3):version>/accounts/"
_V2 = "/api/v2/accounts/"
_ACCOUNT = "<int:account_id>/"

_ROUTES = (
    (_ANY, "", "GET", "list_accounts"),
    (_ANY, _ACCOUNT, "GET", "get_account"),
    (_V2, _ACCOUNT + "jobs/", "GET", "list_jobs"),
    (_V2, _ACCOUNT + "jobs/", "POST", "create_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/", "GET", "get_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/", "POST", "update_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/", "DELETE", "delete_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/run/", "POST", "trigger_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/rerun/", "POST", "rerun_job"),
    (_V2, _ACCOUNT + "jobs/<int:id>/artifacts/<path:name>", "GET", "get_job_artifact"),
    (_V2, _ACCOUNT + "runs/", "GET", "list_runs"),
    (_V2, _ACCOUNT + "runs/<int:id>/", "GET", "get_run"),
    (_V2, _ACCOUNT + "runs/<int:id>/cancel/", "POST", "cancel_run"),
    (_V2, _ACCOUNT + "runs/<int:id>/retry/", "GET", "get_failure_details"),
    (_V2, _ACCOUNT + "runs/<int:id>/retry/", "POST", "retry_run"),
    (_V2, _ACCOUNT + "runs/<int:id>/artifacts/", "GET", "list_artifacts"),
    (_V2, _ACCOUNT + "runs/<int:id>/artifacts/<path:name>", "GET", "get_artifact"),
    (_V2, _ACCOUNT + "steps/<int:id>/", "GET", "get_step"),
)
_VARIABLES = "/api/v3/accounts/<int:account_id>/projects/<int:id>/environment-variables/job/"
_NESTED = _ACCOUNT + "projects/<int:project_id>/environments/"
PAGE = "show_run"


@cache
def url_map() -> Map:
    """Build the map from paths to the names of handlers, which takes longer than all else.

    A path without its last slash is redirected (308); `//` is no path of the API.
    """
    return Map([*_rules()], merge_slashes=False)


def endpoints() -> list[str]:
    """List the names of the handlers."""
    return sorted({str(rule.endpoint) for rule in _rules()})


def _rules() -> Iterator[Rule]:
    for version, path, method, endpoint in _ROUTES:
        yield Rule(version + path, methods=[method], endpoint=endpoint)
    yield from _crud(_ACCOUNT + "projects/", "project")
    yield from _crud(_ACCOUNT + "environments/", "environment")
    yield from _crud(_NESTED, "environment")
    yield Rule(_VARIABLES, methods=["GET"], endpoint="list_job_variables")
    page = "/deploy/<int:account_id>/projects/<int:project_id>/runs/<int:id>/"
    yield Rule(page, methods=["GET"], endpoint=PAGE)


def _crud(path: str, noun: str) -> Iterator[Rule]:
    one = path + "<int:id>/"
    yield Rule(_ANY + path, methods=["GET"], endpoint=f"list_{noun}s")
    yield Rule(_ANY + path, methods=["POST"], endpoint=f"create_{noun}")
    yield Rule(_ANY + one, methods=["GET"], endpoint=f"get_{noun}")
    yield Rule(_ANY + one, methods=["POST"], endpoint=f"update_{noun}")
    yield Rule(_ANY + one, methods=["DELETE"], endpoint=f"delete_{noun}")


@dataclass(frozen=True)
class Call:
    """The path's parts, the query and the body of a request."""

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


Handler = Callable[[Call], Response]
