"""The sources that a dbt project needs for the tables of a pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dlt
import pytest
import yaml

from dlt_dbtcloud import DBTCloudClientV2, dbt_sources, run_dbt_cloud_job
from dlt_dbtcloud.dbt import match_sources
from dlt_dbtcloud.declarations import compare_sources, sources_yaml
from dlt_dbtcloud.declarations.sources import declaration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import (
    Identifier,
    LoadedColumn,
    LoadedSchema,
    LoadedTable,
    loaded_relations,
    loaded_schemas,
)
from dlt_dbtcloud.values import Relation
from tests.support.dbt.manifests import read_freshness, read_manifest
from tests.support.projects.declared import DESCRIPTION, load_odd_names, write_project

TABLE = LoadedTable(
    Relation("orders", "raw"),
    Identifier("orders"),
    (LoadedColumn(Identifier("id"), "BIGINT", "The key."),),
    "One row per order.",
)
SCHEMA = LoadedSchema(
    "shop",
    (TABLE,),
    dataset=Identifier("raw"),
    database=Identifier("landing"),
    description="The shop.",
    last_load="select max(inserted_at) from {dataset}._dlt_loads",
)


def table(name: str, **changes: Any) -> LoadedTable:
    return replace(TABLE, relation=Relation(name), identifier=Identifier(name), **changes)


def declared(schema: LoadedSchema) -> dict[str, Any]:
    """Return the only source of a schema."""
    (source,) = declaration([schema])["sources"]
    return dict(source)


def test_a_schema_is_a_source_with_its_tables_and_columns() -> None:
    assert declaration([SCHEMA]) == {
        "version": 2,
        "sources": [
            {
                "name": "shop",
                "database": "landing",
                "schema": "raw",
                "loader": "dlt",
                "description": "The shop.",
                "config": {
                    "loaded_at_query": "select max(inserted_at) from "
                    "{{ this.include(identifier=false) }}._dlt_loads"
                },
                "tables": [
                    {
                        "name": "orders",
                        "description": "One row per order.",
                        "columns": [
                            {"name": "id", "data_type": "BIGINT", "description": "The key."}
                        ],
                    }
                ],
            }
        ],
    }


def test_what_is_unknown_is_omitted() -> None:
    bare = table("orders", description=None, columns=(LoadedColumn(Identifier("id")),))
    assert declared(LoadedSchema("shop", (bare,))) == {
        "name": "shop",
        "loader": "dlt",
        "tables": [{"name": "orders", "columns": [{"name": "id"}]}],
    }


def test_names_that_sql_has_to_quote_are_quoted() -> None:
    odd = table(
        "Order Lines", columns=(LoadedColumn(Identifier("from", is_quoted=True), "BIGINT"),)
    )
    odd = replace(odd, identifier=Identifier("Order Lines", is_quoted=True))
    source = declared(replace(SCHEMA, tables=(odd,), dataset=Identifier("Raw", is_quoted=True)))
    assert source["quoting"] == {"schema": True}
    (entry,) = source["tables"]
    assert entry["quoting"] == {"identifier": True}
    assert (entry["name"], entry["identifier"]) == ("Order_Lines", "Order Lines")
    assert entry["columns"] == [{"name": "from", "data_type": "BIGINT", "quote": True}]


def test_dbts_names_of_tables_differ() -> None:
    tables = tuple(map(table, ("a b", "a.b", "a_b", "▶")))
    names = {
        entry["name"]: entry.get("identifier")
        for entry in declared(replace(SCHEMA, tables=tables))["tables"]
    }
    assert names == {"a_b": "a b", "a_b_2": "a.b", "a_b_3": "a_b", "_": "▶"}


def test_without_datasets_the_schema_is_that_of_the_target() -> None:
    prefixed = replace(
        TABLE,
        relation=Relation("raw___orders", table="orders"),
        identifier=Identifier("raw___orders"),
    )
    source = declared(replace(SCHEMA, tables=(prefixed,), dataset=None, database=None))
    assert source["schema"] == "{{ target.schema }}"
    (entry,) = source["tables"]
    assert (entry["name"], entry["identifier"]) == ("orders", "raw___orders")


def test_the_text_has_the_same_values_in_the_same_order() -> None:
    shared = {"warn_after": {"count": 1, "period": "day"}}
    sources = declaration([SCHEMA, replace(SCHEMA, name="no", description=DESCRIPTION)])
    for source in sources["sources"]:
        source["config"]["freshness"] = shared
    text = sources_yaml(sources)
    assert yaml.safe_load(text) == sources
    assert text == sources_yaml(yaml.safe_load(text))
    assert [*yaml.safe_load(text)["sources"][0]] == [*sources["sources"][0]]
    assert not {"&", "*"} & set(text)


def test_a_pipeline_that_never_loaded_is_an_error(pipeline: dlt.Pipeline) -> None:
    with pytest.raises(ValueError, match=r"`shop` has not loaded any table on this machine\. Run"):
        dbt_sources(pipeline)


def test_a_pipeline_without_a_destination_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"has no destination.*Pass `destination`"):
        dbt_sources(dlt.pipeline("shop"))


def test_other_types_are_refused() -> None:
    name: Any = "shop"
    with pytest.raises(TypeError, match="`pipeline` is a `str`"):
        dbt_sources(name)


@pytest.mark.dbt
def test_dbt_core_reads_and_checks_the_sources(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path
) -> None:
    pipeline = load_odd_names(tmp_path)
    check_with_dbt(pipeline, cloud, client, tmp_path)


@pytest.mark.fusion
def test_dbt_fusion_reads_and_checks_the_sources(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, tmp_path: Path, fusion: str
) -> None:
    pipeline = load_odd_names(tmp_path)
    check_with_dbt(pipeline, cloud, client, tmp_path, dbt_executable=fusion)


def check_with_dbt(
    pipeline: dlt.Pipeline,
    cloud: DBTCloudEmulator,
    client: DBTCloudClientV2,
    folder: Path,
    dbt_executable: str | None = None,
) -> None:
    """Check that a dbt builds from the sources, and that each table is declared as it is."""
    job = cloud.create_job(
        "Nightly",
        execute_steps=["dbt source freshness", "dbt build"],
        project_dir=write_project(pipeline, folder / "project"),
        dbt_executable=dbt_executable,
    )
    run = run_dbt_cloud_job(job_id=job, raise_on_failure=True)
    log = "".join(step["logs"] or "" for step in cloud.runs[-1]["run_steps"])
    assert "deprecat" not in log.lower()
    freshness = read_freshness(client.get_run_artifact(run["id"], "sources.json", step=4))
    checked = {result.unique_id: result.status.lower() for result in freshness.results}
    manifest = read_manifest(client.get_run_artifact(run["id"], "manifest.json"))
    assert checked == dict.fromkeys(manifest.sources, "pass")
    assert len(checked) == 3
    match = match_sources(loaded_relations(pipeline), manifest)
    assert set(match.sources) == set(manifest.sources)
    assert (match.undeclared, match.misplaced, match.namesakes) == ((), (), ())
    assert compare_sources(loaded_schemas(pipeline), manifest) == []
    described = manifest.node("source.tiny.shop.Order_Lines")
    assert described["description"] == DESCRIPTION
    texts = {column["name"]: column["description"] for column in described["columns"]}
    assert texts["order"] == DESCRIPTION
