"""Artifacts of every version of dbt are read whole, and only what they declare."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dlt_dbtcloud.dbt import Manifest, code_of, decode_catalog, decode_manifest
from dlt_dbtcloud.dbt.artifacts import Owner
from tests.support.dbt.manifests import core_1_5, read_freshness, read_manifest, read_results
from tests.support.dbt.recordings import FUSION, load

OLD = core_1_5()
SECTIONS = ("nodes", "sources", "exposures", "metrics", "unit_tests")
MODEL = "model.shop.orders"


def versions() -> dict[str, dict[str, Any]]:
    """Return recorded manifests by version; dbt Fusion wrote v20 with the fields of v12."""
    new = load("built", FUSION)[0]["artifacts"]["manifest.json"]
    schema = "https://schemas.getdbt.com/dbt/manifest/v20.json"
    return {
        "v9": OLD["manifest.json"],
        "v12": new,
        "v20": {**new, "metadata": {**new["metadata"], "dbt_schema_version": schema}},
    }


@pytest.mark.parametrize("version", versions())
def test_every_node_of_a_version_is_read(version: str) -> None:
    content = versions()[version]
    assert f"/manifest/{version}.json" in content["metadata"]["dbt_schema_version"]
    project = read_manifest(content)
    written = [key for section in SECTIONS for key in content.get(section) or ()]
    assert len(written) >= 10
    assert {*project.unique_ids} == {*written}
    assert project.unread == ()
    assert project.damage is None


def test_the_artifacts_of_dbt_1_5_have_their_fields() -> None:
    project = read_manifest(OLD["manifest.json"], OLD["catalog.json"])
    juice = project.node("model.orchard.juice")
    assert (juice["tags"], juice["owners"]) == (["liquid"], ["press@example.com"])
    assert juice["meta"] == {"bottled": True, "years": [2025, 2026]}
    assert [column["type"] for column in juice["columns"]] == ["VARCHAR", "DOUBLE"]
    assert project.parents("model.orchard.juice") == ["source.orchard.raw.harvest"]
    assert project.node("model.orchard.prices.v1")["version"] == 1
    assert project.node("exposure.orchard.board")["owners"] == ["board@example.com"]
    results = read_results(OLD["run_results.json"])
    statuses = {each.unique_id.split(".")[2]: each.status for each in results.results}
    assert statuses["juice"] == "success"
    assert (statuses["broken"], statuses["after_broken"]) == ("error", "skipped")
    (fresh,) = read_freshness(OLD["sources.json"]).results
    assert (fresh.status, fresh.criteria and fresh.criteria["warn_after"]["count"]) == ("warn", 1)


def test_a_field_as_dbt_allows_it_costs_no_node() -> None:
    cases: list[dict[str, Any]] = [
        {"tags": "nightly"},
        {"tags": None},
        {"version": "2024-01"},
        {"version": 2},
        {"version": 1.5},
        {"version": None},
        {"meta": {"a": [None, {"b": 1.5}], "owner": ["ann"]}},
        {"config": {"tags": "a", "meta": {"x": [1]}, "external_location": ["a"], "other": {}}},
        {"config": {"enabled": None, "materialized": "custom"}},
        {"owner": {"email": ["a@example.com", "b@example.com"], "name": None, "slack": "#a"}},
        {"depends_on": {"macros": []}},
        {"columns": {"id": {"name": "id", "type": "int", "tags": ["pk"], "quote": None}}},
        {"group": None, "description": None, "database": None, "relation_name": None},
        {"external": {"location": None, "partitions": []}},
        {"test_metadata": {"name": "unique", "kwargs": {"column_name": "id"}, "namespace": None}},
        {"fqn": ["shop", "orders"], "unknown": {"deep": [{"er": 1}]}},
    ]
    for field in cases:
        project = read_manifest({"nodes": {MODEL: {"name": "orders", **field}}, "sources": {}})
        assert project.unread == ()
        assert MODEL in project


def test_an_owner_may_have_several_addresses() -> None:
    owner = {"email": ["a@example.com", "b@example.com"]}
    exposures = {"exposure.shop.board": {"owner": owner}}
    project = read_manifest({"nodes": {}, "exposures": exposures})
    assert project.entry("exposure.shop.board").owner == Owner(owner["email"])
    assert project.node("exposure.shop.board")["owners"] == owner["email"]


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ({"name": "ID", "type": "NUMBER", "index": None, "comment": None}, ("ID", "NUMBER", None)),
        ({"name": "ID", "type": "NUMBER", "index": 1.0}, ("ID", "NUMBER", None)),
        # dbt takes comments for numbers if all of them look so
        ({"name": "ID", "type": "NUMBER", "index": 1, "comment": 2024}, ("ID", "NUMBER", None)),
        ({}, ("id", None, None)),
    ],
)
def test_a_column_of_a_catalog_may_lack_fields(
    column: dict[str, Any], read: tuple[str | None, ...]
) -> None:
    tables = {MODEL: {"columns": {"id": column}}}
    catalog = decode_catalog(json.dumps({"nodes": tables, "sources": None}).encode())
    assert catalog.unread == ()
    project = read_manifest({"nodes": {MODEL: {}}}).with_catalog(catalog)
    (found,) = project.node(MODEL)["columns"]
    assert tuple(found.values()) == read


def test_a_table_of_a_catalog_with_a_field_of_another_type_is_lost_alone() -> None:
    tables = {MODEL: {"columns": {"id": 1}}, "seed.shop.days": {"columns": {}}}
    catalog = decode_catalog(json.dumps({"nodes": tables, "sources": {}}).encode())
    assert [*(catalog.nodes or {})] == ["seed.shop.days"]
    assert [each.path for each in catalog.unread] == [f'$.nodes["{MODEL}"].columns[...]']
    project = read_manifest({"nodes": {MODEL: {}}}).with_catalog(catalog)
    assert not project.is_catalogued(MODEL)


def test_code_is_decoded_only_if_it_is_to_be_kept() -> None:
    content = json.dumps({"nodes": {MODEL: {"raw_code": "x", "compiled_code": "select 1"}}})
    for keeps_code, code in ((True, "select 1"), (False, None)):
        project = Manifest(decode_manifest(content.encode(), keeps_code=keeps_code))
        assert code_of(project.entry(MODEL)) == code
    # what is skipped may be of any type
    odd = json.dumps({"nodes": {MODEL: {"compiled_code": 5}}}).encode()
    assert decode_manifest(odd).unread == ()
    assert [each.path for each in decode_manifest(odd, keeps_code=True).unread] == [
        f'$.nodes["{MODEL}"].compiled_code'
    ]


@pytest.mark.parametrize("status", ["Error", "reused", "no-op", "something new"])
def test_a_status_is_any_text(status: str) -> None:
    result = {"unique_id": MODEL, "status": status}
    assert read_results({"results": [result]}).results[0].status == status
    assert read_freshness({"results": [result]}).results[0].status == status


@pytest.mark.parametrize("error", ["Database Error", 5, None])
def test_the_error_of_a_source_may_be_a_number(error: Any) -> None:
    """As the schema of `sources.json` says."""
    result = {"unique_id": "source.shop.raw.orders", "status": "runtime error", "error": error}
    assert read_freshness({"results": [result]}).unread == ()


@pytest.mark.parametrize(
    ("arguments", "defers"), [({"defer": True}, True), ({"defer": False}, False), ({}, False)]
)
def test_whether_a_command_defers_is_read_from_its_arguments(
    arguments: dict[str, Any], defers: bool
) -> None:
    assert read_results({"results": [], "args": arguments}).defers is defers
