"""`run`, `status`, `retry` and `cancel` print the run, and their exit status is its outcome."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import dlt
import pytest

from dlt_dbtcloud.cli.actions.runs import describe_run
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.typing import Run
from tests.cli.conftest import Cli
from tests.fixtures import WriteConfig
from tests.support.dbt.nodes import RUN, manifest, node, result
from tests.support.processes.threads import interrupting
from tests.support.watching import is_waited_for


def lines(run: Run) -> list[str]:
    return [line.plain for line in describe_run(run)]


@pytest.mark.parametrize("outcome", ["success", "error", "cancelled"])
def test_the_exit_status_is_zero_only_for_a_success(
    cli: Cli, cloud: DBTCloudEmulator, outcome: Outcome
) -> None:
    job = cloud.create_job("Nightly", outcome=outcome)
    done = cli("run", job)
    (run,) = cloud.runs
    assert done.status == (0 if outcome == "success" else 1)
    assert done.out.startswith(f"{outcome.capitalize()}: run {run['id']} of job ")
    assert run["href"] in done.out
    assert cli("status", run["id"]).status == done.status


@pytest.mark.parametrize("outcome", ["success", "error"])
def test_json_is_the_run_and_nothing_else(
    cli: Cli, cloud: DBTCloudEmulator, outcome: Outcome
) -> None:
    job = cloud.create_job("Nightly", outcome=outcome)
    done = cli("run", "--job-id", job, "--json")
    assert done.json["id"] == cloud.runs[0]["id"]
    assert done.json["is_success"] is (outcome == "success")
    shown = cli("status", done.json["id"], "--json")
    assert shown.json["status_humanized"] == done.json["status_humanized"]


def test_a_run_that_fails_is_printed_even_if_the_helper_raises(
    cli: Cli, cloud: DBTCloudEmulator
) -> None:
    job = cloud.create_job("Nightly", outcome="error")
    done = cli("run", job, "--raise-on-failure", "--json")
    assert done.status == 1
    assert done.json["id"] == cloud.runs[0]["id"]
    assert f"error: Run {done.json['id']} " in done.err


def test_warnings_are_a_failure_only_if_asked_for(cli: Cli, cloud: DBTCloudEmulator) -> None:
    warned = result("test.shop.recent", "warn", message="Got 3 results", failures=3)
    files = {
        "manifest.json": manifest(node("test.shop.recent")),
        "run_results.json": {"results": [result("model.shop.a"), warned]},
    }
    job = cloud.create_job("Nightly", artifacts=files)
    done = cli("run", job)
    assert (done.status, "warning: " in done.err) == (0, True)
    done = cli("run", job, "--raise-on-warning", "--json")
    assert done.status == 1
    assert done.json["is_success"] is True
    assert "error: " in done.err
    assert "Got 3 results" in done.err


def test_a_failure_names_the_command_that_retries(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", outcome=["error", "success"])
    done = cli("run", job)
    (run,) = cloud.runs
    assert f"`dlt dbt-cloud retry {run['id']}`" in done.err
    assert "retry_dbt_cloud_run" not in done.err
    again = cli("retry", run["id"])
    assert again.status == 0
    assert cloud.runs[1]["retrying_run_id"] == run["id"]


def test_options_reach_the_helper(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", outcome=["error", "error", "success"])
    done = cli("run", job, "--data", '{"git_branch": "main", "cause": "Mine"}', "--retries", "2")
    assert done.status == 0
    assert len(cloud.runs) == 3
    trigger = cloud.runs[0]["trigger"] or {}
    assert trigger.get("git_branch") == "main"
    assert str(trigger.get("cause")).startswith("Mine")


def test_variables_are_texts_or_json(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    assert cli("run", job, "--var", "day=2013-01-01", "--var", "limits:=[1]").status == 0
    (step,) = (cloud.runs[0]["trigger"] or {}).get("steps_override") or []
    assert '"day": "2013-01-01"' in step
    assert '"limits": [1]' in step


def test_a_run_that_is_not_waited_for_is_not_a_failure(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", duration=None, outcome="error")
    done = cli("run", job, "--no-wait-for-outcome")
    run = cloud.runs[0]["id"]
    assert done.status == 0
    assert cli("status", run, "--no-wait-for-outcome").status == 0
    cloud.finish_run(run)
    assert cli("status", run, "--no-wait-for-outcome").status == 1


def test_a_timeout_ends_with_124_and_the_command_that_keeps_waiting(
    cli: Cli, cloud: DBTCloudEmulator
) -> None:
    job = cloud.create_job("Long", duration=None)
    done = cli("run", job, "--timeout", "0.05", "--json")
    run = cloud.runs[0]["id"]
    assert (done.status, done.out) == (124, "")
    assert f"`dlt dbt-cloud status {run}`" in done.err
    assert cli("status", run, "--timeout", "0.05").status == 124
    assert cli("cancel", run).status == 0


def test_cancel_fails_if_the_run_had_ended(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    cli("run", job)
    done = cli("cancel", cloud.runs[0]["id"])
    assert done.status == 1
    assert "had already finished" in done.err


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_ctrl_c_ends_with_130_and_shows_how_to_resume(
    cli: Cli, cloud: DBTCloudEmulator, is_cancelled: bool
) -> None:
    job = cloud.create_job("Long", duration=None)
    with interrupting(KeyboardInterrupt, partial(is_waited_for, cloud)):
        done = cli("run", job, *(["--cancel-on-abandon"] if is_cancelled else []))
    (run,) = cloud.runs
    assert (done.status, done.out) == (130, "")
    assert run["is_cancelled"] is is_cancelled
    hint = "Cancelled." if is_cancelled else f"`dlt dbt-cloud status {run['id']}`"
    assert hint in done.err


def test_a_pipeline_is_attached(
    cli: Cli, cloud: DBTCloudEmulator, loaded_pipeline: dlt.Pipeline
) -> None:
    job = cloud.create_job("Nightly")
    folder = Path(loaded_pipeline.working_dir).parent
    words = ("run", job, "--pipeline", "flights", "--pipelines-dir", folder)
    assert cli(*words).status == 0
    assert cli(*words).status == 0
    # the load has one run
    assert len(cloud.runs) == 1
    assert "flights" in str((cloud.runs[0]["trigger"] or {}).get("cause"))


def test_a_pipeline_without_a_load_skips_the_run(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly")
    pipeline = dlt.pipeline("empty", destination="duckdb")
    pipeline.activate()
    with pipeline.managed_state():
        pass
    done = cli("run", job, "--pipeline", "empty")
    assert done.status == 0
    assert done.out.startswith("Skipped: pipeline `empty` has loaded nothing yet")
    assert not cloud.runs
    assert cli("run", job, "--pipeline", "empty", "--json").json["id"] is None


def test_bad_input_is_one_line_on_standard_error(cli: Cli, cloud: DBTCloudEmulator) -> None:
    for words, reason in [
        (("run", "x"), "`job_id='x'` is not a dbt Cloud id"),
        (("status", "run7"), "`run_id='run7'` is not a dbt Cloud id"),
        (("results", "-"), "is not a dbt Cloud id"),
        (("run",), "`job_id` is missing. Pass `--job-id`"),
        (("status",), "`run_id` is missing. Pass `--run-id`"),
        (("logs",), "`run_id` is missing. Pass `--run-id`"),
        (("artifacts", "list"), "`run_id` is missing"),
        (("run", "7", "--job-id", "8"), "`7` and `--job-id 8` differ"),
        (("run", "7"), "status 404"),
        (("results", "7"), "status 404"),
        (("logs", "7"), "status 404"),
        (("artifacts", "download", "7"), "status 404"),
        (("run", "7", "--pipeline", "nothing"), "Pipeline `nothing` cannot be attached"),
        (("run", "7", "--pipeline", "a/b"), "`a/b` is not the name of a pipeline"),
        (("run", "7", "--pipeline", ""), "`--pipeline` is empty"),
        (("run", "7", "--only-loaded"), "`only_loaded` needs the pipeline"),
        (("run", "7", "--var", "load={load_id}"), "`additional_vars` is filled for the load"),
        (("run", "7", "--timeout", "0"), "`timeout=0.0` must be"),
        (("run", "7", "--retries", "-1"), "`retries=-1` must be"),
        (("run", "7", "--data", '{"git_brunch": "x"}'), "Did you mean `git_branch`?"),
        (("run", "7", "--data", '{"steps_override": "x"}'), "not a list of commands"),
        (("jobs", "--connection", "nowhere"), "nowhere"),
        (("jobs", "--project-id", "x"), "`project_id='x'` is not a dbt Cloud id"),
        (("sources", "nothing"), "Pipeline `nothing` cannot be attached"),
        (("status", "dbtc_0123456789abcdef"), "is not a dbt Cloud id"),
    ]:
        done = cli(*words)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert reason in done.err
        assert "dbtc_" not in done.err
        assert cloud.api_token not in done.err
        assert not cloud.runs


def test_a_missing_token_is_one_line(cli: Cli) -> None:
    done = cli("run", "7")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "`DBT_CLOUD__API_TOKEN`" in done.err


def test_a_wrong_token_is_bad_input_and_never_shown(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_0123456789abcdef")
    for words in (["run", "7"], ["jobs"], ["runs"], ["logs", "7"], ["results", "7"]):
        done = cli(*words)
        assert done.status == 2
        assert "status 401" in done.err
        assert "dbtc_" not in done.out + done.err


def test_an_unreachable_host_is_a_failure(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.stop()
    done = cli("jobs")
    assert done.status == 1
    assert done.err.startswith("error: `GET ")


def test_a_value_of_the_config_that_is_unusable_is_one_line(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__TIMEOUT", "soon")
    done = cli("run", "7")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "timeout" in done.err


def test_a_connection_is_used(
    cli: Cli, cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, write_config: WriteConfig
) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    write_config("secrets.toml", f'[dbt_cloud.prod]\napi_token = "{cloud.api_token}"\n')
    job = cloud.create_job("Nightly")
    assert cli("run", job).status == 2
    assert cli("run", job, "--connection", "prod").status == 0
    assert cli("runs", "--connection", "prod").status == 0


def test_the_lines_of_a_run_have_no_control_characters_and_no_secrets() -> None:
    run: Run = {
        **RUN,
        "status_humanized": "Er\x1b[31mror",
        "status_message": "token=abcdef0123456789\nnext",
        "duration": "00:05:00",
    }
    assert lines(run) == [
        "Error: run 7 of job 5",
        "  duration  00:05:00",
        "  message   token=*** next",
        "  page      https://cloud.getdbt.com/deploy/1/projects/3/runs/7/",
    ]
