"""The command line of `dbt-cloud-cli`: jobs, runs and their artifacts."""

from __future__ import annotations

from typing import Any

from tests.interop.session import Client, Session, check_results, expect


def check(session: Session) -> None:
    """Trigger a job and read its results; create, list and delete another one."""
    job = str(session.create_job())

    run = _cli(session, "job", "run", "--job-id", job, "--wait", "--cause", "dbt-cloud-cli")["data"]
    expect(run["status_humanized"], "Success")
    files = _cli(session, "run", "list-artifacts", "--run-id", str(run["id"]))["data"]
    expect("manifest.json" in files, True)
    fetch = ("--run-id", str(run["id"]), "--path", "run_results.json")
    check_results(_cli(session, "run", "get-artifact", *fetch))
    runs = _cli(session, "run", "list", "--job-id", job, "--status", "Succeeded")["data"]
    expect([each["id"] for each in runs], [run["id"]])

    in_project = ("--project-id", str(session.project_id))
    environments = _cli(session, "environment", "list", *in_project)["data"]
    place = (*in_project, "--environment-id", str(environments[0]["id"]))
    fields = ("--name", "By CLI", "--execute-steps", '["dbt build"]')
    created = _cli(session, "job", "create", *place, *fields)["data"]
    listed = _cli(session, "job", "list")["data"]
    expect([each["name"] for each in listed], ["Nightly", "By CLI"])
    _cli(session, "job", "delete", "--job-id", str(created["id"]))
    expect([each["name"] for each in _cli(session, "job", "list")["data"]], ["Nightly"])

    bodies = session.bodies("POST", "v2 jobs/{id}/run/")
    expect([body["cause"] for body in bodies], ["dbt-cloud-cli"])
    expect(session.bodies("POST", "v2 jobs/")[0]["execute_steps"], ["dbt build"])
    expect(session.statuses, ["Success"])


def _cli(session: Session, group: str, command: str, *arguments: str) -> Any:
    environ = {
        "DBT_CLOUD_HOST": session.host,
        "DBT_CLOUD_ACCOUNT_ID": str(session.cloud.account_id),
        "DBT_CLOUD_API_TOKEN": session.cloud.api_token,
    }
    return session.run_json("dbt-cloud", group, command, *arguments, environ=environ)


CLIENT = Client("cloud-cli", ("dbt-cloud-cli==0.9.1",), check)
