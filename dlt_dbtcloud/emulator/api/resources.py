"""Handlers of account, project and environment requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers, bodies, definitions, queries
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.defaults import ENVIRONMENT, PROJECT, apply_changes
from dlt_dbtcloud.emulator.errors import not_found
from dlt_dbtcloud.emulator.models import DELETED, JSON, Definition
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.emulator.times import now


class Resources:
    """Handlers that list, show and change accounts, projects and environments."""

    def __init__(self, state: State) -> None:
        self._state = state

    def list_accounts(self, call: Call) -> Response:
        """List the accounts that the token may see."""
        selection = queries.parse(call.query, queries.ACCOUNTS)
        accounts = [self._state.account(key) for key in sorted(self._state.visible)]
        rows = [(filter_fields(item), definitions.account_payload(item)) for item in accounts]
        return answers.listing(queries.select(selection, rows), selection)

    def get_account(self, call: Call) -> Response:
        """Show an account."""
        account = self._state.account(call.account_id)
        return answers.success(definitions.account_payload(account))

    def list_projects(self, call: Call) -> Response:
        """List the projects of an account."""
        selection = queries.parse(call.query, queries.PROJECTS)
        found = self._in_account(call, self._state.projects)
        rows = [(filter_fields(item), item) for item in found]
        page = queries.select(selection, rows)
        described = [self._describe_project(item, selection.include) for item in page.items]
        shown = queries.Page(described, page.total_count)
        return answers.listing(shown, selection, account_id=call.account_id)

    def get_project(self, call: Call) -> Response:
        """Show a project."""
        project = self._state.find(self._state.projects, call.account_id, call.id)
        include = queries.included(call.query)
        return answers.success(self._describe_project(project, include))

    def create_project(self, call: Call) -> Response:
        """Create a project."""
        self._state.account(call.account_id)
        bodies.require(call.body, "name")
        fields = bodies.parse(call.body, bodies.PROJECT)
        project = self._state.add_project(call.account_id, fields, None)
        return answers.success(definitions.project_payload(project))

    def update_project(self, call: Call) -> Response:
        """Change a project."""
        project = self._find_active(call, self._state.projects)
        update(project, call.body, bodies.PROJECT, PROJECT)
        return answers.success(definitions.project_payload(project))

    def delete_project(self, call: Call) -> Response:
        """Mark a project as deleted."""
        project = self._find_active(call, self._state.projects)
        mark_deleted(project)
        return answers.success(definitions.project_payload(project))

    def list_environments(self, call: Call) -> Response:
        """List the environments of the account or project in the path."""
        selection = queries.parse(call.query, queries.ENVIRONMENTS)
        project_id = call.path.get("project_id")
        rows = [
            (filter_fields(item), definitions.environment_payload(item))
            for item in self._in_account(call, self._state.environments)
            if project_id in (None, item.fields["project_id"])
        ]
        page = queries.select(selection, rows)
        return answers.listing(page, selection, account_id=call.account_id)

    def get_environment(self, call: Call) -> Response:
        """Show an environment."""
        environment = self._state.find(self._state.environments, call.account_id, call.id)
        return answers.success(definitions.environment_payload(environment))

    def create_environment(self, call: Call) -> Response:
        """Create an environment."""
        body = {**call.body, "project_id": call.path.get("project_id", call.body.get("project_id"))}
        bodies.require(body, "name", "project_id")
        fields = bodies.parse(body, bodies.ENVIRONMENT)
        self._state.find(self._state.projects, call.account_id, fields["project_id"])
        environment = self._state.add_environment(call.account_id, fields)
        return answers.success(definitions.environment_payload(environment))

    def update_environment(self, call: Call) -> Response:
        """Change an environment."""
        environment = self._find_active(call, self._state.environments)
        update(environment, call.body, bodies.ENVIRONMENT, ENVIRONMENT)
        return answers.success(definitions.environment_payload(environment))

    def delete_environment(self, call: Call) -> Response:
        """Mark an environment as deleted."""
        environment = self._find_active(call, self._state.environments)
        mark_deleted(environment)
        return answers.success(definitions.environment_payload(environment))

    def _describe_project(self, project: Definition, include: frozenset[str]) -> JSON:
        environments = [
            each
            for each in self._state.environments.values()
            if each.fields["project_id"] == project.id and not each.is_deleted
        ]
        return definitions.project_payload(
            project, environments if "environments" in include else ()
        )

    def _in_account(self, call: Call, table: Mapping[int, Definition]) -> list[Definition]:
        self._state.account(call.account_id)
        return [item for item in table.values() if item.account_id == call.account_id]

    def _find_active(self, call: Call, table: Mapping[int, Definition]) -> Definition:
        return require_active(self._state.find(table, call.account_id, call.id))


def filter_fields(item: Definition) -> dict[str, Any]:
    """Return the fields that lists filter and order by."""
    dates = {"created_at": item.created_at, "updated_at": item.updated_at}
    return {**item.fields, **dates, "id": item.id}


def require_active(item: Definition) -> Definition:
    """Return a definition unless it is deleted (inferred: deleted ones are read-only).

    Raises:
        ApiError: 404, if it is deleted.
    """
    if item.is_deleted:
        raise not_found()
    return item


def update(item: Definition, body: JSON, fields: bodies.Fields, defaults: JSON) -> None:
    """Change the fields of a definition that the body names."""
    nulls = [name for name in fields if name in body and body[name] is None]
    item.fields = apply_changes(defaults, item.fields, bodies.parse(body, fields), nulls)
    item.updated_at = now()


def mark_deleted(item: Definition) -> None:
    """Mark a definition as deleted."""
    item.fields = {**item.fields, "state": DELETED}
    item.updated_at = now()
