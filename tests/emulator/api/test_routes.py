"""Each route has one handler."""

from __future__ import annotations

from dlt_dbtcloud.emulator.api.account import Account
from dlt_dbtcloud.emulator.api.jobs import Jobs
from dlt_dbtcloud.emulator.api.resources import Resources
from dlt_dbtcloud.emulator.api.routes import ROUTES, url_map
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.api.variables import Variables
from dlt_dbtcloud.emulator.pages.handlers import Pages

GROUPS = (Account, Jobs, Pages, Resources, Runs, Variables)


def test_each_route_has_one_handler() -> None:
    for method, path, name in ROUTES:
        groups = [group for group in GROUPS if hasattr(group, name)]
        assert len(groups) == 1, f"{method} {path}: {name} is a method of {groups}"


def test_no_path_is_routed_twice() -> None:
    routes = [(method, path) for method, path, _ in ROUTES]
    assert len({*routes}) == len(routes)


def test_the_url_map_can_be_built_twice() -> None:
    first = url_map()
    url_map.cache_clear()
    assert repr(url_map()) == repr(first)
