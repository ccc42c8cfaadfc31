"""Build only what a load feeds: all five tables, then the weather alone, then nothing.

    python examples/only_what_changed.py

Like `load_and_transform.py` it uses the embedded dbt Cloud, or with credentials a job of yours.
"""

import time
from contextlib import nullcontext

import dlt
from flights import nycflights
from load_and_transform import DEMO, embedded_dbt_cloud, say, show, start

from dlt_dbtcloud import get_dbt_cloud_run_results, loaded_tables, run_dbt_cloud_job

Row = tuple[str, str, int, float]

TABLES = ("flights", "airlines", "airports", "planes", "weather")


def main() -> bool:
    """Load three times, run the job after each, and compare."""
    dlt.config["data_writer.disable_compression"] = True
    pipeline = dlt.pipeline(
        "changes",
        destination=dlt.destinations.duckdb(str(DEMO / "flights.duckdb")),
        dataset_name="raw",
        pipelines_dir=str(DEMO / "dlt"),
    )
    is_embedded = dlt.secrets.get("dbt_cloud.api_token") is None
    with embedded_dbt_cloud() if is_embedded else nullcontext():
        rows = [
            load_and_build(pipeline, *tables)
            for tables in (
                ("flights", "airlines", "airports", "planes", "weather"),
                ("weather",),
                (),
            )
        ]
    show(["loaded", "run", "nodes built", "seconds"], rows)
    whole, part, none = (seconds for *_, seconds in rows)
    say(f"Saved: {whole - part:.1f} s for the weather alone, {whole - none:.1f} s for nothing.")
    return True


def load_and_build(pipeline: dlt.Pipeline, *tables: str) -> Row:
    """Load some tables, and have dbt build what descends from them."""
    if tables:
        pipeline.run(nycflights().with_resources(*tables))
    else:
        pipeline.run([], table_name="weather")
    loaded = loaded_tables(pipeline)
    say(f"Loaded: {', '.join(loaded) or 'nothing'}. dbt Cloud builds what descends from it ...")
    began = time.monotonic()
    run = run_dbt_cloud_job(pipeline=pipeline, only_loaded=True, raise_on_failure=True)
    seconds = time.monotonic() - began
    built = get_dbt_cloud_run_results(run_id=run["id"]) if run["id"] else []
    return ", ".join(loaded) or "nothing", run["status_humanized"], len(built), seconds


if __name__ == "__main__":
    start(main)
