"""The example project on dbt Fusion, behind the embedded dbt Cloud."""

from __future__ import annotations

import pytest

from dlt_dbtcloud import (
    DBTCloudRunFailed,
    dbt_cloud_results,
    get_dbt_cloud_run_results,
    materialized_assets,
    openlineage_events,
    run_dbt_cloud_job,
)
from tests.support.dbt.results import rows
from tests.support.projects.flights import Flights, executed, own_results, statuses
from tests.support.servers.openlineage_schema import validate

pytestmark = pytest.mark.fusion


@pytest.fixture
def loaded_flights(fusion_flights: Flights) -> Flights:
    fusion_flights.load()
    return fusion_flights


def test_a_build_has_results_assets_lineage_and_tables(loaded_flights: Flights) -> None:
    pipeline = loaded_flights.pipeline
    job = loaded_flights.job("dbt build --write-catalog", run_generate_sources=True)
    run = run_dbt_cloud_job(job_id=job, pipeline=pipeline)
    assert run["is_success"]
    results = get_dbt_cloud_run_results(run_id=run["id"])
    assert statuses(results) == {"success": 18, "pass": 61, "warn": 1}
    assets = {asset["name"]: asset for asset in materialized_assets(run)}
    assert len(assets) == 18
    (source,) = assets["stg_flights"]["upstream"]
    assert (source["unique_id"], source["schema"]) == ("source.flights.raw.flights", "raw")
    assert all(column["type"] for column in assets["fct_flights"]["metadata"]["columns"])
    events = openlineage_events(run)
    for event in events:
        validate(event)
    assert {event["eventType"] for event in events} == {"START", "COMPLETE"}
    # into the file in which dbt Fusion has just built
    pipeline.run(dbt_cloud_results(run_id=run["id"]))
    bound = "SELECT load_id FROM dbt_run_loads"
    assert rows(pipeline, f"SELECT count(*) FROM _dlt_loads WHERE load_id IN ({bound})") == [(1,)]
    counted = "SELECT count(*) FROM dbt_source_freshness WHERE status = lower(status)"
    assert rows(pipeline, counted)[0][0] > 0


def test_only_what_the_loaded_tables_feed_is_built(loaded_flights: Flights) -> None:
    job = loaded_flights.job()
    everything = run_dbt_cloud_job(job_id=job, raise_on_failure=True)
    loaded_flights.load("weather")
    run = run_dbt_cloud_job(
        job_id=job, pipeline=loaded_flights.pipeline, only_loaded=True, raise_on_failure=True
    )
    built = executed(run["id"])
    assert built == loaded_flights.listed("--select", "source:raw.weather+") - EXPOSURES
    assert built < executed(everything["id"])


# dbt Fusion has no results of them
EXPOSURES = {"punctuality_dashboard", "route_planning"}


def test_a_model_that_fails_is_explained(loaded_flights: Flights) -> None:
    loaded_flights.make_times_impossible()
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(
            job_id=loaded_flights.job(), pipeline=loaded_flights.pipeline, raise_on_failure=True
        )
    (failure,) = caught.value.failures
    assert (failure["name"], failure["status"]) == ("fct_flights", "error")
    assert "Conversion Error" in (failure["message"] or "")
    assert failure["skipped"] == statuses(own_results(caught.value.run_id))["skipped"] == 28
    assert (failure["tables"], failure["load_id"] is None) == (["raw.flights"], False)


def test_a_test_that_fails_is_explained_with_its_rows_and_what_it_skipped(
    loaded_flights: Flights,
) -> None:
    loaded_flights.sql("UPDATE raw.flights SET dep_time = 900 WHERE dep_time = 517")
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(job_id=loaded_flights.job(), raise_on_failure=True)
    (test,) = caught.value.failures
    assert test["status"] == "fail"
    assert (test["message"] or "").startswith("Got 1 result, configured to fail if ")
    assert test["skipped"] == statuses(own_results(caught.value.run_id))["skipped"] > 0


def test_with_fail_fast_the_model_that_fails_is_named_though_all_may_be_reported(
    loaded_flights: Flights,
) -> None:
    loaded_flights.make_times_impossible()
    with pytest.raises(DBTCloudRunFailed) as caught:
        run_dbt_cloud_job(job_id=loaded_flights.job("dbt build --fail-fast"), raise_on_failure=True)
    assert [failure["name"] for failure in caught.value.failures] == ["fct_flights"]
    assert "models/marts/fct_flights.sql" in str(caught.value)
