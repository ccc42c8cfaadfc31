"""`report` writes the page of a run, and `--report` does when a command has waited for it."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import dlt
import pytest

from dlt_dbtcloud import dbt_cloud_results, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.report.rendering import pages
from tests.cli.conftest import Cli
from tests.support.loading.warehouse import new_pipeline, shared_warehouse
from tests.support.past_runs import ended_run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses that a browser was to open."""
    found: list[str] = []

    def note(url: str) -> bool:
        found.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    return found


def test_the_page_is_written_and_opened(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, opened: list[str]
) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))["id"]
    done = cli("report", run)
    assert (done.status, done.out) == (0, f"run-{run}.html\n")
    assert (isolated / f"run-{run}.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert opened == []
    done = cli("report", run, "-o", "new/page.html", "--open", "--json")
    assert done.json == {"run_id": run, "file": str(Path("new", "page.html"))}
    assert opened == [(isolated / "new" / "page.html").as_uri()]


def test_the_page_of_a_job_shows_its_last_runs(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly", outcome=["success", "error"])
    for _ in range(2):
        ended_run(cloud, job)
    done = cli("report", "--job", job, "--days", 7, "--json")
    assert done.json == {"job_id": job, "file": f"job-{job}.html"}
    text = (isolated / f"job-{job}.html").read_text(encoding="utf-8")
    assert "2 runs" in text
    assert "the last 7 days" in text
    # a pipeline without results of the job
    folder = loaded_pipeline.pipelines_dir
    words = ("--pipeline", loaded_pipeline.pipeline_name, "--pipelines-dir", folder, "-o", "p.html")
    done = cli("report", "--job", job, *words)
    assert done.status == 0
    assert f"has no results of job {job}; reading the API instead." in done.err
    assert "<bdi>dbt Cloud&#39;s API</bdi>" in (isolated / "p.html").read_text(encoding="utf-8")


def test_the_page_of_a_job_is_that_of_the_config(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("report", "--job")
    assert done.status == 2
    assert "pass `--job JOB`" in done.err
    job = cloud.create_job("Nightly")
    ended_run(cloud, job)
    monkeypatch.setenv("DBT_CLOUD__JOB_NAME", "Nightly")
    assert cli("report", "--job", "--days", 7).out == f"job-{job}.html\n"
    assert "1 run" in (isolated / f"job-{job}.html").read_text(encoding="utf-8")
    # an empty value is an error
    done = cli("report", "--job", "")
    assert done.status == 2
    assert "job_id" in done.err


def test_the_destination_that_was_read_is_named(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.create_job("Nightly")
    ended_run(cloud, job)
    # the script passes the file in code, so that the command line does not know it
    file = isolated / "of_script.duckdb"
    pipeline = new_pipeline("flights", shared_warehouse(str(file)))
    pipeline.run(dbt_cloud_results(job_id=job).with_resources("dbt_runs"))
    words = ("--job", job, "--pipeline", "flights", "-o", "-")
    done = cli("report", *words)
    assert done.status == 0, done.err
    place = f"duckdb:///{isolated / 'flights.duckdb'}"
    noted = f"has no results of job {job} in the configured destination `{place}`"
    assert noted in " ".join(done.err.split())
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(file))
    done = cli("report", *words)
    assert (done.status, done.err) == (0, "")
    assert "of pipeline flights" in done.out


def test_the_load_of_a_run_is_found_in_its_pipeline(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, loaded_pipeline: dlt.Pipeline
) -> None:
    run = run_dbt_cloud_job(job_id=cloud.create_job("Nightly"), pipeline=loaded_pipeline)
    name, folder = loaded_pipeline.pipeline_name, loaded_pipeline.pipelines_dir
    # the active pipeline is another one
    dlt.pipeline("other")
    named = ("--pipeline", name, "--pipelines-dir", folder)
    for words, is_known in (((), False), (named, True)):
        done = cli("report", run["id"], "-o", "run.html", *words)
        assert done.status == 0, done.err
        text = (isolated / "run.html").read_text(encoding="utf-8")
        assert (">airlines<" in text) is is_known
        assert f"of pipeline <bdi>{name}</bdi>" in text


def test_days_without_a_job_are_an_error(cli: Cli, cloud: DBTCloudEmulator) -> None:
    for words, message in [
        (("--days", "7"), "pass `--job JOB`"),
        (("7", "--days", "7"), "`--days` is an option of the page of a job"),
        (("--pipeline", "flights"), "`RUN`, or `--job JOB`"),
        (("--job", "x"), "job_id"),
    ]:
        done = cli("report", *words)
        assert done.status == 2
        assert message in done.err


@pytest.mark.parametrize(
    ("outcome", "words", "status"),
    # a failure is reported even if the helper raises it
    [("success", (), 0), ("error", ("--raise-on-failure",), 1)],
)
def test_a_run_is_reported_when_it_has_ended(
    cli: Cli,
    cloud: DBTCloudEmulator,
    isolated: Path,
    outcome: Outcome,
    words: tuple[str, ...],
    status: int,
) -> None:
    job = cloud.create_job("Nightly", outcome=outcome)
    done = cli("run", job, *words, "--report", "run.html")
    assert done.status == status
    assert "Wrote the report to run.html." in done.err
    assert f">{outcome.capitalize()}<" in (isolated / "run.html").read_text(encoding="utf-8")


def test_a_retry_and_a_status_are_reported(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path
) -> None:
    job = cloud.create_job("Nightly", outcome=["error", "success"])
    run = ended_run(cloud, job)["id"]
    for command in ("retry", "status"):
        done = cli(command, run, "--report", f"{command}.html")
        assert f"Wrote the report to {command}.html." in done.err
    assert ">Error<" in (isolated / "status.html").read_text(encoding="utf-8")
    assert ">Success<" in (isolated / "retry.html").read_text(encoding="utf-8")


def test_a_retry_whose_report_cannot_be_written_starts_nothing(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path
) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly", outcome="error"))["id"]
    assert cli("retry", run, "--report", "-").status == 2
    assert [each["id"] for each in cloud.runs] == [run]


def test_a_report_that_fails_does_not_change_the_outcome(cli: Cli, cloud: DBTCloudEmulator) -> None:
    # the request of the report, after those of the run
    cloud.fail("list_runs", "status", status=403, calls=None)
    cloud.fail("get_run", "status", status=403, skip=1, calls=None)
    done = cli("run", cloud.create_job("Nightly"), "--report", "run.html")
    assert done.status == 0
    assert "The report was not written" in done.err


@pytest.mark.parametrize("name", ["folder", "file/run.html", "", "-"])
def test_a_report_that_cannot_be_written_starts_nothing(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path, name: str
) -> None:
    (isolated / "folder").mkdir()
    (isolated / "file").touch()
    done = cli("run", cloud.create_job("Nightly"), "--report", name)
    assert done.status == 2
    assert "file" in done.err
    assert cloud.runs == []
    assert sorted(each.name for each in isolated.iterdir()) == ["file", "folder"]


def test_a_page_is_printed(cli: Cli, cloud: DBTCloudEmulator, isolated: Path) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))["id"]
    done = cli("report", run, "-o", "-")
    assert done.status == 0
    assert done.out.startswith("<!doctype html>")
    assert done.out.endswith("</html>")
    for words in (("--json",), ("--open",)):
        done = cli("report", run, "-o", "-", *words)
        assert (done.status, done.out) == (2, "")
    assert list(isolated.iterdir()) == []


def test_a_run_and_a_job_are_an_error(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    run = ended_run(cloud, job)["id"]
    for words in ((run, "--job", job), ("--run-id", run, "--job", job)):
        done = cli("report", *words)
        assert done.status == 2
        assert "not both" in done.err


def test_without_jinja_nothing_starts(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = cli("run", cloud.create_job("Nightly"), "--report", "run.html")
    assert done.status != 0
    assert "jinja2" in done.err
    assert "report" in done.err
    assert cloud.runs == []
