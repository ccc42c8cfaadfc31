"""`dbt-jobs-as-code`: jobs and their environment variables, kept as described in a YAML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.interop.session import Client, Session, expect


def check(session: Session) -> None:
    """Sync two files, one after the other, and import the jobs that they made."""
    both = {"nightly": {"DBT_REGION": "eu", "DBT_COLOR": "red"}, "hourly": {}}
    first = _write(session, "first.yml", both)
    _run(session, "validate", "--online", str(first))
    created = ["CREATE hourly", "CREATE nightly"]
    created_variables = ["CREATE nightly:DBT_COLOR", "CREATE nightly:DBT_REGION"]
    expect(_plan(session, first), created + created_variables)
    _run(session, "sync", str(first))
    expect(_plan(session, first), [])

    second = _write(session, "second.yml", {"nightly": {"DBT_REGION": "us"}})
    changed = ["DELETE hourly", "UPDATE nightly"]
    changed_variables = ["DELETE nightly:DBT_COLOR", "UPDATE nightly:DBT_REGION"]
    expect(_plan(session, second), changed + changed_variables)
    _run(session, "sync", str(second))
    expect(_plan(session, second), [])

    imported = _run(session, "import-jobs", "--account-id", str(session.cloud.account_id))
    expect(["DBT_REGION: us" in imported, "dbt build" in imported], [True, True])
    names = sorted(body["name"] for body in session.bodies("POST", "v2 jobs/"))
    expect(names, ["Hourly [[hourly]]", "Nightly [[nightly]]"])


def _write(session: Session, name: str, jobs: Mapping[str, Mapping[str, str]]) -> Path:
    """Write the variables of each job to a file, and return its path."""
    described = {
        identifier: _describe(session, identifier, variables)
        for identifier, variables in jobs.items()
    }
    path = session.folder / name
    # JSON is YAML
    path.write_text(json.dumps({"jobs": described}))
    return path


def _describe(session: Session, identifier: str, variables: Mapping[str, str]) -> dict[str, Any]:
    return {
        "account_id": session.cloud.account_id,
        "project_id": session.project_id,
        "environment_id": session.environment_id,
        "name": identifier.capitalize(),
        "description": f"With {len(variables)} variables",
        "execute_steps": ["dbt build"],
        "generate_docs": False,
        "run_generate_sources": False,
        "settings": {"threads": 2, "target_name": "default"},
        "schedule": {"cron": "0 3 * * *"},
        "triggers": {"schedule": True},
        "custom_environment_variables": [{name: value} for name, value in variables.items()],
    }


def _plan(session: Session, path: Path) -> list[str]:
    """Return the planned changes of jobs, then those of variables."""
    plan = json.loads(_run(session, "plan", str(path), "--json"))
    return [
        change
        for kind in ("job_changes", "env_var_overwrite_changes")
        for change in sorted(f"{each['action']} {each['identifier']}" for each in plan[kind])
    ]


def _run(session: Session, *arguments: str) -> str:
    environ = {"DBT_API_KEY": session.cloud.api_token, "DBT_BASE_URL": session.cloud.url}
    return session.run("dbt-jobs-as-code", *arguments, environ=environ)


CLIENT = Client("jobs-as-code", ("dbt-jobs-as-code==1.22.0",), check)
