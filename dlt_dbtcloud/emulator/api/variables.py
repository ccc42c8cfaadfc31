"""Handlers of requests for environment variables.

API: https://docs.getdbt.com/dbt-cloud/api-v3#/operations/Create%20Projects%20Environment%20Variable
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers, bodies, definitions
from dlt_dbtcloud.emulator.api.resources import update
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.dbt.environment import OWNERS, ByScope, by_name, shown_value
from dlt_dbtcloud.emulator.defaults import VARIABLE
from dlt_dbtcloud.emulator.errors import bad_request, not_found
from dlt_dbtcloud.emulator.models import JSON, Definition
from dlt_dbtcloud.emulator.state import State

NAME = re.compile(r"DBT_[A-Za-z0-9_]+")
# keys of an item of a bulk request that name no environment
NAMES = frozenset({"name", "new_name"})

# a variable that exists, if there is one, and its fields after a request
Change = tuple[Definition | None, JSON]


class Variables:
    """Handlers that list, set and delete the environment variables of a project."""

    def __init__(self, state: State) -> None:
        self._state = state

    def list_job_variables(self, call: Call) -> Response:
        """Show the values of a job and those that they override, by name and scope."""
        job_id = _required_id(call, "job_definition_id")
        job = self._state.jobs.get(job_id)
        environment_id = job.fields["environment_id"] if job else None
        owners = {"environment": environment_id, "job": job_id}
        return answers.success(self._shown(call, owners), {})

    def list_user_variables(self, call: Call) -> Response:
        """Show the values of a user and those of the project, by name and scope."""
        owners = {"user": _required_id(call, "user_id")}
        return answers.success(self._shown(call, owners), {})

    def list_environment_variables(self, call: Call) -> Response:
        """Show the values of a project's environments, by name and environment."""
        environments = self._environments(self._project(call).id)
        shown: dict[str, JSON] = self._shown(call, {})
        names = {name: {"project": scopes["project"]} for name, scopes in shown.items()}
        for environment in environments.values():
            for name, scopes in self._shown(call, {"environment": environment.id}).items():
                values = names.setdefault(name, {})
                if "environment" in scopes:
                    values[environment.fields["name"]] = scopes["environment"]
        data = {"environments": ["project", *environments], "variables": names}
        return answers.success(data, {})

    def create_variable(self, call: Call) -> Response:
        """Set a variable of a project, an environment, a job or a user."""
        project = self._project(call)
        bodies.require(call.body, "name", "type", "raw_value")
        body = {**call.body, "project_id": project.id}
        fields = bodies.parse(body, bodies.VARIABLE)
        bodies.require(fields, OWNERS[fields["type"]])
        self._check(fields)
        return self._show(self._state.add_variable(call.account_id, fields))

    def update_variable(self, call: Call) -> Response:
        """Change the value of a variable."""
        variable = self._find(call)
        body = {key: call.body[key] for key in ("raw_value",) if key in call.body}
        update(variable, body, bodies.VARIABLE, VARIABLE)
        return self._show(variable)

    def delete_variable(self, call: Call) -> Response:
        """Delete one value of a variable."""
        del self._state.variables[self._find(call).id]
        return answers.no_content()

    def create_variables(self, call: Call) -> Response:
        """Set variables of a project and its environments, all of them or none.

        The official document describes a list of variables; other clients send one object.
        """
        self._project(call)
        body = call.body.get("env_var")
        items = body if isinstance(body, list) else [body]
        changes = [self._changes(call, _named(item, "new_name"), []) for item in items]
        if len({item["new_name"] for item in items}) < len(items):
            raise bad_request({"env_var": "names a variable twice"})
        made = [self._apply(call.account_id, change) for change in changes]
        if isinstance(body, list):
            return answers.success([_item(*pair) for pair in zip(items, made, strict=True)], {})
        return answers.success(made[0], {})

    def update_variables(self, call: Call) -> Response:
        """Change, add and delete the values of a variable, or rename it."""
        project = self._project(call)
        item = _named(call.body.get("env_vars"), "name")
        existing = [one for one in self._of_project(project) if _name(one) == item["name"]]
        if not existing:
            raise not_found()
        name = item.get("new_name") or item["name"]
        if name != item["name"] and name in map(_name, self._of_project(project)):
            raise bad_request({"new_name": f"{name} is already set here"})
        answer = self._apply(call.account_id, self._changes(call, item, existing))
        for one in existing:
            one.fields = {**one.fields, "name": name}
        return answers.success(answer, {})

    def delete_variables(self, call: Call) -> Response:
        """Delete all values of the variable that the body names."""
        project = self._project(call)
        bodies.require(call.body, "name")
        for one in self._of_project(project):
            if _name(one) == call.body["name"]:
                del self._state.variables[one.id]
        return answers.no_content()

    def _changes(self, call: Call, item: JSON, existing: list[Definition]) -> list[Change]:
        """Return the values of an item, each with the variable that has it now."""
        project = self._project(call)
        found: list[Change] = []
        for key in (key for key in item if key not in NAMES):
            variable, fields = self._target(project, key, item, existing)
            parsed = bodies.parse({**fields, "raw_value": item[key] or None}, bodies.VARIABLE)
            self._check(parsed, variable)
            found.append((variable, parsed))
        return found

    def _target(
        self, project: Definition, key: str, item: JSON, existing: list[Definition]
    ) -> Change:
        """Return the variable and fields for a key: an id, `project` or an environment."""
        if key.isdecimal():
            for variable in existing:
                if str(variable.id) == key:
                    return variable, variable.fields
            raise not_found()
        environment = self._environments(project.id).get(key)
        if key != "project" and environment is None:
            raise bad_request({key: "is not an environment of this project"})
        fields = {
            "name": item.get("new_name") or item["name"],
            "project_id": project.id,
            "type": "environment" if environment else "project",
            "environment_id": environment.id if environment else None,
        }
        for variable in existing:
            # its name may be about to change
            if _owner(variable.fields)[1:] == _owner(fields)[1:]:
                return variable, fields
        return None, fields

    def _apply(self, account_id: int, changes: list[Change]) -> JSON:
        """Set and delete values, and return the answer of a bulk request."""
        made: list[int] = []
        deleted: list[int] = []
        for variable, fields in changes:
            if variable is None and "raw_value" in fields:
                made.append(self._state.add_variable(account_id, fields).id)
            elif variable is not None and "raw_value" in fields:
                variable.fields = {**variable.fields, "raw_value": fields["raw_value"]}
            elif variable is not None:
                del self._state.variables[variable.id]
                deleted.append(variable.id)
        message = f"{len(made)} created, {len(deleted)} deleted"
        return {"message": message, "new_var_ids": made, "deleted_var_ids": deleted, "failures": {}}

    def _check(self, fields: JSON, variable: Definition | None = None) -> None:
        """Refuse a variable with an invalid name, a missing owner or a duplicate."""
        _check_name("name", fields["name"])
        # inferred: the service's answers to these are unknown
        tables: Mapping[str, Mapping[int, Definition]] = {
            "environment": self._state.environments,
            "job": self._state.jobs,
        }
        scope = fields["type"]
        if scope in tables:
            owner = tables[scope].get(fields[OWNERS[scope]])
            if owner is None or owner.fields["project_id"] != fields["project_id"]:
                raise not_found()
        for other in self._state.variables.values():
            if other is not variable and _owner(other.fields) == _owner(fields):
                raise bad_request({"name": f"{fields['name']} is already set here"})

    def _project(self, call: Call) -> Definition:
        key = int(call.path["project_id"])
        return self._state.find(self._state.projects, call.account_id, key)

    def _of_project(self, project: Definition) -> list[Definition]:
        variables = [*self._state.variables.values()]
        return [one for one in variables if one.fields["project_id"] == project.id]

    def _find(self, call: Call) -> Definition:
        project = self._project(call)
        variable = self._state.find(self._state.variables, call.account_id, call.id)
        if variable.fields["project_id"] != project.id:
            raise not_found()
        return variable

    def _environments(self, project_id: int) -> dict[str, Definition]:
        """Return the active environments of a project by name."""
        return {
            each.fields["name"]: each
            for each in self._state.environments.values()
            if each.fields["project_id"] == project_id and not each.is_deleted
        }

    def _shown(self, call: Call, owners: Mapping[str, int | None]) -> dict[str, JSON]:
        project = self._project(call)
        grouped = by_name(self._of_project(project), {"project": project.id, **owners})
        return {name: _shown_scopes(scopes) for name, scopes in grouped.items()}

    def _show(self, variable: Definition) -> Response:
        environment = self._state.environments.get(variable.fields["environment_id"])
        return answers.success(definitions.variable_payload(variable, environment))


