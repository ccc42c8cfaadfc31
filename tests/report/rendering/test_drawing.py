"""The details of nodes fit a budget, and those of the worst nodes are kept."""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.report.rendering.content import Content
from dlt_dbtcloud.report.rendering.drawing import Drawing
from dlt_dbtcloud.report.rendering.texts import Texts
from tests.support.reports.pages import MART, STAGED, shop_page

MESSAGE, DESCRIPTION, RELATION, COLUMNS, CODE, IS_CUT = 1, 2, 3, 6, 7, 14


def details_of(budget: int) -> dict[str, Any]:
    content = Content(shop_page(), Texts())
    return dict(zip(content.ids, Drawing(content).details(budget), strict=True))


def test_all_details_fit_a_large_budget() -> None:
    found = details_of(1_000_000)
    assert found[MART][MESSAGE] == "No column amout"
    assert found[MART][CODE] == "select amout from staging.stg"
    assert found[STAGED][COLUMNS] == [["id", "INTEGER", "The key."], ["amount", "DECIMAL", ""]]
    assert not any(each[IS_CUT] for each in found.values())


def test_without_a_budget_no_texts_are_left() -> None:
    found = details_of(0)
    for key, each in found.items():
        assert each[0] == key
        assert [each[i] for i in (MESSAGE, DESCRIPTION, RELATION, COLUMNS, CODE)] == [
            *("", "", "", [], ""),
        ]
        assert each[IS_CUT] == 1


def test_the_worst_node_gets_its_code_first() -> None:
    found = [details_of(budget) for budget in range(0, 4_000, 50)]
    has_code = [(bool(each[MART][CODE]), bool(each[STAGED][CODE])) for each in found]
    assert {*has_code} == {(False, False), (True, False), (True, True)}
    # a message is worth more than code
    assert all(each[MART][MESSAGE] for each in found if each[MART][CODE] or each[STAGED][CODE])
