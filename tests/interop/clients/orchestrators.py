"""This package in other orchestrators, as docs/orchestrators.md shows it.

The first try of the task that builds fails after the trigger. Its retry adopts the run of the load,
so that there is exactly one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from tests.interop.clients import airflow
from tests.interop.session import STUCK, Client, Session, expect

EXAMPLES = Path(__file__).parents[3] / "examples" / "orchestrators"
PACKAGE = ("--editable", ".", "dlt[duckdb]")
REFUSED = frozenset({"401 GET v2 runs/{id}/"})


def check_airflow(session: Session) -> None:
    """Run the DAG."""
    environ = {**_environ(session), "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES)}
    _check(session, lambda: airflow.run_dag(session, "shop_daily", environ))


def check_dagster(session: Session) -> None:
    """Materialize the assets."""
    environ = {
        **_environ(session),
        "DAGSTER_HOME": str(session.folder),
        "DAGSTER_DISABLE_TELEMETRY": "true",
    }
    code = ("-f", str(EXAMPLES / "dagster_definitions.py"), "-d", str(EXAMPLES))
    command = ("dagster", "job", "execute", *code, "-j", "shop_daily")
    _check(session, lambda: session.run(*command, environ=environ))


def check_prefect(session: Session) -> None:
    """Run the flow."""
    environ = {
        **_environ(session),
        "PREFECT_HOME": str(session.folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # flows need a server of Prefect, which a slow machine starts slowly
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(STUCK),
    }
    program = str(EXAMPLES / "prefect_flow.py")
    _check(session, lambda: session.run("python", program, environ=environ))


def _environ(session: Session) -> dict[str, str]:
    return {
        **session.cloud.environment(),
        "DBT_CLOUD__JOB_ID": str(session.create_job()),
        "DBT_CLOUD__WAIT_SECONDS": "1",
        "DESTINATION__DUCKDB__CREDENTIALS": str(session.folder / "warehouse.duckdb"),
        "DLT_DATA_DIR": str(session.folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def _check(session: Session, run: Callable[[], object]) -> None:
    # the first look at the run is refused, which ends the first try
    session.cloud.fail("get_run", "status", status=401)

    run()

    expect(session.cloud.struck, [("get_run", "status")])
    (built,) = session.cloud.runs
    expect(built["status_humanized"], "Success")
    expect(len(session.bodies("POST", "v2 jobs/{id}/run/")), 1)
    database = str(session.folder / "warehouse.duckdb")
    with duckdb.connect(database, read_only=True) as connection:
        counts = connection.sql("select count(*) from raw.orders").fetchall()
        runs = connection.sql("select run_id, status from raw.dbt_runs").fetchall()
    expect(counts, [(3,)])
    expect(runs, [(built["id"], 10)])


CLIENTS = (
    Client(
        "airflow-dlt", (*airflow.PACKAGES, *PACKAGE), check_airflow, airflow.PYTHON, refused=REFUSED
    ),
    Client("dagster-dlt", ("dagster==1.13.27", *PACKAGE), check_dagster, refused=REFUSED),
    Client("prefect-dlt", ("prefect==3.9.0", *PACKAGE), check_prefect, refused=REFUSED),
)
