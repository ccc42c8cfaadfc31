"""Columns have values of their types whatever the API returns, and retries have their loads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dlt
import pytest

from dlt_dbtcloud import DBTCloudClientV2, dbt_cloud_results, retry_dbt_cloud_run, run_dbt_cloud_job
from dlt_dbtcloud.cause import cause_with_key
from dlt_dbtcloud.dbt import Manifest
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads import last_load
from dlt_dbtcloud.payloads import RELATED
from dlt_dbtcloud.source.rows import (
    KnownLoad,
    load_rows,
    node_rows,
    parent_rows,
    redacted_rows,
    result_rows,
    run_row,
    step_rows,
)
from dlt_dbtcloud.source.schema import TABLES, Row
from dlt_dbtcloud.typing import Run, RunStep
from tests.support.dbt.manifests import core_1_5, read_manifest, read_results
from tests.support.dbt.results import (
    MANIFEST,
    RUN_RESULTS,
    extracted,
    finished_run,
    nightly,
    quick_results,
    rows,
)
from tests.support.loading.loads import SharedLoads, load_tables

TYPES: dict[str | None, type] = {
    "bigint": int,
    "bool": bool,
    "double": float,
    "text": str,
    "timestamp": datetime,
}
ODD: list[Any] = [None, {"a": 1}, [1], [None], "odd", True, 2**70, float("nan")]
STEP = RunStep(index=4, name="Invoke dbt with `dbt build`")
SECTIONS = {
    "function": "functions",
    "model": "nodes",
    "semantic_model": "semantic_models",
    "metric": "metrics",
    "exposure": "exposures",
}


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded the table `airlines`."""
    return shared_loads.copy("flights", load_tables, "airlines")


def assert_fits(table: str, row: Row) -> None:
    columns = TABLES[table]
    assert set(row) == set(columns)
    for name, value in row.items():
        if value is None:
            assert columns[name]["nullable"], name
        elif columns[name]["data_type"] != "json":
            assert type(value) is TYPES[columns[name]["data_type"]], name


def nodes(schema: str, **trigger: Any) -> dict[str, dict[str, Any]]:
    model = {
        **MANIFEST["nodes"]["model.shop.orders"],
        "schema": schema,
        "relation_name": f"{schema}.orders",
    }
    manifest = {**MANIFEST, "nodes": {"model.shop.orders": model}}
    run = Run(id=1, trigger={"cause": "", **trigger})  # type: ignore[typeddict-item]  # a part
    return {row["unique_id"]: row for row in node_rows(run, read_manifest(manifest))}


@pytest.mark.parametrize("odd", ODD)
def test_unexpected_fields_of_a_run_are_dropped(odd: Any) -> None:
    run: Any = dict.fromkeys((*Run.__annotations__, *RELATED), odd)
    run["id"] = 7
    assert_fits("dbt_runs", run_row(run))
    nested: Any = {
        "id": 7,
        "trigger": dict.fromkeys(TABLES["dbt_runs"], odd),
        "job": {"name": odd},
        "audit": {"trigger": {"actor": {"name": odd, "type": odd}}},
    }
    assert_fits("dbt_runs", run_row(nested))


@pytest.mark.parametrize("odd", ODD)
def test_unexpected_fields_of_a_step_are_dropped(odd: Any) -> None:
    step: Any = dict.fromkeys(RunStep.__annotations__, odd)
    run: Any = {"id": 7, "run_steps": [step, {**step, "status": 20}, odd]}
    for row in step_rows(run):
        assert_fits("dbt_run_steps", row)
    assert [*step_rows({"id": 7, "run_steps": odd})] == []


def test_valid_fields_of_a_step_are_kept() -> None:
    step = RunStep(index=4, id=9, name="Invoke dbt with `dbt build`", status=20, logs="Oh no")
    (row,) = step_rows(Run(id=7, run_steps=[{**step, "duration": "00:01:02"}]))
    assert_fits("dbt_run_steps", row)
    assert {name: value for name, value in row.items() if value is not None} == {
        "run_id": 7,
        "step_index": 4,
        "step_id": 9,
        "name": step["name"],
        "command": "dbt build",
        "status": 20,
        "duration_seconds": 62.0,
        "log_tail": "Oh no",
    }


