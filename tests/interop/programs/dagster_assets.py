"""Materialize the models of a dbt Cloud project as Dagster assets, and print them as JSON."""

# no `from __future__ import annotations`: Dagster reads the annotation of `context`
import json
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt.cloud_v2.asset_decorator import dbt_cloud_assets
from dagster_dbt.cloud_v2.resources import DbtCloudCredentials, DbtCloudWorkspace


def main() -> None:
    url, account, token, project, environment = sys.argv[1:]
    workspace = DbtCloudWorkspace(
        credentials=DbtCloudCredentials(account_id=int(account), access_url=url, token=token),
        project_id=int(project),
        environment_id=int(environment),
    )

    @dbt_cloud_assets(workspace=workspace)
    def models(context: dg.AssetExecutionContext, dbt_cloud: DbtCloudWorkspace) -> Iterator[Any]:
        yield from dbt_cloud.cli(["build"], context=context).wait()

    result = dg.materialize([models], resources={"dbt_cloud": workspace})
    evaluations = result.get_asset_check_evaluations()
    print(
        json.dumps(
            {
                "assets": sorted(
                    event.asset_key.to_user_string()
                    for event in result.get_asset_materialization_events()
                ),
                "checks": {each.check_name: each.passed for each in evaluations},
            }
        )
    )


if __name__ == "__main__":
    main()
