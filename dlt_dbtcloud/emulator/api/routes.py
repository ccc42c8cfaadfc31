"""Registration of the API's routes, and the calls that their handlers receive.

API: https://docs.getdbt.com/dbt-cloud/api-v2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.api.queries import Query
from dlt_dbtcloud.emulator.models import JSON

# clients read accounts, projects and environments through either version
ANY_VERSION = "<any(v2, v3):version>"

_rules: list[Rule] = []


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


H = TypeVar("H", bound=Callable[[Any, Call], Response])


def route(method: str, *paths: str, version: str = "v2") -> Callable[[H], H]:
    """Register a method as the handler of requests, under its name.

    Args:
        method: The HTTP method.
        paths: Paths below an account, or absolute paths, which start with a slash.
        version: The API version.

    Returns:
        The decorator.
    """
    account = f"/api/{version}/accounts/<int:account_id>/"

    def register(handler: H) -> H:
        for path in paths:
            url = path if path.startswith("/") else account + path
            _rules.append(Rule(url, methods=[method], endpoint=handler.__name__))
        return handler

    return register


@cache
def url_map() -> Map:
    """Return the map from URLs to names of handlers, which is slow to build.

    A path without its last slash is redirected (308), and `//` is not a path of the API.
    """
    # copies, as a rule belongs to one map and two threads may build one each
    return Map([rule.empty() for rule in _rules], merge_slashes=False)


def endpoints() -> list[str]:
    """Return the names of the handlers."""
    return sorted({str(rule.endpoint) for rule in _rules})
