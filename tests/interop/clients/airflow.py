"""Airflow: its own operators, and a DAG that loads with dlt and calls `run_dbt_cloud_job`.

The second DAG is how this package is used in Airflow. Its first try fails after the trigger, and
the retry of the task adopts the run, so that there is exactly one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import duckdb

from tests.interop.session import PROGRAMS, Client, Session, check_results, expect

PACKAGES = ("apache-airflow-providers-dbt-cloud==4.11.1", "apache-airflow==3.3.2")
PYTHON = ">=3.11,<3.14"


def check_with_operators(session: Session) -> None:
    """Trigger and await jobs with the operators and the sensor of Airflow's provider."""
    session.create_job("Nightly")
    session.create_job("Hourly", outcome="success", duration=1)
    connection = {
        "conn_type": "dbt_cloud",
        "host": session.host,
        "login": str(session.cloud.account_id),
        "password": session.cloud.api_token,
    }

    _test_dag(session, "run_jobs", {"AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection)})

    check_results(json.loads((session.folder / "run_results.json").read_text()))
    causes = [body["cause"] for body in session.bodies("POST", "v2 jobs/{id}/run/")]
    reason = "Triggered via Apache Airflow by task '{}' in the run_jobs DAG."
    expect(causes, [reason.format("build"), reason.format("start")])
    expect(session.statuses, ["Success", "Success"])


def check_with_dlt(session: Session) -> None:
    """Load, build and load the results in one DAG, whose task is retried after the trigger."""
    job = session.create_job()
    database = session.folder / "warehouse.duckdb"
    # the first look at the run is refused, which ends the first try
    session.cloud.fail("get_run", "status", status=401)

    environ = {
        **session.cloud.environment(),
        "DBT_CLOUD__JOB_ID": str(job),
        "DBT_CLOUD__WAIT_SECONDS": "1",
        "INTEROP_DATABASE": str(database),
    }
    _test_dag(session, "load_and_transform", environ)

    expect(session.cloud.struck, [("get_run", "status")])
    (run,) = session.cloud.runs
    expect(run["status_humanized"], "Success")
    expect(len(session.bodies("POST", "v2 jobs/{id}/run/")), 1)
    with duckdb.connect(str(database), read_only=True) as connection:
        (count,) = connection.sql("select count(*) from raw.numbers").fetchall()[0]
        runs = connection.sql("select run_id, status from raw.dbt_runs").fetchall()
    expect(count, 3)
    expect(runs, [(run["id"], 10)])


def _test_dag(session: Session, dag: str, environ: Mapping[str, str]) -> None:
    """Run a DAG in a new Airflow, which has a database of its own and no examples."""
    isolated = {
        "AIRFLOW_HOME": str(session.folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROGRAMS / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DLT_DATA_DIR": str(session.folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        **environ,
    }
    session.run("airflow", "db", "migrate", environ=isolated)
    session.run("airflow", "dags", "test", dag, environ=isolated)


PROVIDER = Client("airflow", PACKAGES, check_with_operators, PYTHON)
DAG = Client(
    "airflow-dlt",
    (*PACKAGES, "--editable", ".", "dlt[duckdb]"),
    check_with_dlt,
    PYTHON,
    refused=frozenset({"401 GET v2 runs/{id}/"}),
)
