"""Handlers of requests for the token's user and for lists that are always empty."""

from __future__ import annotations

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api import answers, definitions, queries
from dlt_dbtcloud.emulator.api.routes import Call
from dlt_dbtcloud.emulator.errors import not_found
from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.emulator.state import State


class Account:
    """Handlers that show the only user, and empty lists."""

    def __init__(self, state: State) -> None:
        self._state = state

    def show_current_user(self, _: Call) -> Response:
        """Show the user of the token."""
        return answers.success({"user": self._user()})

    def list_users(self, call: Call) -> Response:
        """List the only user of an account."""
        self._state.account(call.account_id)
        selection = queries.parse(call.query, queries.USERS)
        user = definitions.user_payload(self._state.user, call.account_id)
        page = queries.select(selection, [(user, user)])
        return answers.listing(page, selection, account_id=call.account_id)

    def get_user(self, call: Call) -> Response:
        """Show a user."""
        self._check_user(call.id)
        return answers.success(self._user())

    def get_account_user(self, call: Call) -> Response:
        """Show a user of an account."""
        self._state.account(call.account_id)
        self._check_user(call.id)
        return answers.success(definitions.account_user_payload(self._state.user))

    def list_user_credentials(self, call: Call) -> Response:
        """List no development credentials; profiles contain the credentials of dbt."""
        self._check_user(int(call.path["user_id"]))
        selection = queries.parse(call.query, queries.USERS)
        return answers.listing(queries.Page([], 0), selection)

    def list_connections(self, call: Call) -> Response:
        """List no connections; profiles contain the connections of dbt."""
        return self._list_none(call, queries.CONNECTIONS)

    def list_repositories(self, call: Call) -> Response:
        """List no repositories; dbt projects are folders."""
        return self._list_none(call, queries.REPOSITORIES)

    def list_groups(self, call: Call) -> Response:
        """List no groups of users."""
        return self._list_none(call, queries.GROUPS)

    def list_audit_logs(self, call: Call) -> Response:
        """List no audit logs."""
        return self._list_none(call, queries.AUDIT_LOGS)

    def _list_none(self, call: Call, listing: queries.Listing) -> Response:
        self._state.account(call.account_id)
        if "project_id" in call.path:
            key = call.path["project_id"]
            self._state.find(self._state.projects, call.account_id, key)
        selection = queries.parse(call.query, listing)
        return answers.listing(queries.Page([], 0), selection, account_id=call.account_id)

    def _user(self) -> JSON:
        return definitions.user_payload(self._state.user, *sorted(self._state.visible))

    def _check_user(self, user_id: int) -> None:
        if user_id != self._state.user.id:
            raise not_found()
