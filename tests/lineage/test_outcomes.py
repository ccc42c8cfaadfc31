"""A node is told where its own step built it, and what it read where its code says."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.dbt.manifest import Manifest
from tests.support.nodes import manifest, node, outcome, result

OWN = '"db"."ci_1"."up"'
PROD = '"db"."prod"."up"'
STATE = manifest(node("model.shop.up", schema="prod", relation_name=PROD))
DOWN = node("model.shop.down", "model.shop.up")


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ('"db"."marts"."a"', ("db", "marts", "a")),
        ("`db`.`marts`.`a`", ("db", "marts", "a")),
        ("[db].[marts].[a]", ("db", "marts", "a")),
        ("DB.marts.a$1", ("DB", "marts", "a$1")),
        ('"d.b"."m x"."a-b"', ("d.b", "m x", "a-b")),
        ("marts.a", (None, "marts", "a")),
        ("`a`", (None, None, "a")),
        ('"a""b"."c"', (None, None, None)),
        ("read_parquet('a.parquet')", (None, None, None)),
    ],
)
def test_a_result_knows_better_where_a_node_was_built(told: str, place: Any) -> None:
    last = manifest(node("model.shop.a", relation_name='"other"."other"."a"'))
    built = outcome(last).built(result("model.shop.a", relation_name=told))
    assert built["relation_name"] == told
    assert (built["database"], built["schema"], built["identifier"]) == place


@pytest.mark.parametrize("told", [None, "x.y.z"])
def test_a_result_that_agrees_leaves_the_place_to_the_manifest(told: str | None) -> None:
    last = manifest(node("model.shop.a", relation_name="x.y.z"))
    built = outcome(last).built(result("model.shop.a", relation_name=told))
    assert (built["database"], built["schema"], built["identifier"]) == ("db", "marts", "a")


def read(up: dict[str, Any], code: str | None, state: Any = None) -> str | None:
    codes = {} if code is None else {"model.shop.down": code}
    own = manifest(DOWN, node("model.shop.up", relation_name=OWN, schema="ci_1", **up))
    deferred = ["model.shop.up"]
    step = outcome(own, state=Manifest(state), compiled_code=codes, deferred=deferred)
    [parent] = step.read(result("model.shop.down"))
    place = (parent["relation_name"] or "..").split(".")[1].strip('"')
    assert (parent["schema"] or "") == place
    assert outcome(own).read(result("model.shop.down"))[0]["relation_name"] == OWN
    return parent["relation_name"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"select * from {PROD}", PROD),
        (f"select * from {OWN}", OWN),
        (f"select * from {OWN} union all select * from {PROD}", OWN),
        ('refs = {\'up\': \'\\"db\\".\\"prod\\".\\"up\\"\'}', PROD),
        ("select 1", None),
        (None, None),
    ],
)
def test_what_was_deferred_is_read_where_the_code_names_it(
    code: str | None, expected: str | None
) -> None:
    assert read({}, code, STATE) == expected
    deferred = {"database": "db", "schema": "prod", "alias": "up", "relation_name": PROD}
    assert read({"defer_relation": deferred}, code) == expected
    assert read({"defer_relation": "odd"}, code) == (OWN if expected == OWN else None)


def test_a_longer_name_is_another() -> None:
    state = manifest(node("model.shop.up", schema="prod", relation_name="prod.up"))
    own = manifest(DOWN, node("model.shop.up", relation_name="ci.up", schema="ci"))
    codes = {"model.shop.down": "select * from ci.upper join prod.up"}
    deferred = ["model.shop.up"]
    step = outcome(own, state=Manifest(state), compiled_code=codes, deferred=deferred)
    [parent] = step.read(result("model.shop.down"))
    assert parent["relation_name"] == "prod.up"


@pytest.mark.parametrize(
    ("adapter", "materialized", "message", "expected"),
    [
        ("postgres", "table", "SELECT 1", 1),
        ("postgres", "view", "CREATE VIEW", None),
        ("snowflake", "table", "SUCCESS 1", None),
        ("snowflake", "incremental", "SUCCESS 2", 1),
    ],
)
def test_rows_are_told_where_the_number_means_them(
    adapter: str, materialized: str, message: str, expected: int | None
) -> None:
    told = {**manifest(node("model.shop.a", config={"materialized": materialized}))}
    told["metadata"] = {"adapter_type": adapter}
    step = outcome(told)
    one = result("model.shop.a", rows_affected=1, message=message)
    assert step.rows_written(one) == expected
    assert step.rows_written(result("model.shop.a", rows_affected=-1)) is None
