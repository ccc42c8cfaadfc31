"""A row holds what its columns hold, and a node's content is what its project says about it."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.manifest import Manifest
from dlt_dbtcloud.noderows import node_rows, parent_rows, result_rows
from dlt_dbtcloud.typing import Run, RunStep
from tests.results import MANIFEST, RUN_RESULTS

STEP = RunStep(index=4, name="Invoke dbt with `dbt build`")


@pytest.mark.parametrize("number", [2**63, -(10**30), 1e300, True, "7", None])
def test_a_number_that_no_column_holds_is_left_out(number: Any) -> None:
    result = {**RUN_RESULTS["results"][0], "adapter_response": {"rows_affected": number}}
    (row,) = result_rows(Run(id=1), STEP, {"results": [result]}, None, str)
    assert row["rows_affected"] is None
    assert row["adapter_response"] == {"rows_affected": number}


def nodes(schema: str, **trigger: Any) -> dict[str, dict[str, Any]]:
    model = {
        **MANIFEST["nodes"]["model.shop.orders"],
        "schema": schema,
        "relation_name": f"{schema}.orders",
    }
    manifest = {**MANIFEST, "nodes": {"model.shop.orders": model}}
    run = Run(id=1, trigger={"cause": "", **trigger})  # type: ignore[typeddict-item]  # a part
    return {row["unique_id"]: row for row in node_rows(run, Manifest(manifest))}


def test_the_schema_of_a_pull_request_is_no_content() -> None:
    schemas = ("dbt_cloud_pr_1", "dbt_cloud_pr_2")
    one, other = (nodes(schema, schema_override=schema) for schema in schemas)
    assert one == other
    assert one["model.shop.orders"]["schema"] is None
    assert one["source.shop.raw.orders"]["schema"] == "raw"


def test_another_schema_of_the_environment_is_content() -> None:
    one, other = (nodes(schema)["model.shop.orders"] for schema in ("a", "b"))
    assert one["content_hash"] != other["content_hash"]
    assert (one["schema"], other["schema"]) == ("a", "b")


SECTIONS = {
    "function": "functions",
    "model": "nodes",
    "semantic_model": "semantic_models",
    "metric": "metrics",
    "exposure": "exposures",
}


def test_lineage_leads_through_the_semantic_layer_to_what_is_made_of_it() -> None:
    ids = [f"{kind}.shop.a" for kind in SECTIONS]
    edges = [*zip(ids[1:], ids[:-1], strict=True)]
    parents = {unique_id: {"nodes": [parent]} for unique_id, parent in edges}
    project = Manifest(
        {
            section: {unique_id: {"depends_on": parents.get(unique_id, {})}}
            for section, unique_id in zip(SECTIONS.values(), ids, strict=True)
        }
    )
    told = [*parent_rows(Run(id=1), project)]
    assert {(row["unique_id"], row["parent_unique_id"]) for row in told} == {*edges}
    known = {row["unique_id"]: row["resource_type"] for row in node_rows(Run(id=1), project)}
    assert known == dict(zip(ids, SECTIONS, strict=True))
