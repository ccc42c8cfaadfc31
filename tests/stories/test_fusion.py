"""The example project on dbt Fusion, behind the embedded dbt Cloud."""

from __future__ import annotations

import pytest

from dlt_dbtcloud import run_dbt_cloud_job
from tests.support.flights import Flights, own_results, statuses

pytestmark = pytest.mark.fusion


def test_the_flights_are_built(fusion_flights: Flights) -> None:
    fusion_flights.load()
    run = run_dbt_cloud_job(job_id=fusion_flights.job(), pipeline=fusion_flights.pipeline)
    assert run["is_success"]
    assert statuses(own_results(run["id"])) == {"success": 18, "pass": 61, "warn": 1}