def test_a_retry_has_the_loads_of_the_retried_run() -> None:
    cause = cause_with_key("By dlt", "3f9c2ab41d07", ("shop", "173.1"))
    bound = Run(id=1, trigger={"cause": cause})
    retries = [Run(id=i + 1, retrying_run_id=i, trigger={"cause": "Rerun"}) for i in (2, 1)]
    known = KnownLoad("shop", "173.1", "raw", {"173.0": {"orders": 2}})
    found = [
        (row["run_id"], row["load_id"], row["key"], row["tables"])
        for row in load_rows([*retries, bound], known)
    ]
    assert sorted(found) == [
        *((1, "173.0", "3f9c2ab41d07", {"orders": 2}), (1, "173.1", "3f9c2ab41d07", None)),
        *((2, "173.0", None, {"orders": 2}), (2, "173.1", None, None)),
        *((3, "173.0", None, {"orders": 2}), (3, "173.1", None, None)),
    ]
    # the run of another load does not have the tables of the known load
    earlier = Run(
        id=4, trigger={"cause": cause_with_key("By dlt", "7d1e2ab41d07", ("shop", "172.9"))}
    )
    (row,) = load_rows([earlier], known)
    assert (row["load_id"], row["key"], row["tables"]) == ("172.9", "7d1e2ab41d07", None)


def test_retries_have_the_tables_of_the_load(cloud: DBTCloudEmulator, copy: dlt.Pipeline) -> None:
    job = nightly(cloud, outcome=["error", "success"])
    first = run_dbt_cloud_job(job_id=job, pipeline=copy)["id"]
    load = last_load(copy)
    assert load
    copy.run(dbt_cloud_results().dbt_run_loads)
    retry = retry_dbt_cloud_run(run_id=first)["id"]
    without_key = finished_run(cloud, job, cause=f"Rerun: retry of run {first} [dlt:000000000000]")
    columns = [name for name in TABLES["dbt_run_loads"] if name not in ("run_id", "tables")]
    stored = rows(copy, f"SELECT run_id, tables, {', '.join(columns)} FROM dbt_run_loads")
    # this source does not know the load, only the destination does
    found = extracted(copy, quick_results())["dbt_run_loads"]
    assert [row["run_id"] for row in found] == [retry, without_key]
    assert stored == [(first, '{"airlines":1}', *(found[0][name] for name in columns))]
    for row in found:
        assert (row["load_id"], row["tables"]) == (load.load_id, {"airlines": 1})


def test_a_retry_without_a_key_is_joined_to_the_load_that_is_loaded_with_it(
    cloud: DBTCloudEmulator, copy: dlt.Pipeline
) -> None:
    job = nightly(cloud, outcome="error")
    first = run_dbt_cloud_job(job_id=job, pipeline=copy)["id"]
    load = last_load(copy)
    assert load
    retry = finished_run(cloud, job, cause=f"Rerun: retry of run {first} [dlt:000000000000]")
    found = extracted(copy, dbt_cloud_results())["dbt_run_loads"]
    assert {row["run_id"] for row in found} == {first, retry}
    for row in found:
        assert (row["load_id"], row["tables"]) == (load.load_id, {"airlines": 1})


def test_the_destination_is_read_for_retries_only(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, asked: list[str]
) -> None:
    job = nightly(cloud)
    first = finished_run(cloud, job)
    extracted(pipeline)
    assert not [query for query in asked if "dbt_run_loads" in query]
    finished_run(cloud, job, cause=f"Rerun: retry of run {first} [dlt:000000000000]")
    loads = extracted(pipeline)["dbt_run_loads"]
    (query,) = [query for query in asked if "dbt_run_loads" in query]
    assert query.endswith(f'"run_id" IN ({first})')
    assert loads == []


