"""The MCP server `dbt-mcp`: its tools for the Administrative API, called by an MCP client."""

from __future__ import annotations

from collections.abc import Sequence

from dlt_dbtcloud.typing import Run
from tests.interop.session import Client, Session, check_results, expect


def check(session: Session) -> None:
    """Run a job and read its results, retry a failed run, and cancel a run."""
    job = session.create_job()
    broken = session.create_job("Broken", outcome=["error", "success"])
    endless = session.create_job("Endless", outcome="success", duration=None)

    answers = session.run_script(
        "mcp_tools.py",
        *map(str, (job, broken, endless)),
        environ={
            "DBT_HOST": session.host,
            "DBT_TOKEN": session.cloud.api_token,
            "DBT_ACCOUNT_ID": str(session.cloud.account_id),
            "DBT_PROD_ENV_ID": str(session.environment_id),
            "DISABLE_DBT_CLI": "true",
            "DO_NOT_TRACK": "true",
        },
    )

    runs = session.cloud.runs
    expect(session.statuses, ["Success", "Error", "Success", "Cancelled"])
    expect([each["id"] for each in answers["jobs"]], [job, broken, endless])
    expect(answers["job"]["execute_steps"], ["dbt build"])
    expect([each["id"] for each in answers["runs"]], [runs[0]["id"]])
    expect("manifest.json" in answers["artifacts"], True)
    check_results(answers["results"])
    expect([answers[name]["id"] for name in ("run", "retry", "cancelled")], _ids(runs, 0, 2, 3))
    expect(answers["error"]["failed_steps"][0]["step_name"], "Invoke dbt with `dbt build`")
    (project,) = (each for each in answers["projects"] if each["id"] == session.project_id)
    expect([each["id"] for each in project["environments"]], [session.environment_id])
    bodies = session.bodies("POST", "v2 jobs/{id}/run/")
    expect([body["cause"] for body in bodies], ["dbt-mcp"] * 3)


def _ids(runs: Sequence[Run], *indexes: int) -> list[int | None]:
    return [runs[index]["id"] for index in indexes]


CLIENT = Client(
    "mcp",
    ("dbt-mcp==2.8.0",),
    check,
    python=">=3.12,<3.14",
    # its tools on dbt Cloud's side, which are not part of the Administrative API
    refused=frozenset({"404 POST /api/ai/v1/mcp/"}),
)
