"""`prefect-dbt`: its flow that runs a job and repairs what failed, and its executor."""

from __future__ import annotations

from tests.interop.session import STUCK, Client, Session, check_results, expect

FAILED = {"results": [{"unique_id": "model.tiny.numbers", "status": "error"}]}


def check(session: Session) -> None:
    """Run a job, repair a failed run, and compile the project in a job of its own."""
    job = session.create_job()
    repaired = session.create_job(
        "Repaired", outcome=["error", "success"], artifacts={"run_results.json": FAILED}
    )

    answers = session.run_script(
        "prefect_flows.py",
        *(session.host, str(session.cloud.account_id), session.cloud.api_token),
        *(str(session.project_id), str(session.environment_id), str(job), str(repaired)),
        environ={
            "PREFECT_HOME": str(session.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # flows need a server of Prefect, which a slow machine starts slowly
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(STUCK),
        },
    )

    runs = session.cloud.runs
    expect([run["status_humanized"] for run in runs], ["Success", "Error", "Success", "Success"])
    expect([answers["run"]["id"], answers["repair"]["id"]], [runs[0]["id"], runs[2]["id"]])
    expect("manifest.json" in answers["run"]["artifact_paths"], True)
    check_results(answers["results"])
    expect(["model.tiny.doubled" in each["nodes"] for each in answers["manifests"]], [True] * 2)
    expect(session.bodies("POST", "v2 jobs/")[0]["execute_steps"], ["dbt compile"])
    expect(len(session.bodies("DELETE", "v2 jobs/{id}/")), 1)
    bodies = session.bodies("POST", "v2 jobs/{id}/run/")
    commands = [" ".join(command.split()) for command in bodies[2]["steps_override"]]
    expect(commands, ["dbt build -s numbers"])


# dbt-core 1.12 downloads a part of itself from elsewhere
CLIENT = Client("prefect", ("prefect-dbt==0.7.25", "dbt-core<1.12"), check)
