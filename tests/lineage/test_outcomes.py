"""Nodes have the locations at which a step built and read them."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudAPIError
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Entry
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.lineage.outcomes import read_outcomes
from dlt_dbtcloud.payloads import RELATED
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.manifests import read_manifest
from tests.support.dbt.nodes import FILES, manifest, node, outcome, result, warnings_of
from tests.support.past_runs import ended_run

OWN = '"db"."ci_1"."up"'
PROD = '"db"."prod"."up"'
STATE = manifest(node("model.shop.up", schema="prod", relation_name=PROD))
DOWN = node("model.shop.down", "model.shop.up")


def read(up: dict[str, Any], code: str | None, state: Any = None) -> str | None:
    codes = {} if code is None else {"model.shop.down": code}
    own = manifest(DOWN, node("model.shop.up", relation_name=OWN, schema="ci_1", **up))
    deferred = ["model.shop.up"]
    deferred_to = read_manifest(state or {})
    step = outcome(own, state=deferred_to, compiled_code=codes, deferred=deferred)
    [parent] = step.read_nodes(result("model.shop.down"))
    place = (parent["relation_name"] or "..").split(".")[1].strip('"')
    assert (parent["schema"] or "") == place
    assert outcome(own).read_nodes(result("model.shop.down"))[0]["relation_name"] == OWN
    return parent["relation_name"]


def run_in(cloud: DBTCloudEmulator, place: str, *, defer: bool) -> Run:
    names = {name: f"db.{place}.{name}" for name in ("up", "down")}
    nodes = {f"model.shop.{n}": {"relation_name": name} for n, name in names.items()}
    nodes["model.shop.down"]["depends_on"] = {"nodes": ["model.shop.up"]}  # type: ignore[assignment]  # JSON
    built = {"unique_id": "model.shop.down", "status": "success"}
    code = {"compiled_code": "select * from db.prod.up", "relation_name": names["down"]}
    results = {"results": [{**built, **code}], "args": {"defer": defer}}
    files = {"run_results.json": results, "manifest.json": {"nodes": nodes}}
    return ended_run(cloud, cloud.create_job("x", artifacts=files))


def test_a_built_node_has_the_location_of_its_result() -> None:
    cases: list[tuple[str, Any]] = [
        ('"db"."marts"."a"', ("db", "marts", "a")),
        ("`db`.`marts`.`a`", ("db", "marts", "a")),
        ("[db].[marts].[a]", ("db", "marts", "a")),
        ("DB.marts.a$1", ("DB", "marts", "a$1")),
        ('"d.b"."m x"."a-b"', ("d.b", "m x", "a-b")),
        ("marts.a", (None, "marts", "a")),
        ("`a`", (None, None, "a")),
        ('"a""b"."c"', (None, None, None)),
        ("read_parquet('a.parquet')", (None, None, None)),
    ]
    for relation_name, place in cases:
        last = manifest(node("model.shop.a", relation_name='"other"."other"."a"'))
        built = outcome(last).built_node(result("model.shop.a", relation_name=relation_name))
        assert built["relation_name"] == relation_name
        assert (built["database"], built["schema"], built["identifier"]) == place


@pytest.mark.parametrize("relation_name", [None, "x.y.z"])
def test_a_built_node_keeps_the_location_of_the_manifest(relation_name: str | None) -> None:
    last = manifest(node("model.shop.a", relation_name="x.y.z"))
    built = outcome(last).built_node(result("model.shop.a", relation_name=relation_name))
    assert (built["database"], built["schema"], built["identifier"]) == ("db", "marts", "a")


def test_a_deferred_node_has_the_location_that_the_code_names() -> None:
    cases: list[tuple[str | None, str | None]] = [
        (f"select * from {PROD}", PROD),
        (f"select * from {OWN}", OWN),
        (f"select * from {OWN} union all select * from {PROD}", OWN),
        ('refs = {\'up\': \'\\"db\\".\\"prod\\".\\"up\\"\'}', PROD),
        ("select 1", None),
        (None, None),
    ]
    for code, expected in cases:
        assert read({}, code, STATE) == expected
        deferred = {"database": "db", "schema": "prod", "alias": "up", "relation_name": PROD}
        assert read({"defer_relation": deferred}, code) == expected
        assert read({"defer_relation": None}, code) == (OWN if expected == OWN else None)


def test_a_relation_is_matched_by_its_whole_name() -> None:
    state = manifest(node("model.shop.up", schema="prod", relation_name="prod.up"))
    own = manifest(DOWN, node("model.shop.up", relation_name="ci.up", schema="ci"))
    codes = {"model.shop.down": "select * from ci.upper join prod.up"}
    deferred = ["model.shop.up"]
    step = outcome(own, state=read_manifest(state), compiled_code=codes, deferred=deferred)
    [parent] = step.read_nodes(result("model.shop.down"))
    assert parent["relation_name"] == "prod.up"


def test_rows_are_reported_if_the_number_counts_rows() -> None:
    cases: list[tuple[str, str, str, int | None]] = [
        ("postgres", "table", "SELECT 1", 1),
        ("postgres", "view", "CREATE VIEW", None),
        ("snowflake", "table", "SUCCESS 1", None),
        ("snowflake", "incremental", "SUCCESS 2", 1),
    ]
    for adapter, materialized, message, expected in cases:
        artifact = {**manifest(node("model.shop.a", config={"materialized": materialized}))}
        artifact["metadata"] = {"adapter_type": adapter}
        step = outcome(artifact)
        built = result("model.shop.a", rows_affected=1, message=message)
        assert step.rows_written(built) == expected
        assert step.rows_written(result("model.shop.a", rows_affected=-1)) is None


def test_deferred_nodes_are_read_from_the_deferring_run(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    prod = run_in(cloud, "prod", defer=False)
    for defer, expected, requests in ((True, "prod", 3), (False, "ci", 2)):
        ci = client.get_run_status(run_in(cloud, "ci", defer=defer)["id"], RELATED)
        ci["deferring_run_id"] = prod["id"]
        before = len(cloud.requests)
        [outcome] = read_outcomes(RunReader(client, ci, keeps_code=True))
        [up] = outcome.read_nodes(outcome.results[0])
        assert up["relation_name"] == f"db.{expected}.up"
        assert len(cloud.requests) - before == requests


@pytest.mark.parametrize(
    ("status", "cool_down", "waited"), [(503, 0, 7), (429, 30, 37), (401, 0, 0)]
)
def test_an_outage_while_reading_the_state_is_raised(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, status: int, cool_down: float, waited: float
) -> None:
    prod = run_in(cloud, "prod", defer=False)
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = prod["id"]
    kind: Any = "rate_limit" if status == 429 else "status"
    fault: dict[str, Any] = {"calls": None, "when": "before", "run_id": prod["id"]}
    cloud.fail("get_artifact", kind, status=status, retry_after=5, **fault)
    clock = FakeClock()
    client = clocked(client, clock).patient(7, cool_down=cool_down)
    reader = RunReader(client, ci, keeps_code=True)
    with pytest.raises(DBTCloudAPIError, match=f"{prod['id']}/artifacts/manifest.json"):
        read_outcomes(reader)
    # a `Retry-After` that exceeds the time left ends the wait
    assert waited - 5 < clock.now <= waited
    cloud.heal()
    assert reader.read_state().entry("model.shop.up") == Entry(relation_name="db.prod.up")


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "to which it deferred, cannot be read"), (404, "has no `manifest.json`")],
)
def test_an_unreadable_state_is_a_warning(
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    caplog: pytest.LogCaptureFixture,
    status: int,
    words: str,
) -> None:
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = 7
    cloud.fail("get_artifact", "status", status=status, calls=None, when="before", run_id=7)
    reader = RunReader(clocked(client, FakeClock()), ci, keeps_code=True)
    [outcome] = read_outcomes(reader)
    assert [up["relation_name"] for up in outcome.read_nodes(outcome.results[0])] == [None]
    reader.warn()
    (warning,) = warnings_of(ci, caplog)
    assert words in warning


def test_a_foreign_file_in_place_of_the_state_is_a_warning(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    files = {**FILES, "manifest.json": {"hello": 1}}
    prod = ended_run(cloud, cloud.create_job("x", artifacts=files))
    ci = client.get_run_status(run_in(cloud, "ci", defer=True)["id"], RELATED)
    ci["deferring_run_id"] = prod["id"]
    reader = RunReader(clocked(client, FakeClock()), ci, keeps_code=True)
    assert len(read_outcomes(reader)) == 1
    reader.warn()
    (warning,) = warnings_of(ci, caplog)
    assert f"the manifest of run {prod['id']} contains no nodes" in warning
