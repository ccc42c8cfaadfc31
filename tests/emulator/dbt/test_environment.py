"""dbt learns about its run as from the service, and nothing about the API token."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.dbt.fake_dbt import RECORDING, write_fake
from tests.support.servers.emulator_api import Api


def environment_of(api: Api, run_id: int) -> dict[str, str]:
    """Return the environment that a recording fake dbt saw."""
    api.ended(run_id)
    seen = api.get(f"/runs/{run_id}/artifacts/seen.json").json()
    return dict(seen["environ"])


@pytest.fixture
def job(cloud: DBTCloudEmulator, tiny: Path, tmp_path: Path) -> int:
    """Return a job whose dbt records its environment."""
    return cloud.create_job("Any", project_dir=tiny, dbt_executable=write_fake(tmp_path, RECORDING))


def test_dbt_knows_its_run(
    cloud: DBTCloudEmulator, api: Api, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD_RUN_ID", "of an outer run")
    run = api.trigger(job, cause="Nightly load")
    environ = environment_of(api, run["id"])
    expected = {
        "DBT_CLOUD_ACCOUNT_ID": str(cloud.account_id),
        "DBT_CLOUD_PROJECT_ID": str(run["project_id"]),
        "DBT_CLOUD_JOB_ID": str(job),
        "DBT_CLOUD_RUN_ID": str(run["id"]),
        "DBT_CLOUD_RUN_REASON": "Nightly load",
        "DBT_CLOUD_RUN_REASON_CATEGORY": "other",
        "DBT_CLOUD_ENVIRONMENT_ID": str(run["environment_id"]),
        "DBT_CLOUD_ENVIRONMENT_NAME": "Production",
        "DBT_CLOUD_ENVIRONMENT_TYPE": "prod",
    }
    for prefix in ("", "DBT_ENV_CUSTOM_ENV_"):
        assert {name: environ[prefix + name] for name in expected} == expected


def test_dbt_knows_its_kind_of_pull_request_and_of_environment(api: Api, job: int) -> None:
    environment = api.data(f"/jobs/{job}/")["environment_id"]
    kinds: list[tuple[str, dict[str, str | None], str]] = [
        ("github_pull_request", {"deployment_type": "staging"}, "staging"),
        ("gitlab_merge_request", {"deployment_type": "general"}, ""),
        ("azure_pull_request", {"type": "development", "deployment_type": None}, "dev"),
    ]
    for category, fields, kind in kinds:
        api.post(f"/environments/{environment}/", fields)
        environ = environment_of(api, api.trigger(job, **{f"{category}_id": 5})["id"])
        assert environ["DBT_CLOUD_RUN_REASON_CATEGORY"] == category
        assert environ["DBT_CLOUD_ENVIRONMENT_TYPE"] == kind


def test_a_token_in_the_cause_is_masked(cloud: DBTCloudEmulator, api: Api, job: int) -> None:
    environ = environment_of(api, api.trigger(job, cause=f"With {cloud.api_token}")["id"])
    assert environ["DBT_CLOUD_RUN_REASON"] == "With ***"
    assert cloud.api_token not in str(environ)
