"""Airflow: its own operators and sensor."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.interop.session import PROGRAMS, Client, Session, check_results, expect

PACKAGES = ("apache-airflow-providers-dbt-cloud==4.11.1", "apache-airflow==3.3.2")
PYTHON = ">=3.11,<3.14"


def check(session: Session) -> None:
    """Trigger and await jobs with the operators and the sensor of Airflow's provider."""
    session.create_job("Nightly")
    session.create_job("Hourly", outcome="success", duration=1)
    connection = {
        "conn_type": "dbt_cloud",
        "host": session.host,
        "login": str(session.cloud.account_id),
        "password": session.cloud.api_token,
    }

    run_dag(session, "run_jobs", {"AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(connection)})

    check_results(json.loads((session.folder / "run_results.json").read_text()))
    causes = [body["cause"] for body in session.bodies("POST", "v2 jobs/{id}/run/")]
    reason = "Triggered via Apache Airflow by task '{}' in the run_jobs DAG."
    expect(causes, [reason.format("build"), reason.format("start")])
    expect(session.statuses, ["Success", "Success"])


def run_dag(session: Session, dag: str, environ: Mapping[str, str]) -> None:
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


CLIENT = Client("airflow", PACKAGES, check, PYTHON)
