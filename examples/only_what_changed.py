"""Build only the descendants of loaded tables: of five tables, of one table, of none.

    python examples/only_what_changed.py

It uses the embedded dbt Cloud or, with credentials, your own job; see `load_and_transform.py`.
"""

import time
from contextlib import nullcontext

import dlt
from flights import nycflights
from load_and_transform import DEMO, announce, embedded_dbt_cloud, print_table, start

from dlt_dbtcloud import get_dbt_cloud_run_results, loaded_tables, run_dbt_cloud_job

Row = tuple[str, str, int, float]

TABLES = ("flights", "airlines", "airports", "planes", "weather")


def main() -> bool:
    """Load three times, run the job after each load, and compare."""
    dlt.config["data_writer.disable_compression"] = True
    pipeline = dlt.pipeline(
        "changes",
        destination=dlt.destinations.duckdb(str(DEMO / "flights.duckdb")),
        dataset_name="raw",
        pipelines_dir=str(DEMO / "dlt"),
    )
    is_embedded = dlt.secrets.get("dbt_cloud.api_token") is None
    with embedded_dbt_cloud() if is_embedded else nullcontext():
        rows = [load_and_build(pipeline, *tables) for tables in (TABLES, ("weather",), ())]
    print_table(["loaded", "run", "nodes built", "seconds"], rows)
    all_tables, weather, nothing = (seconds for *_, seconds in rows)
    announce(
        f"Saved: {all_tables - weather:.1f} s after loading only the weather, "
        f"{all_tables - nothing:.1f} s after loading nothing."
    )
    return True


def load_and_build(pipeline: dlt.Pipeline, *tables: str) -> Row:
    """Load some tables, then build their descendants."""
    if tables:
        pipeline.run(nycflights().with_resources(*tables))
    else:
        pipeline.run([], table_name="weather")
    loaded = loaded_tables(pipeline)
    announce(f"Loaded: {', '.join(loaded) or 'nothing'}. Running the job with `only_loaded` ...")
    began = time.monotonic()
    run = run_dbt_cloud_job(pipeline=pipeline, only_loaded=True, raise_on_failure=True)
    seconds = time.monotonic() - began
    built = get_dbt_cloud_run_results(run_id=run["id"]) if run["id"] else []
    return ", ".join(loaded) or "nothing", run["status_humanized"], len(built), seconds


if __name__ == "__main__":
    start(main)
