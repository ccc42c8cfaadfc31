"""`jobs` and `runs` list what the account has, newest first, at each width."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.cli.actions.listings import jobs_view, runs_view
from dlt_dbtcloud.cli.console import render
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import Job, Run
from tests.cli.conftest import Cli
from tests.support.past_runs import ended_run

JOBS: list[Job] = [
    {"id": 70471823, "name": "Nightly \x1b[31mbuild", "execute_steps": ["dbt seed", "dbt build"]},
    {"id": 5884346664751749, "name": "Hourly " * 20, "execute_steps": ["dbt build " * 20]},
]
RUNS: list[Run] = [
    {
        "id": 5884346664751749,
        "status_humanized": "Cancelled",
        "job": {"name": "Nightly " * 20},
        "created_at": "2026-01-31 06:00:00.000000+00:00",
        "duration": "00:01:30",
    },
    {"id": 7, "job_definition_id": 5},
]


def test_jobs_have_id_name_and_commands() -> None:
    assert render(jobs_view(JOBS[:1], 80), 80) == [
        "JOB       NAME           COMMANDS",
        "70471823  Nightly build  dbt seed; dbt build",
    ]


def test_runs_have_what_fits() -> None:
    assert render(runs_view(RUNS, 40), 40) == [
        "RUN               STATUS     JOB NAME",
        "5884346664751749  Cancelled  Nightly Ni…",
        "7                 Unknown    5",
    ]
    (head, first, _) = render(runs_view(RUNS, 80), 80)
    assert head.split() == ["RUN", "STATUS", "JOB", "NAME", "CREATED", "(UTC)", "DURATION"]
    assert first.endswith("2026-01-31 06:00  00:01:30")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_listings_fit_and_ids_are_whole(width: int) -> None:
    for lines in (render(jobs_view(JOBS, width), width), render(runs_view(RUNS, width), width)):
        assert len(lines) == 3
        assert all(len(line) <= width for line in lines)
        assert any("5884346664751749 " in line for line in lines)


def test_runs_are_those_of_a_job_with_a_status_newest_first(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = cloud.create_job("Nightly", outcome=["success", "error", "error"])
    hourly = cloud.create_job("Hourly", outcome="error")
    ids = [ended_run(cloud, job)["id"] for job in (nightly, nightly, nightly, hourly)]

    def listed(*words: object) -> list[int]:
        return [run["id"] for run in cli("runs", *words, "--json").json]

    assert listed() == ids[::-1]
    assert listed(nightly) == listed("--job-id", nightly) == ids[2::-1]
    assert listed(nightly, "--status", "error", "--limit", "1") == [ids[2]]
    assert listed("--status", "cancelled") == []
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(hourly))
    assert listed() == [ids[3]]
    shown = cli("runs", nightly)
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == [*map(str, ids[2::-1])]
    assert "No runs match." in cli("runs", "--status", "queued").err


def test_lines_do_not_end_with_spaces_in_a_file(cli: Cli, cloud: DBTCloudEmulator) -> None:
    cloud.create_job("A long name of a job", execute_steps=["dbt build --full-refresh"])
    cloud.create_job("B", execute_steps=["dbt run"])
    lines = cli("jobs").out.splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_jobs_are_chosen_by_name_and_project(cli: Cli, cloud: DBTCloudEmulator) -> None:
    nightly = cloud.create_job("Nightly build")
    other = cloud.create_job("Hourly", project_id=cloud.create_project("Other"))

    def listed(*words: object) -> list[int]:
        return [job["id"] for job in cli("jobs", *words, "--json").json]

    assert listed() == [nightly, other]
    assert listed("--name", "night") == [nightly]
    project = cli("jobs", "--name", "Hourly", "--json").json[0]["project_id"]
    assert listed("--project-id", project) == [other]
    assert listed("--limit", 1) == [nightly]
