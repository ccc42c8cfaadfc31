"""`dagster-dbt`: a workspace of assets, whose materialization triggers a job of its own."""

from __future__ import annotations

from tests.interop.session import STUCK, Client, Session, expect


def check(session: Session) -> None:
    """Load the assets of a project, and materialize them."""
    answers = session.run_script(
        "dagster_assets.py",
        *(session.cloud.url, str(session.cloud.account_id), session.cloud.api_token),
        *(str(session.project_id), str(session.environment_id)),
        environ={
            "DAGSTER_HOME": str(session.folder),
            "DAGSTER_DBT_CLOUD_POLL_TIMEOUT": str(STUCK),
        },
    )

    expect(answers["assets"], ["doubled", "numbers"])
    expect(answers["checks"], {"not_null_numbers_id": True})
    bodies = session.bodies("POST", "v2 jobs/{id}/run/")
    commands = [body["steps_override"][0].split()[:2] for body in bodies]
    # it parses the project for the specifications of assets and for those of checks
    expect(commands, [["dbt", "parse"], ["dbt", "parse"], ["dbt", "build"]])
    expect(session.statuses, ["Success"] * 3)


# it imports dateutil, which it does not require
CLIENT = Client("dagster", ("dagster-dbt==0.29.27", "python-dateutil"), check)
