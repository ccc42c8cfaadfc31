"""The lineage leads from the loaded tables to the exposures, and groups many nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from dlt_dbtcloud.report import Execution, Load, LoadedTable, Node, RunHead, RunPage
from dlt_dbtcloud.report.rendering.content import Content
from dlt_dbtcloud.report.rendering.lineage import lineage_views
from dlt_dbtcloud.report.rendering.texts import Texts
from tests.support.reports.pages import BOARD, LATE, MART, ORDERS, STAGED, shop_page


def lineage_of(page: RunPage) -> Any:
    return lineage_views(Content(page, Texts()))


def views_of(page: RunPage) -> Any:
    return lineage_of(page)["views"]


def chain(count: int, folders: int) -> RunPage:
    nodes = [
        Node(
            *(f"model.shop.m{i}", f"m{i}", "model", "shop", None, f"models/{i % folders}"),
            parents=(f"model.shop.m{i - 1}",) if i else (),
        )
        for i in range(count)
    ]
    return RunPage(RunHead(1, "Success"), 0.0, nodes=tuple(nodes))


def test_a_run_without_a_project_has_no_lineage() -> None:
    assert views_of(RunPage(RunHead(1, "Success"), 0.0)) == []


def test_all_nodes_are_in_columns_from_the_table_to_the_exposure() -> None:
    page = shop_page()
    view = views_of(page)[0]
    ids = Content(page, Texts()).ids
    columns = {ids[item[3]]: item[0] for item in view["items"] if item[2] == 0}
    table = next(item for item in view["items"] if item[2] == 2)
    assert table[0] == 0
    assert table[3:] == ["orders", 12_345]
    assert [columns[key] for key in (ORDERS, STAGED, MART, LATE, BOARD)] == [1, 2, 3, 4, 5]
    assert not any(key.startswith("test.") for key in columns)


def test_edges_connect_items_by_their_positions() -> None:
    page = shop_page()
    view = views_of(page)[0]
    ids = Content(page, Texts()).ids
    items = [ids[item[3]] if item[2] == 0 else item[3] for item in view["items"]]
    edges = {(items[start], items[end]) for start, end, *_ in view["edges"]}
    assert {("orders", ORDERS), (ORDERS, STAGED), (MART, LATE), (LATE, BOARD)} <= edges


def test_folders_show_their_nodes_and_the_folders_around_them() -> None:
    page = shop_page()
    found = lineage_of(page)
    views = {view["key"]: view for view in found["views"]}
    groups = [found["groups"][item[3]] for item in views["folders"]["items"]]
    keys = {name: key for name, _, key in groups}
    assert {"source raw", "models/staging", "models/marts", "seeds", "models"} == {*keys}
    inside = views[keys["models/staging"]]
    around = [found["groups"][item[3]][0] for item in inside["items"] if item[2] == 1]
    assert sorted(around) == ["models/marts", "source raw"]
    assert sum(item[2] == 0 for item in inside["items"]) == 1


def test_a_project_of_several_packages_can_be_seen_by_package() -> None:
    page = shop_page()
    extra = Node("model.audit.log", "log", "model", "audit", "models/log.sql", "models")
    found = lineage_of(shop_page(nodes=(*page.nodes, extra)))
    packages = next(view for view in found["views"] if view["key"] == "packages")
    names = [found["groups"][item[3]][0] for item in packages["items"]]
    assert sorted(names) == ["audit", "shop"]


def test_many_folders_around_a_large_one_share_its_nodes() -> None:
    page = chain(2_000, 1)
    others = [
        Node(
            *(f"model.shop.o{i}", f"o{i}", "model", "shop", None, f"models/other/{i}"),
            parents=("model.shop.m0",),
        )
        for i in range(300)
    ]
    found = lineage_of(replace(page, nodes=(*page.nodes, *others)))
    assert sum(len(numbers) for _, numbers, _ in found["groups"]) == 2_300
    assert len(json.dumps(found)) < 400_000


def test_many_nodes_are_shown_by_folder_first() -> None:
    assert views_of(chain(100, 4))[0]["key"] == "nodes"
    assert views_of(chain(400, 4))[0]["key"] == "folders"


def test_very_many_nodes_are_shown_by_folder_only() -> None:
    found = lineage_of(chain(3_000, 5))
    keys = [view["key"] for view in found["views"]]
    assert keys == ["folders", *(f"folder-{i}" for i in range(5))]
    assert "cannot be opened" not in found["note"]


def test_very_many_nodes_in_one_folder_are_explained() -> None:
    found = lineage_of(chain(3_000, 1))
    assert [view["key"] for view in found["views"]] == ["folders"]
    # the folder cannot be opened
    assert [(len(numbers), view) for _, numbers, view in found["groups"]] == [(3_000, None)]
    assert found["note"] == (
        "3,000 nodes are too many for one view, so that they are grouped by folder. "
        "A folder of more than 1,000 nodes cannot be opened."
    )
    assert lineage_of(chain(400, 1))["note"] == ""


def test_of_very_many_nodes_those_around_failures_are_shown_first() -> None:
    page = chain(3_000, 1)
    test = Node("test.shop.t", "t", "test", parents=("model.shop.m2900",))
    failed = Execution("model.shop.m1000", 1, "error"), Execution("test.shop.t", 1, "fail")
    page = replace(page, nodes=(*page.nodes, test), executions=failed)
    first = views_of(page)[0]
    ids = Content(page, Texts()).ids
    shown = {int(ids[item[3]].rpartition("m")[2]) for item in first["items"]}
    assert first["key"] == "failed"
    assert len(shown) == 300
    assert {*range(930, 1_071), *range(2_830, 2_971)} <= shown


def test_a_table_of_several_sources_leads_to_each() -> None:
    nodes = tuple(Node(f"source.s.r.{n}", n, "source", "s", None, "source r") for n in "ab")
    table = LoadedTable("t", None, ("source.s.r.a", "source.s.r.b", "source.s.r.gone"))
    page = RunPage(RunHead(1, "x"), 0.0, nodes=nodes, load=Load("p", "1", (table,)))
    assert len(views_of(page)[0]["edges"]) == 2
