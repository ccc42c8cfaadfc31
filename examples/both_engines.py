"""Run one project on dbt Core and on dbt Fusion: a build, a failure, and its retry.

    python examples/both_engines.py

dbt Cloud is moving to dbt Fusion. This shows offline whether a project and its retries survive
that. dbt Fusion is installed first, unless its program is named: `both_engines.py PROGRAM`. To try
a project of yours, change `PROJECT`, `environ`, and what makes it fail.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import dlt
import duckdb
from flights import nycflights
from install_fusion import install
from load_and_transform import DEMO, announce, print_table, start

from dlt_dbtcloud import (
    DBTCloudRunFailed,
    get_dbt_cloud_run_results,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import NodeResult

PROJECT = Path(__file__).parent / "flights_dbt"
FUSION = Path(__file__).parents[1] / ".venv-fusion"
DATABASE = DEMO / "both_engines.duckdb"
# an impossible time, and a possible one
BREAK = "UPDATE raw.flights SET dep_time = 9999 WHERE dep_time = 517"
REPAIR = "UPDATE raw.flights SET dep_time = 517 WHERE dep_time = 9999"


def main() -> bool:
    """Run the job three times on each engine and compare; return whether both retries succeeded."""
    fusion = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else install(FUSION)
    load()
    with DBTCloudEmulator() as cloud:
        os.environ.update(cloud.environment())
        engines = []
        for program in ("dbt", str(fusion)):
            job_id = cloud.create_job(
                "Nightly",
                execute_steps=["dbt build"],
                project_dir=PROJECT,
                environ={"FLIGHTS_DUCKDB": str(DATABASE)},
                dbt_executable=program,
            )
            engines.append(try_engine(job_id))
    versions, runs = zip(*engines, strict=True)
    announce("Nodes of each run, by status")
    rows = [[name, *(summary(run[name]) for run in runs)] for name in runs[0]]
    print_table(["run", *versions], rows)
    core, other = (by_node(run["retried"]) for run in runs)
    differing = [
        [node, core.get(node, "-"), other.get(node, "-")]
        for node in sorted(core.keys() | other.keys())
        if core.get(node) != other.get(node)
    ]
    announce(f"Nodes with different statuses: {len(differing)}")
    print_table(["node", *versions], differing)
    return all(is_built(run["retried"]) for run in runs)


def load() -> None:
    """Load the tables into a DuckDB file that both engines can read."""
    announce("dlt is loading New York's flights of 2013 ...")
    if not DATABASE.exists():
        DATABASE.parent.mkdir(parents=True, exist_ok=True)
        # dbt Fusion's driver is DuckDB 1, which does not read the newest format of DuckDB 2
        duckdb.connect(str(DATABASE), config={"storage_compatibility_version": "v1.0.0"}).close()
    dlt.config["data_writer.disable_compression"] = True
    pipeline = dlt.pipeline(
        "both_engines",
        destination=dlt.destinations.duckdb(str(DATABASE)),
        dataset_name="raw",
        pipelines_dir=str(DEMO / "dlt"),
    )
    pipeline.run(nycflights())


def try_engine(job_id: int) -> tuple[str, dict[str, list[NodeResult]]]:
    """Build, let a model fail, repair the data and retry; return the version and the results."""
    built = run_dbt_cloud_job(job_id=job_id, raise_on_failure=True)
    version = f"dbt {built['dbt_version']}"
    announce(f"{version} has built the project in {built['run_duration']}.")
    execute(BREAK)
    try:
        run_dbt_cloud_job(job_id=job_id, raise_on_failure=True)
        raise RuntimeError(f"{version} did not fail.")
    except DBTCloudRunFailed as error:
        print(error)
        failed = error.run_id
    finally:
        execute(REPAIR)
    retried = retry_dbt_cloud_run(run_id=failed)
    announce(f"The retry with {version}: {retried['status_humanized']}")
    ids = {"built": built["id"], "failed": failed, "retried": retried["id"]}
    return version, {name: get_dbt_cloud_run_results(run_id=run_id) for name, run_id in ids.items()}


def execute(statement: str) -> None:
    with duckdb.connect(str(DATABASE)) as connection:
        connection.execute(statement)


def summary(results: Iterable[NodeResult]) -> str:
    counts = Counter(result["status"] for result in results)
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def by_node(results: Iterable[NodeResult]) -> dict[str, str]:
    return {result["unique_id"]: result["status"] for result in results}


def is_built(results: Iterable[NodeResult]) -> bool:
    return not {"error", "fail", "skipped"} & {*by_node(results).values()}


if __name__ == "__main__":
    start(main)
