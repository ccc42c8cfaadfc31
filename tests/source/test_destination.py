"""Rows that runs share keep the longest span and the latest catalog, in any order of runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from shutil import copytree
from typing import Any

import dlt
import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.source.destination import combined, condition, schema_of
from dlt_dbtcloud.source.schema import Row
from tests.support.dbt.results import (
    FILES,
    counts,
    extracted,
    finished_run,
    nightly,
    quick_results,
    rows,
    sizes,
)
from tests.support.loading.warehouse import explicit, new_pipeline
from tests.support.past_runs import started_run
from tests.support.projects.flights import EXAMPLES

SHARED = ("dbt_nodes", "dbt_node_parents")


def row(run_id: int, type_: str | None = None) -> Row:
    return {
        "first_run_id": run_id,
        "last_run_id": run_id,
        "columns": [{"name": "id", "type": type_}],
        "catalog_run_id": run_id if type_ else None,
    }


@pytest.mark.parametrize("order", [*permutations(range(4))])
def test_the_order_of_runs_does_not_matter(order: tuple[int, ...]) -> None:
    rows = [row(1), row(2, "INTEGER"), row(3, "BIGINT"), row(4)]
    first, *others = [rows[i] for i in order]
    found = first
    for other in others:
        found = combined(found, other)
    assert found == {**row(3, "BIGINT"), "first_run_id": 1, "last_run_id": 4}


def test_json_that_the_destination_returns_as_text_is_decoded() -> None:
    stored: dict[str, Any] = {**row(1, "BIGINT"), "columns": '[{"name":"id","type":"BIGINT"}]'}
    assert combined(row(2), stored)["columns"] == [{"name": "id", "type": "BIGINT"}]


def test_edges_have_no_columns() -> None:
    edge = {"parent_unique_id": "a", "first_run_id": 2, "last_run_id": 2}
    other = {"first_run_id": 1, "last_run_id": 1}
    assert combined(edge, other) == {**edge, "first_run_id": 1}


def catalogued(cloud: DBTCloudEmulator, node: str, **options: Any) -> int:
    """Return a job whose catalog has the type of a column of a node."""
    columns = {"id": {"name": "id", "type": "BIGINT", "index": 1}}
    files = {**FILES, "catalog.json": {"nodes": {node: {"columns": columns}}}}
    return nightly(cloud, generate_docs=True, artifacts=files, **options)


def test_only_rows_of_the_runs_environments_are_read_back_and_column_types_are_kept(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, asked: list[str]
) -> None:
    """Column types are kept though only some runs have a catalog."""
    orders, board = "model.shop.orders", "exposure.shop.board"
    of_orders, again = (catalogued(cloud, orders, duration=None) for _ in range(2))
    plain = nightly(cloud, duration=None)
    of_board = catalogued(cloud, board)
    of_other = catalogued(cloud, orders, project_id=cloud.create_project("Other"))
    earliest = id_of(started_run(cloud, of_orders))
    first = finished_run(cloud, of_board)
    between, typed = (id_of(started_run(cloud, job)) for job in (plain, again))
    last = finished_run(cloud, of_board)
    finished_run(cloud, of_other)
    pipeline.run(quick_results().with_resources(*SHARED))
    query = (
        "SELECT unique_id, columns->0->>'type', catalog_run_id, first_run_id, last_run_id "
        f"FROM dbt_nodes WHERE unique_id IN ('{orders}', '{board}') AND last_run_id = {last}"
    )
    assert {*rows(pipeline, query)} == {
        (board, "BIGINT", last, first, last),
        (orders, None, None, first, last),
    }
    every = rows(pipeline, f"SELECT environment_id, last_run_id = {last} FROM dbt_nodes")
    (environment,) = {each for each, is_last in every if is_last}
    assert len(every) == 8
    # a run within that span adds nothing
    cloud.finish_run(between)
    asked.clear()
    assert extracted(pipeline)["dbt_nodes"] == []
    assert [query for query in asked if "catalog_run_id" in query]
    assert not [query for query in asked if '"columns"' in query]
    # except for the column types of a node without any
    cloud.finish_run(typed)
    (found,) = extracted(pipeline)["dbt_nodes"]
    assert (found["unique_id"], found["catalog_run_id"]) == (orders, typed)
    assert (found["first_run_id"], found["last_run_id"]) == (first, last)
    # an earlier one, which finished later, replaces the rows
    cloud.finish_run(earliest)
    asked.clear()
    replaced = {row["unique_id"]: row for row in extracted(pipeline)["dbt_nodes"]}
    for node, catalog in ((orders, earliest), (board, last)):
        row = replaced[node]
        assert (row["first_run_id"], row["last_run_id"]) == (earliest, last)
        assert (row["columns"][0]["type"], row["catalog_run_id"]) == ("BIGINT", catalog)
    queries = sorted(query for query in asked if "dbt_node" in query)
    assert_reads_environment(pipeline, queries, environment)
    # the columns are read back only to keep a later catalog
    assert ['"columns"' in query for query in queries] == [True, False, False]
    assert queries[0].endswith(f'"catalog_run_id" IN ({last})')


def assert_reads_environment(
    pipeline: dlt.Pipeline, queries: Sequence[str], environment: object
) -> None:
    """Assert that queries read columns of one node, all nodes and all edges of an environment."""
    for query, number in zip(queries, (1, 4, 3), strict=True):
        where = query.partition(" FROM ")[2]
        read = rows(pipeline, f"SELECT environment_id FROM {where}")
        assert read == [(environment,)] * number


def test_a_query_has_no_list_that_a_database_may_refuse() -> None:
    names = {"run_id": '"run_id"', "environment_id": '"environment_id"'}
    few = {"environment_id": [7, 5]}
    assert condition(few, names) == '"environment_id" IN (5, 7)'
    assert condition({"run_id": range(1001), **few}, names) == condition(few, names)
    assert condition({"run_id": range(1000)}, names).endswith(" 999)")
    assert condition({"run_id": range(1001)}, names) == ""


def test_the_schema_of_a_table_is_the_one_that_dlt_computes(cloud: DBTCloudEmulator) -> None:
    source = quick_results()
    source.dbt_runs.apply_hints(columns={"account_id": {"data_type": "text"}}, file_format="jsonl")
    source.dbt_nodes.apply_hints(table_name="nodes", merge_key="name", write_disposition="append")
    for table in ("dbt_runs", "dbt_nodes", "dbt_run_loads"):
        resource = source.resources[table]
        expected = resource.compute_table_schema()
        assert schema_of(resource) == expected
        # the resource is as before
        assert resource.compute_table_schema() == expected


def project(title: str, about: str, *more: str, has_board: bool = True) -> dict[str, Any]:
    """Return a manifest of a source, a model that reads it, and the nodes downstream of it.

    Args:
        title: The description of all nodes but the model.
        about: The description of the model.
        more: The names of further models.
        has_board: Whether an exposure reads them.
    """
    source, model = "source.shop.raw.orders", "model.shop.orders"
    layer, metric = "semantic_model.shop.orders", "metric.shop.revenue"

    def reads(*parents: str) -> dict[str, Any]:
        return {"description": title, "depends_on": {"nodes": [*parents]}}

    nodes = {
        model: {**reads(source), "name": "orders", "description": about},
        **{f"model.shop.{name}": reads(model) for name in more},
    }
    return {
        "nodes": nodes,
        "sources": {source: {"name": "orders", "schema": "raw", "identifier": "orders"}},
        "semantic_models": {layer: reads(model)},
        "metrics": {metric: reads(layer)},
        "exposures": {"exposure.shop.board": reads(*([metric] if has_board else []))},
    }


def downstream(pipeline: dlt.Pipeline) -> list[tuple[str, str]]:
    """Return the result of the example query, as nodes with their descriptions."""
    text = (EXAMPLES / "results.sql").read_text()
    (query,) = [each for each in text.split(";") if "\n-- What is downstream" in each]
    found = rows(pipeline, query.replace("'weather'", "'orders'"))
    nodes = [(f"{kind} {name}", about) for kind, name, _, about in found]
    # nodes of several projects have the same names
    assert [name for name, _ in nodes] == sorted(name for name, _ in nodes)
    return sorted(nodes)


@pytest.fixture(params=["pipeline", "lake"])
def shared_rows(request: pytest.FixtureRequest) -> dlt.Pipeline:
    """Return a pipeline into a destination with or without merge."""
    pytest.importorskip("pyarrow")
    found: dlt.Pipeline = request.getfixturevalue(request.param)
    return found


# the runs of projects before each load: what describes the model, what else there is, a board
Finished = list[tuple[str, list[str], bool]]
PROJECTS: dict[str, tuple[Finished, Finished]] = {
    "A node and an edge were removed.": (
        [("one", ["users"], True)],
        [("two", [], False)],
    ),
    "As before the newest run, but for a node.": (
        [("one", ["users"], True), ("two", [], False)],
        [("one", ["days"], True)],
    ),
    "A node was removed after a run.": (
        [("one", ["days"], True)],
        [("one", ["days"], True), ("one", [], True)],
    ),
    "A node came and went between two loads.": (
        [("one", [], True)],
        [("two", ["users"], False), ("one", [], True)],
    ),
}


def test_downstream_nodes_are_those_of_the_newest_run(
    cloud: DBTCloudEmulator, shared_rows: dlt.Pipeline
) -> None:
    has_merge = shared_rows.destination.destination_name == "duckdb"
    projects = {title: cloud.create_project(title) for title in PROJECTS}
    runs = []
    for load in (0, 1):
        expected: list[tuple[str, str]] = []
        for title, loads in PROJECTS.items():
            for about, more, has_board in loads[load]:
                about = f"{title} {about}"
                manifest = project(title, about, *more, has_board=has_board)
                files = {**FILES, "manifest.json": manifest}
                job = nightly(cloud, artifacts=files, project_id=projects[title])
                runs.append(finished_run(cloud, job))
            names = ["metric revenue", "semantic_model orders", *(f"model {name}" for name in more)]
            expected += [(name, title) for name in [*names, *(["exposure board"] * has_board)]]
            expected.append(("model orders", about))
        shared_rows.run(quick_results().with_resources(*SHARED))
        assert downstream(shared_rows) == sorted(expected)
    if not has_merge:
        # a merge would extend the span of the rows instead
        for run_id in (runs[0], finished_run(cloud, job)):
            source = quick_results(run_id).with_resources(*SHARED)
            assert not any(extracted(shared_rows, source).values())


@pytest.fixture
def job(cloud: DBTCloudEmulator) -> int:
    return nightly(cloud)


@pytest.fixture
def lake() -> dlt.Pipeline:
    pytest.importorskip("pyarrow")
    return new_pipeline("lake", explicit(dlt.destinations.filesystem("lake")))


def test_a_refresh_loads_everything_again_and_a_replace_one_run(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, job: int
) -> None:
    runs = [finished_run(cloud, job), finished_run(cloud, job)]
    pipeline.run(quick_results().with_resources("dbt_node_parents"))
    options: list[dict[str, Any]] = [
        {"refresh": "drop_data"},
        {"refresh": "drop_resources"},
        {"write_disposition": "replace"},
    ]
    for number, option in enumerate(options):
        # an extraction changes the state
        folder = copytree(pipeline.pipelines_dir, f"copy_{number}")
        copy = new_pipeline("shop", pipeline.destination, pipelines_dir=folder)
        is_replaced = "write_disposition" in option
        source = quick_results(runs[0] if is_replaced else None).with_resources("dbt_node_parents")
        spans: list[tuple[int, int]] = []
        source.dbt_node_parents.add_map(partial(_note_span, spans))
        copy.extract(source, **option)
        assert spans == [(runs[0], runs[0 if is_replaced else 1])] * 3


def _note_span(spans: list[tuple[int, int]], row: Row) -> Row:
    spans.append((row["first_run_id"], row["last_run_id"]))
    return row


def test_files_get_no_row_twice(
    cloud: DBTCloudEmulator,
    lake: dlt.Pipeline,
    caplog: pytest.LogCaptureFixture,
    asked: list[str],
) -> None:
    scripted = nightly(cloud, run_generate_sources=True)
    first, second = finished_run(cloud, scripted), finished_run(cloud, scripted)
    slow = id_of(started_run(cloud, nightly(cloud, duration=None)))
    # one of each kind: of runs, of steps, of all runs, and empty
    of_run, shared = ("dbt_runs", "dbt_source_freshness"), ("dbt_nodes", "dbt_node_parents")
    tables = (*of_run, *shared, "dbt_run_loads")
    lake.run(quick_results(first).with_resources(*tables))
    assert [*counts(lake, *tables).values()] == [1, 1, 4, 3, 0]
    assert not any(extracted(lake, quick_results(slow).with_resources("dbt_runs")).values())
    cloud.finish_run(slow)
    for used in (lake, new_pipeline("other", lake.destination)):
        found = extracted(used, quick_results().with_resources(*tables))
        assert {row["run_id"] for row in found["dbt_runs"]} == {second, slow}
        assert sizes(found) == {"dbt_runs": 2, "dbt_source_freshness": 1}
    asked.clear()
    assert not any(extracted(lake, quick_results().with_resources(*tables)).values())
    assert asked == []
    assert "cannot be read from the destination" not in caplog.text
