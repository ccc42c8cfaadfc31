"""Every table that a load has changed is listed with its rows and its place."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.pipeline import LoadInfo
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.trace import load_trace

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.loads.packages import RESULTS_HINT, RESULTS_SCHEMA, LastLoad, last_load
from dlt_dbtcloud.loads.tables import loaded_relations, loaded_tables, tables_by_schema
from dlt_dbtcloud.values import Relation
from tests.fixtures import WriteConfig
from tests.support.loading.loads import SharedLoads, load_sources, source_of
from tests.support.loading.warehouse import EmptiedWarehouse, new_pipeline, shared_warehouse
from tests.support.operations import calls_of
from tests.support.processes.forks import run_forked

Rows = list[dict[str, Any]]
ORDER: Rows = [{"id": 1, "items": [{"sku": "a"}, {"sku": "b"}]}]


MERGED: dict[str, Any] = {"write_disposition": "merge", "primary_key": "id"}


@pytest.fixture
def shared() -> dlt.Pipeline:
    """Return a pipeline whose DuckDB another process can open, too, or move away."""
    destination = shared_warehouse("shop.duckdb")
    return dlt.pipeline("shop", destination=destination, dataset_name="raw")


def resource(rows: Rows, name: str = "orders", **hints: Any) -> Any:
    def produce() -> Iterator[Any]:
        yield from rows

    return dlt.resource(produce, name=name, **hints)


def results() -> Any:
    """Return a source of dbt's results."""
    runs = resource([{"id": 1}], "dbt_runs")
    runs.apply_hints(additional_table_hints={RESULTS_HINT: True})
    return source_of(RESULTS_SCHEMA, runs)


def rows_of(pipeline: dlt.Pipeline, table: str) -> int:
    with pipeline.sql_client() as client, client.execute_query(f"FROM {table}") as cursor:
        return len(cursor.fetchall())


def in_another_process(pipeline: dlt.Pipeline, code: str) -> str:
    folder = pipeline.pipelines_dir
    code = (
        "import dlt; from dlt_dbtcloud.loads.tables import loaded_relations, loaded_tables\n"
        f"pipeline = dlt.attach({pipeline.pipeline_name!r}, pipelines_dir={folder!r})\n{code}"
    )
    return run_forked(code).strip()


