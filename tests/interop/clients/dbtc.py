"""The command line of `dbtc`: find a job, trigger it, wait, and read its results."""

from __future__ import annotations

from typing import Any

from tests.interop.session import Client, Session, check_results, expect


def check(session: Session) -> None:
    """Trigger a job, wait for its run and fetch the results."""
    job = session.create_job()

    listed = _dbtc(session, "jobs", "list")["data"]
    expect([each["id"] for each in listed], [job])

    payload = '{"cause": "dbtc", "steps_override": ["dbt build --select numbers+"]}'
    arguments = ("--job-id", str(job), "--payload", payload, "--poll-interval", "1")
    run = _dbtc(session, "jobs", "trigger", *arguments)["data"]
    expect(run["status_humanized"], "Success")

    files = _dbtc(session, "runs", "list-artifacts", "--run-id", str(run["id"]))["data"]
    expect("manifest.json" in files, True)
    fetch = ("--run-id", str(run["id"]), "--path", "run_results.json")
    check_results(_dbtc(session, "runs", "get-artifact", *fetch))

    bodies = session.bodies("POST", "v2 jobs/{id}/run/")
    expect([body["cause"] for body in bodies], ["dbtc"])
    expect(session.statuses, ["Success"])


def _dbtc(session: Session, group: str, command: str, *arguments: str) -> Any:
    account = str(session.cloud.account_id)
    environ = {
        "DBT_CLOUD_HOST": session.host,
        "DBT_CLOUD_SERVICE_TOKEN": session.cloud.api_token,
    }
    return session.run_json(
        "dbtc", group, command, "--account-id", account, *arguments, environ=environ
    )


# it needs numpy below 2, which the newest pyarrow and Python 3.13 do not support
CLIENT = Client("dbtc", ("dbtc==0.11.7", "pyarrow<19"), check, python=">=3.10,<3.13")
