"""Run jobs with `prefect-dbt`, and print the results as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from prefect_dbt.cloud import DbtCloudCredentials, DbtCloudExecutor
from prefect_dbt.cloud.jobs import trigger_dbt_cloud_job_run_and_wait_for_completion
from prefect_dbt.cloud.models import TriggerJobRunOptions


async def main() -> None:
    host, account, token, project, environment, job, repaired = sys.argv[1:]
    credentials = DbtCloudCredentials(api_key=token, account_id=int(account), domain=host)
    run = await run_job(credentials, int(job))
    repair = await run_job(credentials, int(repaired))
    async with credentials.get_administrative_client() as client:
        results = await client.get_run_artifact(run["id"], "run_results.json")
    place = {"project_id": int(project), "environment_id": int(environment)}
    executor = DbtCloudExecutor(credentials, **place, poll_frequency_seconds=1)
    manifests = [executor.fetch_manifest_from_job(int(job)), executor.generate_manifest()]
    answers = {"run": run, "repair": repair, "results": results.json(), "manifests": manifests}
    print(json.dumps(answers))


async def run_job(credentials: DbtCloudCredentials, job: int) -> dict[str, Any]:
    run: dict[str, Any] = await trigger_dbt_cloud_job_run_and_wait_for_completion(
        dbt_cloud_credentials=credentials,
        job_id=job,
        trigger_job_run_options=TriggerJobRunOptions(cause="prefect-dbt"),
        poll_frequency_seconds=1,
        retry_filtered_models_attempts=1,
    )
    return run


if __name__ == "__main__":
    asyncio.run(main())