@pytest.mark.parametrize("number", [2**63, -(10**30), 1e300, True, "7", None])
def test_an_integer_that_does_not_fit_is_dropped(number: Any) -> None:
    result = {**RUN_RESULTS["results"][0], "adapter_response": {"rows_affected": number}}
    (row,) = result_rows(Run(id=1), STEP, read_results({"results": [result]}), Manifest())
    assert row["rows_affected"] is None
    # as dlt writes no integer beyond 64 bits
    kept = float(number) if number == -(10**30) else number
    assert repr(row["adapter_response"]) == repr({"rows_affected": kept})


def test_seconds_beyond_64_bits_are_loaded_as_a_float() -> None:
    result = {**RUN_RESULTS["results"][0], "execution_time": 10**30}
    (row,) = result_rows(Run(id=1), STEP, read_results({"results": [result]}), Manifest())
    assert repr(row["execution_time"]) == "1e+30"


def test_rows_contain_neither_secrets_nor_the_token() -> None:
    token = "a0b1c2d3"
    client = DBTCloudClientV2(token, 1)
    row = {"unique_id": f"source.{token}", "criteria": {"filter": ["password=hunter2"]}}
    assert redacted_rows("dbt_source_freshness", [row], client) == [
        {"unique_id": "source.***", "criteria": {"filter": ["password=***"]}}
    ]


def test_the_schema_of_a_pull_request_is_not_content() -> None:
    schemas = ("dbt_cloud_pr_1", "dbt_cloud_pr_2")
    one, other = (nodes(schema, schema_override=schema) for schema in schemas)
    assert one == other
    assert one["model.shop.orders"]["schema"] is None
    assert one["source.shop.raw.orders"]["schema"] == "raw"


def test_a_hash_of_content_is_the_same_in_every_version_of_this_package() -> None:
    """Else an upgrade would load all nodes again."""
    files = core_1_5()
    project = read_manifest(files["manifest.json"], files["catalog.json"])
    hashes = {row["unique_id"]: row["content_hash"] for row in node_rows(Run(id=7), project)}
    assert hashes == {
        "exposure.orchard.board": "884135296515a44a",
        "model.orchard.after_broken": "c334e0d410378cd8",
        "model.orchard.broken": "dfda92f0dee04270",
        "model.orchard.juice": "4bb95d415f2d8009",
        "model.orchard.picked": "884b1cf17cf0c4dd",
        "model.orchard.prices.v1": "39ed6b64bc9a96ac",
        "seed.orchard.sorts": "9cec1a841f98a08e",
        "snapshot.orchard.sorts_history": "af0f8f74bc131f9b",
        "source.orchard.raw.harvest": "3e50a8842bda380e",
        "test.orchard.not_null_juice_sort.6ccb8de2f4": "85f25709dfe053d6",
    }


def test_another_schema_of_the_environment_is_content() -> None:
    one, other = (nodes(schema)["model.shop.orders"] for schema in ("a", "b"))
    assert one["content_hash"] != other["content_hash"]
    assert (one["schema"], other["schema"]) == ("a", "b")


def test_lineage_includes_the_semantic_layer_and_exposures() -> None:
    ids = [f"{kind}.shop.a" for kind in SECTIONS]
    edges = [*zip(ids[1:], ids[:-1], strict=True)]
    parents = {unique_id: {"nodes": [parent]} for unique_id, parent in edges}
    project = read_manifest(
        {
            section: {unique_id: {"depends_on": parents.get(unique_id, {})}}
            for section, unique_id in zip(SECTIONS.values(), ids, strict=True)
        }
    )
    found = {(r["unique_id"], r["parent_unique_id"]) for r in parent_rows(Run(id=1), project)}
    assert found == {*edges}
    types = {row["unique_id"]: row["resource_type"] for row in node_rows(Run(id=1), project)}
    assert types == dict(zip(ids, SECTIONS, strict=True))
