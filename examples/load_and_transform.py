"""Load New York's flights of 2013 with dlt, then run a dbt Cloud job on them.

    python examples/load_and_transform.py

Without `[dbt_cloud]` credentials, it starts the embedded dbt Cloud, which runs dbt Core on the
DuckDB file that dlt loaded. There it also loads one table again, breaks a model, and retries the
run that failed. With `api_token`, `account_id` and `job_id` in `.dlt/secrets.toml`, or as
`DBT_CLOUD__*` variables, it triggers your own job on your own warehouse.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration import resolve_configuration
from dlt.common.exceptions import DltException
from dlt.pipeline.exceptions import PipelineStepFailed
from flights import nycflights
from rich.console import Console
from rich.table import Table

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudRunFailed,
    dbt_cloud_results,
    dbt_cloud_run_report,
    get_dbt_cloud_run_results,
    retry_dbt_cloud_run,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import Run

PROJECT = Path(__file__).parent / "flights_dbt"
DEMO = Path(__file__).parents[1] / ".demo"
# a copy, in which a model is broken
DEMO_PROJECT = DEMO / "flights_dbt"
BROKEN_MODEL = DEMO_PROJECT / "models" / "marts" / "dim_carriers.sql"
DATABASE = DEMO / "flights.duckdb"
PAGE = DEMO / "failed-run.html"
MART = """
    SELECT carrier, flights, 100 * on_time_share AS "% on time",
           100 * cancelled_share AS "% cancelled", avg_arrival_delay_minutes AS "minutes late"
    FROM analytics.mart_carrier_punctuality ORDER BY on_time_share DESC LIMIT 8
"""
LOADS = """
    SELECT load_id, strftime(inserted_at, '%Y-%m-%d %H:%M') AS loaded, name AS model,
           results.status, execution_time AS seconds
    FROM raw._dlt_loads AS loads
    INNER JOIN raw.dbt_run_loads AS bound USING (load_id)
    INNER JOIN raw.dbt_node_results AS results USING (run_id)
    WHERE resource_type = 'model' ORDER BY seconds DESC LIMIT 5
