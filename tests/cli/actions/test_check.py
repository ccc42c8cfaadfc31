"""`check` prints the findings, and fails if there is a problem."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.cli.actions.check import report_view
from dlt_dbtcloud.cli.console import render
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import ConnectionReport
from tests.cli.conftest import Cli


def test_a_finding_has_its_message_and_the_line_that_repairs_it() -> None:
    report: ConnectionReport = {
        "ok": False,
        "findings": [
            {"check": "host", "ok": True, "message": "It answers.", "fix": None},
            {
                "check": "manifest",
                "ok": False,
                "message": "There is none.",
                "fix": "`run_dbt_cloud_job(job_id=7)`",
            },
        ],
    }
    assert render(report_view(report), 34) == [
        "ok      host      It answers.",
        "failed  manifest  There is none.",
        "                  fix: `dlt",
        "                  dbt-cloud run 7`",
    ]


def test_the_report_is_that_of_the_helper_and_starts_nothing(
    cli: Cli, cloud: DBTCloudEmulator
) -> None:
    job = cloud.create_job("Nightly")
    done = cli("check", job, "--json")
    assert done.status == 0
    assert done.json["ok"] is True
    assert {"token", "account", "job"} <= {each["check"] for each in done.json["findings"]}
    assert cli("check", "--job-id", job).out.count("ok ") == len(done.json["findings"])
    assert {request.method for request in cloud.requests} == {"GET"}


def test_a_problem_is_a_failure(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("check", "7").status == 1
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_0123456789abcdef")
    done = cli("check", "--json")
    assert done.status == 1
    assert done.json["ok"] is False
    assert "dbtc_" not in done.out + done.err
