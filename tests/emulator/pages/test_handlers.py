"""Jobs and runs are pages, live while a run is in progress, with logs and artifacts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.report.rendering import pages
from tests.report.rendering.test_pages import Document, details_of
from tests.support.dbt.fake_dbt import write_fake
from tests.support.dbt.recordings import Replay, replayed_job
from tests.support.dbt.results import MANIFEST, RUN_RESULTS, SOURCES
from tests.support.reports.strange import COMMAND, PASSWORD, leaking_artifacts
from tests.support.servers.emulator_api import Api

ARTIFACTS = {"manifest.json": MANIFEST, "run_results.json": RUN_RESULTS}


def page(url: str, **headers: str) -> Document:
    response = requests.get(url, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("text/html")
    return Document(response.text)


def data_of(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.content("application/json"))
    return found


def test_the_root_lists_jobs_and_their_runs(cloud: DBTCloudEmulator, api: Api) -> None:
    assert "There are no jobs yet." in page(cloud.url).text
    job = cloud.create_job("Nightly <b>", execute_steps=["dbt build", "dbt test"])
    runs = [api.trigger(job)["id"] for _ in range(22)]
    cloud.create_job("Hourly")
    document = page(cloud.url)
    links = [a["href"] for tag, a in document.tags if tag == "a"]
    project = api.run(runs[0])["project_id"]
    path = f"/deploy/{cloud.account_id}/projects/{project}/runs/"
    assert links == [f"{path}{run}/" for run in runs[:1:-1]]
    assert "Nightly <b>" in document.text
    assert "and 2 earlier runs" in document.text
    assert "Hourly" in document.text
    assert "It has no runs yet." in document.text


def test_jobs_of_other_accounts_are_not_shown(cloud: DBTCloudEmulator) -> None:
    account = cloud.create_account("Other")
    cloud.create_job("Theirs", account_id=account)
    assert "Theirs" not in page(cloud.url).text


def test_a_run_is_the_page_of_its_link(cloud: DBTCloudEmulator, api: Api) -> None:
    cause = "Nightly: dlt pipeline shop, load 1790000000.5 [dlt:0123456789ab]"
    run = api.trigger(cloud.create_job("Nightly", artifacts=ARTIFACTS), cause=cause)
    document = page(run["href"])
    for words in ("Nightly", "Success", "1790000000.5", "pipeline shop", "Steps"):
        assert words in document.text
    names = [node[0] for node in data_of(document)["nodes"]]
    assert names[:2] == ["orders", "test.shop.not_null_orders_id.ab12"]
    assert data_of(document)["refresh"] is None


def test_a_run_without_a_manifest_has_the_project_of_an_earlier_one(
    cloud: DBTCloudEmulator, api: Api, tmp_path: Path
) -> None:
    for name in ("dbt_project.yml", "profiles.yml"):
        (tmp_path / name).write_text("{}\n")
    failing = f"""
if (pathlib.Path(__file__).parent / "fails").exists():
    sys.exit("Compilation Error")