"""
FORMATS = {int: "{:,}", float: "{:,.2f}"}
console = Console(highlight=False)


def main() -> bool:
    """Load, transform and print the results; return whether the run succeeded."""
    is_embedded = dlt.secrets.get("dbt_cloud.api_token") is None
    with embedded_dbt_cloud() if is_embedded else nullcontext():
        config = resolve_configuration(DBTCloudConfiguration())
        # find a wrong setting before the load
        with DBTCloudClientV2(config.api_token, config.account_id, config.base_api_url) as client:
            client.get_job(config.job_id or "")
        pipeline = load()
        announce("dbt Cloud is running the job; one of its tests warns ...")
        run = run_dbt_cloud_job(pipeline=pipeline)
        print_run(run)
        if run["id"]:  # None if the run was skipped
            announce("dlt is loading the results of the run beside the data ...")
            pipeline.run(dbt_cloud_results(run_id=run["id"]))
        if not is_embedded or not run["is_success"]:
            return run["is_success"]
        build_one_table(pipeline)
        is_repaired = break_and_retry(pipeline)
    print_query(pipeline, "The slowest models and the load that they were built from", LOADS)
    print_query(pipeline, "Punctuality of the carriers (analytics.mart_carrier_punctuality)", MART)
    announce(f"""The data are in {DATABASE}, and the embedded dbt Cloud has ended. Try next:
  the page of the failed run:           {PAGE}
  how much time `only_loaded` saves:    .venv/bin/python examples/only_what_changed.py
  the same on dbt Core and dbt Fusion:  make demo-fusion
  more questions to the results:        examples/results.sql
  this dbt Cloud, for any client, with a page of each run:
    FLIGHTS_DUCKDB={DATABASE} .venv/bin/dlt dbt-cloud emulate examples/flights_dbt""")
    return is_repaired


def build_one_table(pipeline: dlt.Pipeline) -> None:
    """Load the weather again, and build only the nodes that depend on it."""
    announce("dlt is loading the weather again, and dbt builds only what depends on it ...")
    pipeline.run(nycflights().with_resources("weather"))
    print_run(run_dbt_cloud_job(pipeline=pipeline, only_loaded=True, raise_on_failure=True))


def break_and_retry(pipeline: dlt.Pipeline) -> bool:
    """Break a model, show the failure, write its page, repair the model and retry.

    Returns:
        Whether the retry succeeded.
    """
    announce("A developer breaks dim_carriers, and dlt loads the airlines ...")
    pipeline.run(nycflights().with_resources("airlines"))
    text = BROKEN_MODEL.read_text()
    BROKEN_MODEL.write_text(text.replace("carrier_name", "carier_name"))
    try:
        run_dbt_cloud_job(pipeline=pipeline, only_loaded=True, raise_on_failure=True)
        raise RuntimeError("The broken model did not fail.")
    except DBTCloudRunFailed as error:
        announce("The error names what failed, and the load behind it:")
        console.print(str(error), markup=False, soft_wrap=True)
        failed = error.run_id
    PAGE.write_text(dbt_cloud_run_report(run_id=failed), encoding="utf-8")
    BROKEN_MODEL.write_text(text)
    announce("The model is repaired, and a retry runs only what failed or was skipped ...")
    retried = retry_dbt_cloud_run(run_id=failed)
    announce("The results of a retry include the nodes that had succeeded before:")
    print_run(retried)
    return retried["is_success"]


@contextmanager
def embedded_dbt_cloud() -> Iterator[None]:
    """Start the embedded dbt Cloud with one job, and configure `[dbt_cloud]` for it."""
    if not PROJECT.is_dir():
        raise NotADirectoryError(f"`{PROJECT}` is not a folder.")
    shutil.rmtree(DEMO_PROJECT, ignore_errors=True)
    shutil.copytree(PROJECT, DEMO_PROJECT)
    with DBTCloudEmulator() as cloud:
        job_id = cloud.create_job(
            "Nightly",
            execute_steps=["dbt build"],
            project_dir=DEMO_PROJECT,
            environ={"FLIGHTS_DUCKDB": str(DATABASE)},
        )
        os.environ.update(cloud.environment(), DBT_CLOUD__JOB_ID=str(job_id))
        announce(f"No dbt Cloud credentials found. The embedded dbt Cloud runs at {cloud.url}")
        yield


def load() -> dlt.Pipeline:
    """Load the five tables into the dataset `raw` of a DuckDB file."""
    announce("dlt is loading New York's flights of 2013 ...")
    dlt.config["data_writer.disable_compression"] = True  # compression would double the time
    pipeline = dlt.pipeline(
        "flights",
        destination=dlt.destinations.duckdb(str(DATABASE)),
        dataset_name="raw",
        pipelines_dir=str(DEMO / "dlt"),
    )
    source = nycflights()
    pipeline.run(source)
    if (trace := pipeline.last_trace) and trace.last_normalize_info:
        counts = trace.last_normalize_info.row_counts.items()
        print_table(["table", "rows"], [row for row in counts if row[0] in source.resources])
    return pipeline


def print_run(run: Run) -> None:
    """Print a run and its nodes, with passed tests in one line."""
    announce(f"Run {run['id']}: {run['status_humanized']} after {run['duration']}, {run['href']}")
    results = get_dbt_cloud_run_results(run_id=run["id"]) if run["id"] else []
    passed = [node for node in results if node["status"] == "pass"]
    print_table(
        ["kind", "node", "status", "seconds"],
        [
            (node["resource_type"], node["name"], node["status"], node["execution_time"])
            for node in results
            if node not in passed
        ],
    )
    if results:
        console.print(f"{len(results)} nodes, of which {len(passed)} are tests that passed.")


def print_query(pipeline: dlt.Pipeline, title: str, sql: str) -> None:
    """Print the result of a query."""
    announce(title)
    with pipeline.sql_client() as client, client.execute_query(sql) as cursor:
        print_table([column[0] for column in cursor.description], cursor.fetchall())


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table unless it is empty, with right-aligned numbers."""
    lines = list(rows)
    if not lines:
        return
    table = Table(box=None, header_style="dim")
    for name, value in zip(header, lines[0], strict=True):
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for line in lines:
        table.add_row(*(FORMATS.get(type(value), "{}").format(value) for value in line))
    console.print(table)


def announce(text: str) -> None:
    console.print(f"\n[bold]{text}[/]", soft_wrap=True)


def start(main: Callable[[], bool]) -> None:
    """Run an example without telemetry and without writing to the home folder."""
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    if not (Path.home() / ".dlt").exists():
        os.environ.setdefault("XDG_DATA_HOME", str(DEMO))
    try:
        sys.exit(not main())
    except (DltException, ImportError, OSError, RuntimeError) as error:
        cause = error.exception if isinstance(error, PipelineStepFailed) else error
        sys.exit(f"Error: {cause}")


if __name__ == "__main__":
    start(main)