def _shown_scopes(scopes: ByScope) -> JSON:
    return {scope: {"id": one.id, "value": shown_value(one)} for scope, one in scopes.items()}


def _required_id(call: Call, name: str) -> int:
    text = call.query.get(name, "")
    if not bodies.DIGITS.fullmatch(text):
        raise bad_request({name: f"{text!r} is not of type 'integer'"})
    return int(text)


def _named(item: Any, key: str) -> JSON:
    """Return an item of a bulk request, which names a variable."""
    if not isinstance(item, dict):
        raise bad_request("A variable is not a JSON object.")
    bodies.require(item, key)
    for name in NAMES:
        if item.get(name) is not None:
            _check_name(name, item[name])
    return item


def _check_name(field: str, name: Any) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise bad_request({field: "must begin with DBT_ and have letters, digits and _ only"})


def _item(item: JSON, answer: JSON) -> JSON:
    data = {key: answer[key] for key in ("message", "new_var_ids", "failures")}
    return {"status": "success", "status_code": 200, "key_name": item["new_name"], "data": data}


def _name(variable: Definition) -> str:
    return str(variable.fields["name"])


def _owner(fields: JSON) -> tuple[Any, ...]:
    """Return the name, scope and object of a variable, which no two have in common."""
    scope = fields["type"]
    return fields["name"], fields["project_id"], scope, fields.get(OWNERS[scope])
