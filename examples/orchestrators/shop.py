"""A pipeline with a dbt Cloud job: the steps that every orchestrator calls.

python examples/orchestrators/shop.py
"""

import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import dlt

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job


def shop() -> dlt.Pipeline:
    return dlt.pipeline(
        "shop",
        destination="duckdb",
        dataset_name="raw",
        pipelines_dir=tempfile.mkdtemp(),  # workers share the destination, but no files
    )


@dlt.resource(primary_key="id", write_disposition="merge")
def orders() -> Iterator[dict[str, Any]]:
    yield from ({"id": number} for number in range(3))


def load() -> None:
    shop().run(orders())


def build() -> int | None:
    run = run_dbt_cloud_job(pipeline=shop(), raise_on_failure=True, retries=1, timeout=3600)
    return run["id"]  # None if nothing was ever loaded


def load_results(run_id: int | None) -> None:
    if run_id:
        shop().run(dbt_cloud_results(run_id=run_id))


if __name__ == "__main__":
    load()
    built = build()
    load_results(built)
    sys.stdout.write(f"dbt Cloud run: {built}\n")