@pytest.fixture
def loaded_sources(shared_loads: SharedLoads) -> Iterator[dlt.Pipeline]:
    """Return a pipeline that has loaded both sources; it is shared."""
    with shared_loads.pipeline("sales", load_sources) as pipeline:
        yield pipeline


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded both sources."""
    return shared_loads.copy("sales", load_sources)


def load_twice(pipeline: dlt.Pipeline) -> None:
    """Load tables of each write disposition, then load less into them, and other resources."""
    replaced: Any = {"write_disposition": "replace"}
    deleted: Any = {**MERGED, "columns": {"gone": {"hard_delete": True, "data_type": "bool"}}}
    history: Any = {"write_disposition": {"disposition": "merge", "strategy": "scd2"}}
    loads: dict[str, tuple[dict[str, Any], Rows, Rows]] = {
        "appended": ({"parallelized": True}, ORDER, [{"id": 2}]),
        "merged": (MERGED, ORDER, [{"id": 1}]),
        "replaced": (replaced, ORDER, [{"id": 2}]),
        "emptied": (replaced, ORDER, []),
        "deleted": (deleted, [{"id": 1, "gone": False}], [{"id": 1, "gone": True}]),
        "history": (history, [{"id": 1}, {"id": 2}], [{"id": 1}]),
        "appends_nothing": ({}, ORDER, []),
        "merges_nothing": (MERGED, ORDER, []),
    }
    columns: Any = {"id": {"data_type": "bigint"}}
    created = [dlt.mark.materialize_table_schema()]
    others = [
        resource([{"id": 1}], "OrderLines"),
        dlt.resource(created, name="created", columns=columns),
        resource(ORDER, "once_merged", parallelized=True, **MERGED),
    ]
    pipeline.config.restore_from_destination = False
    for number in (0, 1):
        each = [resource(rows[number], name, **hints) for name, (hints, *rows) in loads.items()]
        pipeline.run([*each, *(others if number else [])])


@pytest.fixture
def twice(shared_loads: SharedLoads) -> Iterator[dlt.Pipeline]:
    """Return a pipeline that has loaded twice into tables of each disposition; it is shared."""
    with shared_loads.pipeline("shop", load_twice) as pipeline:
        yield pipeline


def loaded_from(pipeline: dlt.Pipeline, name: str) -> dict[str, int | None]:
    """Return the tables that the load of a resource has changed."""
    found = loaded_tables(pipeline)
    return {table: rows for table, rows in found.items() if table.partition("__")[0] == name}


def test_nested_tables_are_listed_and_dlts_own_are_not(loaded_sources: dlt.Pipeline) -> None:
    assert loaded_tables(loaded_sources) == {"orders": 1, "orders__items": 2, "users": 1}


def test_a_load_info_lists_the_same(loaded_sources: dlt.Pipeline) -> None:
    trace = loaded_sources.last_trace
    assert trace is not None
    assert loaded_tables(trace.last_load_info) == loaded_tables(loaded_sources)
    assert loaded_relations(trace.last_load_info) == loaded_relations(loaded_sources)
    assert loaded_tables(None) == {}
    assert loaded_relations(None) == []


def test_a_load_info_of_a_trace_on_disk_lists_the_tables_alone(
    loaded_sources: dlt.Pipeline,
) -> None:
    trace = load_trace(loaded_sources.working_dir)
    assert trace
    assert loaded_tables(trace.last_load_info) == dict.fromkeys(loaded_tables(loaded_sources))
    relations = loaded_relations(trace.last_load_info)
    assert [each.name for each in relations] == [
        each.name for each in loaded_relations(loaded_sources)
    ]


def test_resources_of_each_kind_are_listed_as_in_the_destination(twice: dlt.Pipeline) -> None:
    assert loaded_tables(twice) == {
        "appended": 1,
        # the table was only created
        "created": 0,
        "deleted": 1,
        **dict.fromkeys(("emptied", "emptied__items"), 0),
        "history": 1,
        "merged": 1,
        "merged__items": 0,
        "once_merged": 1,
        "once_merged__items": 2,
        "order_lines": 1,
        "replaced": 1,
        "replaced__items": 0,
    }
    assert rows_of(twice, "created") == 0


def test_nothing_was_loaded_by_a_pipeline_that_never_ran(pipeline: dlt.Pipeline) -> None:
    assert loaded_tables(pipeline) == {}


@pytest.mark.parametrize("disposition", ["appends", "merges"])
def test_a_resource_that_yields_nothing_loads_nothing(
    twice: dlt.Pipeline, disposition: str
) -> None:
    assert loaded_from(twice, f"{disposition}_nothing") == {}


def test_a_load_without_data_loads_nothing(copy: dlt.Pipeline) -> None:
    assert loaded_tables(copy) == {"orders": 1, "orders__items": 2, "users": 1}
    info: Any = copy.run()
    assert info is None
    assert loaded_tables(copy) == loaded_tables(info) == {}
    copy.run([resource([]), resource([], "users", **MERGED)])
    assert loaded_tables(copy) == {}


def test_a_change_of_state_alone_loads_nothing(copy: dlt.Pipeline) -> None:
    @dlt.resource
    def empty() -> Iterator[Rows]:
        dlt.current.resource_state()["seen"] = True
        yield from ()

    expected = last_load(copy)
    copy.run(empty())
    assert loaded_tables(copy) == {}
    assert last_load(copy) == expected


def test_an_emptied_table_has_changed_and_so_have_its_nested_ones(twice: dlt.Pipeline) -> None:
    assert rows_of(twice, "emptied__items") == 0
    assert loaded_from(twice, "emptied") == {"emptied": 0, "emptied__items": 0}


def test_a_nested_table_that_got_no_rows_is_emptied(twice: dlt.Pipeline) -> None:
    assert rows_of(twice, "replaced__items") == 0
    assert loaded_from(twice, "replaced") == {"replaced": 1, "replaced__items": 0}


def test_a_merge_takes_rows_from_nested_tables(twice: dlt.Pipeline) -> None:
    assert rows_of(twice, "merged__items") == 0
    assert loaded_from(twice, "merged") == {"merged": 1, "merged__items": 0}


def test_an_append_leaves_nested_tables_as_they_are(twice: dlt.Pipeline) -> None:
    assert rows_of(twice, "appended__items") == 2
    assert loaded_from(twice, "appended") == {"appended": 1}


def test_rows_that_a_merge_deletes_are_a_change(twice: dlt.Pipeline) -> None:
    assert rows_of(twice, "deleted") == 0
    assert loaded_from(twice, "deleted") == {"deleted": 1}


def test_a_history_of_rows_is_a_merge(twice: dlt.Pipeline) -> None:
    assert loaded_from(twice, "history") == {"history": 1}


@pytest.mark.parametrize("refresh", ["drop_data", "drop_resources"])
def test_a_refresh_changes_what_it_empties(copy: dlt.Pipeline, refresh: Any) -> None:
    stores = resource([{"id": 2}], "stores")
    copy.run(source_of("shop", resource([]), stores), refresh=refresh)
    assert loaded_tables(copy) == {"orders": 0, "orders__items": 0, "stores": 1}


def test_several_sources_are_one_load(loaded_sources: dlt.Pipeline) -> None:
    schemas = tables_by_schema(loaded_sources)
    assert schemas["shop"] == {"orders": 1, "orders__items": 2}
    assert schemas["crm"] == {"users": 1}


def test_rows_of_the_same_table_are_added_and_dev_mode_is_in_the_dataset(
    emptied_warehouse: EmptiedWarehouse,
) -> None:
    with emptied_warehouse.use() as destination:
        pipeline = new_pipeline("shop", destination, dev_mode=True)
        pipeline.extract(resource([{"id": 1}]))
        pipeline.extract(resource([{"id": 2}, {"id": 3}]))
        pipeline.normalize()
        pipeline.load()
        assert rows_of(pipeline, "orders") == 3
        assert loaded_tables(pipeline) == {"orders": 3}
        (relation,) = loaded_relations(pipeline)
    assert re.fullmatch(r"raw_\d{14}", relation.dataset or "")


@pytest.mark.usefixtures("forking")
def test_another_process_finds_the_same(loaded_sources: dlt.Pipeline) -> None:
    code = "print(repr((loaded_tables(pipeline), loaded_relations(pipeline))))"
    expected = repr((loaded_tables(loaded_sources), loaded_relations(loaded_sources)))
    assert in_another_process(loaded_sources, code) == expected


@pytest.mark.usefixtures("forking")
def test_rows_are_unknown_if_another_process_loads(shared: dlt.Pipeline) -> None:
    shared.extract(resource(ORDER))
    shared.normalize()
    found = in_another_process(shared, "pipeline.load(); print(loaded_tables(pipeline))")
    assert found == "{'orders': None, 'orders__items': None}"


def test_rows_are_unknown_if_the_trace_is_lost(copy: dlt.Pipeline) -> None:
    (Path(copy.working_dir) / "trace.pickle").unlink()
    assert loaded_tables(copy) == {"orders": None, "orders__items": None, "users": None}


def test_dbts_results_are_not_data(copy: dlt.Pipeline) -> None:
    older = copy.run([source_of("one", resource(ORDER, "sold")), results()])
    assert loaded_tables(copy) == {"sold": 1, "sold__items": 2}
    (of_data,) = [each.load_id for each in older.load_packages if each.schema_name == "one"]
    info = copy.run(results())
    assert last_load(copy) == LastLoad("sales", of_data)
    assert loaded_tables(info) == {}
    # the rows of an older load are not known any more
    unknown = {"sold": None, "sold__items": None}
    assert loaded_tables(copy) == loaded_tables(older) == unknown


def test_a_load_counts_after_its_last_step_and_a_failed_one_is_an_error_until_it_is_repeated(
    copy: dlt.Pipeline,
) -> None:
    older = copy.run(resource([{"id": 1}], "users"))
    copy.extract(resource(ORDER))
    assert loaded_tables(copy) == {"users": 1}
    copy.normalize()
    assert loaded_tables(copy) == {"users": 1}
    elsewhere: Any = dlt.destinations.duckdb(".")
    own, copy.destination = copy.destination, elsewhere
    with pytest.raises(PipelineStepFailed) as failed:
        copy.load()
    copy.destination = own
    info: Any = failed.value.step_info
    with pytest.raises(DBTCloudException, match="`sales` failed in step `load`"):
        loaded_tables(copy)
    with pytest.raises(DBTCloudException, match="was not loaded; it is `normalized`"):
        loaded_tables(info)
    assert loaded_tables(older) == {"users": 1}
    copy.load()
    assert loaded_tables(copy) == {"orders": 1, "orders__items": 2}


def test_other_types_are_refused() -> None:
    anything: Any = "shop"
    with pytest.raises(TypeError, match=r"is a `str`. Pass a `dlt.Pipeline`, or the `LoadInfo`"):
        loaded_tables(anything)


def moved(pipeline: dlt.Pipeline, destination: Any) -> set[Relation]:
    """Return the relations as they would be in a destination that is not there."""
    own, pipeline.destination = pipeline.destination, destination
    try:
        return set(loaded_relations(pipeline))
    finally:
        pipeline.destination = own


def test_relations_have_the_dataset(loaded_sources: dlt.Pipeline) -> None:
    # dbt may attach the file under another name, so DuckDB's database means nothing
    assert set(loaded_relations(loaded_sources)) == {
        Relation("orders", "raw"),
        Relation("orders__items", "raw"),
        Relation("users", "raw"),
    }


def test_clickhouse_has_the_dataset_in_the_name(loaded_sources: dlt.Pipeline) -> None:
    found = moved(
        loaded_sources, dlt.destinations.clickhouse("clickhouse://me:secret@host/landing")
    )
    assert {(relation.name, relation.dataset, relation.table) for relation in found} == {
        ("raw___orders", None, "orders"),
        ("raw___orders__items", None, "orders__items"),
        ("raw___users", None, "users"),
    }


def test_a_duckdb_file_is_attached_by_its_name(loaded_sources: dlt.Pipeline) -> None:
    found = moved(loaded_sources, dlt.destinations.duckdb("data/my.raw.db"))
    assert {relation.attached_as for relation in found} == {"my.raw"}
    # the name of a database in memory is that of any other
    found = moved(loaded_sources, dlt.destinations.duckdb(duckdb.connect()))
    assert {relation.attached_as for relation in found} == {None}


def test_files_are_in_no_dataset(loaded_sources: dlt.Pipeline) -> None:
    found = moved(loaded_sources, dlt.destinations.filesystem("lake"))
    assert {(relation.name, relation.dataset) for relation in found} == {
        ("orders", None),
        ("orders__items", None),
        ("users", None),
    }
    assert all(relation.is_file for relation in found)


def test_motherduck_has_the_database(loaded_sources: dlt.Pipeline) -> None:
    found = moved(loaded_sources, dlt.destinations.motherduck("md:lake?motherduck_token=secret"))
    assert Relation("orders", "raw", "lake") in found


@pytest.mark.filterwarnings("ignore")
def test_the_layout_is_in_the_dataset(shared_loads: SharedLoads, write_config: WriteConfig) -> None:
    write_config("config.toml", "dataset_name_layout = 'dev_%s'\n")
    copy = shared_loads.copy("sales", load_sources)
    assert {relation.dataset for relation in loaded_relations(copy)} == {"dev_raw"}


@pytest.mark.filterwarnings("ignore")
def test_the_dataset_has_the_name_that_dlt_gives_it(copy: dlt.Pipeline) -> None:
    folder = copy.pipelines_dir
    pipeline: Any = dlt.pipeline(
        copy.pipeline_name, folder, destination=copy.destination, dataset_name="Raw Data"
    )
    with pipeline.sql_client() as client:
        expected = client.dataset_name
    assert expected != "Raw Data"
    assert {relation.dataset for relation in loaded_relations(pipeline)} == {expected}


def test_each_schema_may_have_a_dataset_of_its_own(
    shared_loads: SharedLoads, write_config: WriteConfig
) -> None:
    write_config("config.toml", "use_single_dataset = false\n")
    copy = shared_loads.copy("sales", load_sources)
    datasets = {relation.name: relation.dataset for relation in loaded_relations(copy)}
    for schema, table in (("shop", "orders"), ("crm", "users")):
        with copy.sql_client(schema) as client:
            assert datasets[table] == client.dataset_name
    assert len(set(datasets.values())) == 2


def test_the_database_is_unknown_without_credentials(loaded_sources: dlt.Pipeline) -> None:
    assert moved(loaded_sources, dlt.destinations.snowflake()) == {
        Relation("orders", "raw"),
        Relation("orders__items", "raw"),
        Relation("users", "raw"),
    }
    # its default database means nothing while the token is missing
    assert Relation("orders", "raw") in moved(loaded_sources, dlt.destinations.motherduck())


def test_credentials_give_the_database(loaded_sources: dlt.Pipeline) -> None:
    snowflake = dlt.destinations.snowflake("snowflake://me:secret@host/LANDING")
    assert Relation("orders", "raw", "LANDING") in moved(loaded_sources, snowflake)


def test_the_configuration_is_the_pipelines_own(
    loaded_sources: dlt.Pipeline, write_config: WriteConfig
) -> None:
    url = "postgresql://me:secret@host/landing"
    write_config("secrets.toml", f"[sales.destination.postgres]\ncredentials = '{url}'\n")
    assert Relation("orders", "raw", "landing") in moved(
        loaded_sources, dlt.destinations.postgres()
    )


def test_case_counts_if_the_destination_is_case_sensitive(loaded_sources: dlt.Pipeline) -> None:
    bigquery = dlt.destinations.bigquery(project_id="landing")
    assert Relation("orders", "raw", "landing", True) in moved(loaded_sources, bigquery)


def test_a_destination_without_its_libraries_has_the_dataset(
    loaded_sources: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    assert Relation("orders", "raw") in moved(loaded_sources, dlt.destinations.mssql())


def wide_load(count: int) -> LoadInfo:
    """Return the info of a load of many tables, each with a nested one, appended or replaced."""
    pipeline = new_pipeline(f"wide_{count}", dlt.destinations.dummy(completed_prob=1))

    def rows(name: str) -> Iterator[Any]:
        for number in range(count // 2):
            yield dlt.mark.with_table_name({"id": 1, "parts": [{"id": 1}]}, f"{name}_{number}")

    dispositions: list[Any] = ["append", "replace"]
    return pipeline.run(
        [dlt.resource(rows(name), name=name, write_disposition=name) for name in dispositions]
    )


def test_the_work_grows_with_the_tables_and_not_with_their_square() -> None:
    few, many = (wide_load(count) for count in (2, 20))
    work = [calls_of(partial(tables_by_schema, info)) for info in (few, many)]
    assert work[1] < 2 * work[0]
    assert len(loaded_relations(many)) == 40