(target / "manifest.json").write_text({json.dumps(json.dumps(MANIFEST))})
"""
    program = write_fake(tmp_path, failing)
    job = cloud.create_job("Nightly", project_dir=tmp_path, dbt_executable=program)
    api.ended(api.trigger(job)["id"])
    (tmp_path / "fails").touch()
    cause = "Nightly: retry of run 7 [dlt:0123456789ab]"
    document = page(api.ended(api.trigger(job, cause=cause)["id"])["href"])
    assert "its project is that of an earlier run" in document.text
    assert "The step failed, but none of its nodes did." in document.text
    assert "Retry of Run 7" in document.text
    assert "board" in {node[0] for node in data_of(document)["nodes"]}


def test_slow_nodes_are_compared_with_earlier_runs(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Nightly", artifacts=ARTIFACTS)
    first, second = (api.trigger(job)["href"] for _ in range(2))
    assert "Median" not in page(first).text
    assert "1 run · 1.50 s as usual" in page(second).text


def test_a_recorded_run_of_real_dbt_has_its_nodes(
    cloud: DBTCloudEmulator, api: Api, tmp_path: Path
) -> None:
    job = Replay(cloud, tmp_path, "failed_model").create_job("Nightly")
    run_id = api.trigger(job)["id"]
    document = page(api.ended(run_id)["href"])
    assert "Time out of range" in document.text
    assert "Skipped because of it, 30 nodes" in document.text
    assert "Fed by flights.raw.flights" in document.text
    data = data_of(document)
    assert len(data["executions"]) == 82
    assert [view["key"] for view in data["views"]][:2] == ["nodes", "folders"]


def test_a_recorded_run_of_dbt_fusion_has_its_nodes(
    cloud: DBTCloudEmulator, api: Api, tmp_path: Path
) -> None:
    job = replayed_job(cloud, tmp_path, "failures")
    text = page(api.ended(api.trigger(job)["id"])["href"]).text
    for words in (
        "Engine dbt Fusion 2.0.",
        "Got 1 result Skipped because of it, 2 nodes: prices.v1 , prices.v2",
        "accepted_values_juice_sort__boskoop Got 1 result",
        # it is ephemeral
        "picked model no-op",
    ):
        assert words in text


def test_stale_sources_have_their_limits(cloud: DBTCloudEmulator, api: Api) -> None:
    files = {**ARTIFACTS, "sources.json": SOURCES}
    job = cloud.create_job("x", execute_steps=["dbt source freshness"], artifacts=files)
    text = page(api.trigger(job)["href"]).text
    assert "orders 1 d 0 h old, loaded at 2026-01-30T06:00:00Z, warn after 1 day" in text


def test_a_run_in_progress_is_live(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Nightly", duration=None, artifacts=ARTIFACTS))
    document = page(run["href"])
    assert data_of(document)["refresh"] >= 1.0
    assert "live" in document.text
    cloud.finish_run(run["id"])
    document = page(run["href"])
    assert data_of(document)["refresh"] is None
    assert "succeeded" in document.text


def test_a_page_that_has_not_changed_is_not_sent_again(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Nightly", duration=None))
    for url in (run["href"], cloud.url):
        tag = requests.get(url, timeout=60).headers["ETag"]
        again = requests.get(url, headers={"If-None-Match": tag}, timeout=60)
        if url == run["href"]:
            assert (again.status_code, again.content) == (304, b"")
    cloud.finish_run(run["id"])
    tag = requests.get(run["href"], timeout=60).headers["ETag"]
    changed = requests.get(run["href"], headers={"If-None-Match": "old"}, timeout=60)
    assert (changed.status_code, changed.headers["ETag"]) == (200, tag)


def test_pages_are_not_requests_of_the_api(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Nightly"))
    before = cloud.requests
    page(run["href"])
    page(cloud.url)
    # as each browser does
    assert requests.get(f"{cloud.url}/favicon.ico", timeout=60).status_code == 204
    assert cloud.requests == before
    assert cloud.unhandled == []


def test_logs_and_artifacts_are_downloads(cloud: DBTCloudEmulator, api: Api) -> None:
    files = {**ARTIFACTS, "index.html": b"<script>alert(1)</script>"}
    run = api.trigger(cloud.create_job("Nightly", artifacts=files))
    document = page(run["href"])
    links = [a["href"] or "" for tag, a in document.tags if tag == "a" and "steps/" in str(a)]
    names = {link.rpartition("/")[2] for link in links}
    assert {"log.txt", "manifest.json", "run_results.json", "index.html"} <= names
    for link in links:
        response = requests.get(cloud.url + link, timeout=60)
        assert response.status_code == 200, link
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in response.headers["Content-Security-Policy"]
    last = max(links)
    base = last[: last.index("/steps/")]
    for missing in ("steps/99/log.txt", "steps/4/target/nothing", "steps/4/target/../../x"):
        assert requests.get(f"{cloud.url}{base}/{missing}", timeout=60).status_code == 404


def test_no_page_shows_the_token(cloud: DBTCloudEmulator, api: Api) -> None:
    leaking = {"results": [{**RUN_RESULTS["results"][0], "message": cloud.api_token}]}
    job = cloud.create_job(
        f"By {cloud.api_token}", artifacts={**ARTIFACTS, "run_results.json": leaking}
    )
    run = api.trigger(job)
    for url in (cloud.url, run["href"]):
        assert cloud.api_token not in requests.get(url, timeout=60).text


def test_secrets_in_artifacts_are_not_on_the_page(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("x", artifacts=leaking_artifacts(), execute_steps=[COMMAND])
    document = page(api.trigger(job)["href"])
    data = document.content("application/json") + json.dumps(details_of(document))
    assert PASSWORD not in document.text + data
    assert "me:***" in data


def test_strange_artifacts_have_a_page(cloud: DBTCloudEmulator, api: Api) -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"manifest.json": b"[" * 100_000, "run_results.json": b"[" * 100_000},
        {"manifest.json": b"no json", "run_results.json": b"[1]"},
        {"manifest.json": {"nodes": [1], "sources": {"a": 1, "b": {"name": 7, "columns": [2]}}}},
        {"run_results.json": {"results": [{"unique_id": "a.b", "status": "x", "timing": [5]}]}},
        {"run_results.json": {"results": [{"unique_id": 1}, 2, {"unique_id": "a", "status": []}]}},
        {"sources.json": {"results": [{"unique_id": "source.a.b.c", "status": "error"}]}},
        {
            "run_results.json": b'{"results": [{"unique_id": "a", "status": "b", '
            b'"execution_time": NaN, "failures": Infinity}]}'
        },
    ]
    for artifacts in cases:
        run = api.trigger(cloud.create_job("Nightly", artifacts=artifacts))
        assert "Success" in page(run["href"]).text


def test_without_jinja_a_page_names_the_command(
    cloud: DBTCloudEmulator, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.trigger(cloud.create_job("Nightly"))
    pages._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for url in (cloud.url, run["href"]):
        response = requests.get(url, timeout=60)
        assert response.status_code == 501
        assert "pip install" in response.json()["status"]["user_message"]


def test_a_run_of_another_project_has_no_page(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Nightly"))
    wrong = run["href"].replace(f"projects/{run['project_id']}/", "projects/1/")
    assert requests.get(wrong, timeout=60).status_code == 404
