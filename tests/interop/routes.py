"""The routes that each client calls, and their table in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from dlt_dbtcloud.emulator.api.routes import url_map
from dlt_dbtcloud.emulator.http import RecordedRequest

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
BEGIN = "<!-- `make interop` checks this table -->"
CALLED = "x"
# the account of most paths, which the table omits
ACCOUNT = "accounts/{account_id}/"

# the routes that each client calls, by its name
Calls = Mapping[str, frozenset["Route"]]


@dataclass(frozen=True, order=True)
class Route:
    """A route of the API, such as `GET v2 jobs/{id}/`, below its account.

    Args:
        method: The HTTP method.
        path: The version, and the path below the account.
    """

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def route_of(request: RecordedRequest) -> Route | None:
    """Return the route of a request, or None for a redirected or an unknown path."""
    urls = url_map().bind("127.0.0.1")
    try:
        rule, path = urls.match(request.path, request.method, return_rule=True)
    except (RequestRedirect, HTTPException):
        return None
    text = str(rule.rule).replace("<any(v2, v3):version>", str(path.get("version")))
    text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", text).removeprefix("/api/")
    version, _, below = text.partition("/")
    return Route(request.method, f"{version} {below.removeprefix(ACCOUNT) or ACCOUNT}")


def render(calls: Calls) -> list[str]:
    """Return the lines of the table of routes and clients."""
    clients = list(calls)
    lines = [_row("route", clients), _row("---", [":-:"] * len(clients))]
    for route in sorted({each for routes in calls.values() for each in routes}, key=_order):
        cells = [CALLED if route in calls[name] else "" for name in clients]
        lines.append(_row(f"`{route}`", cells))
    return lines


def parse(lines: Iterable[str]) -> Calls:
    """Read a table that `render` wrote."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    if not rows:
        return {}
    clients = rows[0][1:]
    calls: dict[str, set[Route]] = {name: set() for name in clients}
    for row in rows[2:]:
        method, _, path = row[0].strip("`").partition(" ")
        for name, cell in zip(clients, row[1:], strict=True):
            if cell == CALLED:
                calls[name].add(Route(method, path))
    return {name: frozenset(routes) for name, routes in calls.items()}


def documented() -> list[str]:
    """Return the lines of the table in the documentation."""
    _, table, _ = _split()
    return table


def write(lines: Iterable[str]) -> None:
    """Replace the table in the documentation."""
    before, _, after = _split()
    PAGE.write_text("\n".join([*before, *lines, *after]) + "\n")


def _split() -> tuple[list[str], list[str], list[str]]:
    lines = PAGE.read_text().splitlines()
    # a blank line ends the marker's own block
    start = lines.index(BEGIN) + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append(line)
    return lines[:start], table, lines[start + len(table) :]


def _row(first: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"


def _order(route: Route) -> tuple[str, str]:
    return route.path.partition(" ")[2], str(route)
