"""Tables of recorded dbt runs on the example project answer its questions."""

from __future__ import annotations

import duckdb
import pytest

from dlt_dbtcloud.source.schema import KEYS
from tests.support.projects.flights import EXAMPLES
from tests.support.projects.loaded_flights import LoadedFlights


def test_real_runs_and_their_tables(loaded: LoadedFlights) -> None:
    runs = [
        loaded.nightly,
        loaded.failed,
        loaded.retry,
        loaded.parsed,
    ]
    ids = [run["id"] for run in runs]
    found = loaded.sql("SELECT run_id, status, retried_run_id FROM dbt_runs ORDER BY run_id")
    assert found == [
        (ids[0], 10, None),
        (ids[1], 20, None),
        (ids[2], 10, ids[1]),
        (ids[3], 10, None),
    ]
    results = loaded.sql("SELECT run_id, status, count(*) FROM dbt_node_results GROUP BY ALL")
    statuses = {
        run_id: {status: count for each, status, count in results if each == run_id}
        for run_id in ids
    }
    assert statuses == {
        ids[0]: {"success": 18},
        ids[1]: {"success": 12, "pass": 39, "error": 1, "skipped": 30},
        ids[2]: {"success": 6, "pass": 22, "warn": 1, "no-op": 2},
        ids[3]: {},
    }
    nodes = loaded.sql("SELECT resource_type, count(*) FROM dbt_nodes GROUP BY ALL")
    assert dict(nodes) == {
        "exposure": 2,
        "model": 15,
        "seed": 2,
        "snapshot": 1,
        "source": 5,
        "test": 61,
        "unit_test": 1,
    }
    span = "SELECT DISTINCT first_run_id, last_run_id FROM {}"
    for table in ("dbt_nodes", "dbt_node_parents"):
        assert loaded.sql(span.format(table)) == [(ids[0], ids[3])]
    assert loaded.sql("SELECT count(*) FROM dbt_node_parents") == [(95,)]
    assert loaded.sql("SELECT status, count(*) FROM dbt_source_freshness GROUP BY 1") == [
        ("pass", 5)
    ]
    for table, key in KEYS.items():
        columns = ", ".join(key)
        twice = f"SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1"
        assert loaded.sql(twice) == []


def test_real_nodes_have_their_relation_owner_and_columns(loaded: LoadedFlights) -> None:
    (node,) = loaded.sql(
        "SELECT relation_name, materialized, owners, package_name, path, columns->0->>'type' "
        "FROM dbt_nodes WHERE name = 'mart_carrier_punctuality'"
    )
    assert node == (
        '"flights"."analytics"."mart_carrier_punctuality"',
        "table",
        '["operations@example.com"]',
        "flights",
        "models/marts/mart_carrier_punctuality.sql",
        "VARCHAR",
    )
    ((log,),) = loaded.sql("SELECT log_tail FROM dbt_run_steps WHERE log_tail IS NOT NULL")
    assert "fct_flights" in log
    assert "\x1b" not in log


def test_a_real_load_is_joined_to_the_nodes_built_from_it(loaded: LoadedFlights) -> None:
    (row,) = loaded.sql(
        "SELECT results.run_id, bound.pipeline_name, bound.dataset_name, "
        "CAST(bound.tables->>'airlines' AS INTEGER), loads.schema_name "
        "FROM _dlt_loads AS loads JOIN dbt_run_loads AS bound USING (load_id) "
        "JOIN dbt_node_results AS results USING (run_id) WHERE results.name = 'dim_carriers'"
    )
    assert row == (loaded.nightly["id"], "flights", "raw", 16, "nycflights")


@pytest.mark.parametrize(
    ("question", "column", "expected"),
    [
        ("Which load fed", 0, "fct_flights"),
        ("What failed", 1, "fct_flights"),
        ("Which models are the slowest", 0, "mart_fleet_usage"),
        ("Which tests warn", 0, "fct_flights_find_their_plane"),
        ("Which sources", 0, "source.flights.raw.weather"),
        ("What is downstream", 1, "mart_delay_by_weather"),
    ],
)
def test_every_example_query_has_its_answer(
    loaded: LoadedFlights, question: str, column: int, expected: str
) -> None:
    text = (EXAMPLES / "results.sql").read_text()
    (query,) = [each for each in text.split(";") if f"\n-- {question}" in each]
    with duckdb.connect(loaded.database) as connection:
        connection.execute("USE flights.raw")
        # other tests read the database as well
        connection.begin()
        # the recording is of another day
        connection.execute("UPDATE dbt_node_results SET completed_at = current_timestamp")
        connection.execute(
            "UPDATE dbt_source_freshness SET max_loaded_at = max_loaded_at - INTERVAL '2 days'"
        )
        found = connection.execute(query).fetchall()
        connection.rollback()
    assert expected in [row[column] for row in found]
