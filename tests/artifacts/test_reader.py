"""Late uploads are awaited, permanent errors are no exceptions, and code is skipped."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudServerError
from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.outages import RateLimiter
from dlt_dbtcloud.dbt import Catalog, code_of
from dlt_dbtcloud.dbt.artifacts import CatalogTable
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.payloads import RELATED
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, clocked
from tests.support.dbt.manifests import read_freshness, read_manifest, read_results
from tests.support.dbt.results import (
    FILES,
    MANIFEST,
    RUN_RESULTS,
    SOURCES,
    finished_run,
    nightly,
    requested_files,
)

IDS = read_manifest(MANIFEST).unique_ids


def test_the_freshness_of_stale_sources_is_awaited(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = nightly(cloud, execute_steps=["dbt source freshness"], outcome="error")
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    run["run_steps"][-1]["logs"] = "1 of 1 ERROR STALE freshness of raw.orders\nDone."
    cloud.fail("get_artifact", "status", status=404, calls=2, when="before")
    reader = RunReader(clocked(client, FakeClock()), run)
    assert [found for _, found in reader.read_freshness()] == [read_freshness(SOURCES)]
    assert requested_files(cloud)[-3:] == ["sources.json"] * 3


@pytest.mark.parametrize("status", [403, 404])
def test_a_run_that_does_not_exist_any_more_has_no_results(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, status: int
) -> None:
    cloud.fail("get_run", "status", status=status, calls=None, when="before")
    assert RunReader(clocked(client, FakeClock()), Run(id=7, is_complete=True)).read_results() == []


def test_the_steps_of_a_run_without_steps_are_requested(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    reader = RunReader(clocked(client, FakeClock()), Run(id=run_id, is_complete=True))
    assert [found for _, found in reader.read_results()] == [read_results(RUN_RESULTS)]
    cloud.fail("get_run", "status", calls=None, when="before")
    with pytest.raises(DBTCloudServerError):
        _ = RunReader(clocked(client, FakeClock()), Run(id=run_id, is_complete=True)).read_results()


def test_a_page_in_place_of_a_run_is_a_transient_error(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    run_id = finished_run(cloud, nightly(cloud))
    cloud.fail("get_run", "html", status=200, calls=None, when="before")
    with pytest.raises(DBTCloudServerError, match="Something is in the way"):
        _ = RunReader(clocked(client, FakeClock()), Run(id=run_id, is_complete=True)).read_results()


def test_the_manifest_of_another_step_is_read_if_the_last_one_has_none(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = nightly(cloud, execute_steps=["dbt seed", "dbt build"])
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    # the results of both steps, and then the manifest of the last one
    cloud.fail("get_artifact", "status", status=403, skip=2, when="before")
    assert RunReader(clocked(client, FakeClock()), run).read_manifest().unique_ids == IDS


@pytest.mark.parametrize("step", ["dbt parse", "dbt source freshness"])
def test_a_run_without_results_has_a_manifest(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, step: str
) -> None:
    job = nightly(cloud, execute_steps=[step])
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    assert RunReader(clocked(client, FakeClock()), run).read_manifest().unique_ids == IDS


def test_a_manifest_is_read_even_if_the_results_are_not_json(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    job = nightly(cloud, artifacts={**FILES, "run_results.json": b"<html>"})
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    reader = RunReader(clocked(client, FakeClock()), run)
    assert (reader.read_results(), reader.read_manifest().unique_ids) == ([], IDS)


def test_json_beyond_the_standard_is_read(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    results = b'{"results": [{"unique_id": "model.a.b", "status": "success", "failures": NaN, '
    results += b'"message": "\\ud800\xff", "execution_time": 1e999, '
    results += b'"adapter_response": {"rows_affected": ' + b"9" * 5000 + b"}}]}"
    job = nightly(cloud, artifacts={**FILES, "run_results.json": results})
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    ((_, found),) = RunReader(clocked(client, FakeClock()), run).read_results()
    (result,) = found.results
    assert (result.message, result.failures, result.execution_time) == ("?\ufffd", None, None)
    assert result.adapter_response == {"rows_affected": None}
    assert found.unread == ()


def test_code_is_skipped_unless_it_is_to_be_kept(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    result = {**RUN_RESULTS["results"][0], "compiled_code": "select 1"}
    files = {**FILES, "run_results.json": {"results": [result]}}
    run = client.get_run_status(finished_run(cloud, nightly(cloud, artifacts=files)), RELATED)
    for keeps_code in (False, True):
        ((_, found),) = RunReader(client, run, keeps_code=keeps_code).read_results()
        assert code_of(found.results[0]) == ("select 1" if keeps_code else None)


def test_requests_respect_the_rate_limit(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> None:
    run = client.get_run_status(finished_run(cloud, nightly(cloud)), RELATED)
    clock = FakeClock()
    client = clocked(client, clock).patient(limiter=RateLimiter(60, clock))
    reader = RunReader(client, run)
    assert reader.read_manifest()
    assert clock.sleeps == [1.0]


def reader_of(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, clock: FakeClock, job: int
) -> RunReader:
    run = client.get_run_status(finished_run(cloud, job), RELATED)
    return RunReader(clocked(client, clock), run)


FUSION = {**MANIFEST, "metadata": {"dbt_version": "2.0.0-preview.196"}}
CATALOG: dict[str, Any] = {"nodes": {"model.shop.orders": {"columns": {}}}, "sources": {}}


@pytest.mark.parametrize(
    ("steps", "requests"),
    [
        (["dbt build --write-catalog", "dbt docs generate"], 1),
        (["dbt build --write-catalog", "dbt build --select orders"], 1),
        # the environment may say so
        (["dbt build", "dbt docs generate"], 1),
    ],
)
def test_a_catalog_of_dbt_fusion_is_found_in_any_step(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, steps: list[str], requests: int
) -> None:
    clock = FakeClock()
    files = {**FILES, "manifest.json": FUSION, "catalog.json": CATALOG}
    reader = reader_of(cloud, client, clock, nightly(cloud, execute_steps=steps, artifacts=files))
    assert reader.read_catalog() == Catalog({"model.shop.orders": CatalogTable()}, {})
    assert requested_files(cloud).count("catalog.json") == requests


def test_a_catalog_that_dbt_fusion_does_not_write_is_not_awaited(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    files = {**FILES, "manifest.json": FUSION}
    job = nightly(cloud, execute_steps=["dbt build", "dbt docs generate"], artifacts=files)
    reader = reader_of(cloud, client, clock, job)
    assert reader.read_catalog() == Catalog()
    assert clock.sleeps == []
    reader.warn()
    (warning,) = [each.message for each in caplog.records]
    assert "it has no `catalog.json`; dbt Fusion needs `--write-catalog`" in warning


def test_a_catalog_that_dbt_core_writes_is_awaited(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    clock = FakeClock()
    job = nightly(cloud, execute_steps=["dbt build", "dbt docs generate"], artifacts=FILES)
    reader = reader_of(cloud, client, clock, job)
    assert reader.read_catalog() == Catalog()
    assert sum(clock.sleeps) > 50


def test_a_run_without_docs_takes_no_request_for_a_catalog(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    files = {**FILES, "manifest.json": FUSION}
    reader = reader_of(cloud, client, FakeClock(), nightly(cloud, artifacts=files))
    assert reader.read_catalog() == Catalog()
    assert "catalog.json" not in requested_files(cloud)


def test_the_manifest_of_generated_docs_is_read_last_as_dbt_fusion_has_none(
    cloud: DBTCloudEmulator, client: DBTCloudClientV2
) -> None:
    clock = FakeClock()
    job = nightly(cloud, execute_steps=["dbt source freshness", "dbt docs generate"])
    reader = reader_of(cloud, client, clock, job)
    reader.read_manifest()
    paths = [request for request in cloud.requests if request.path.endswith("manifest.json")]
    assert [request.query["step"] for request in paths] == [["4"]]
