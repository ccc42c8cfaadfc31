"""Runs and steps: names, commands, logs, and the work that a failed run has left."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dlt_dbtcloud.payloads import (
    command_of,
    ended_early,
    failed_step,
    log_tail,
    planned_commands,
    run_link,
    run_name,
    started_steps,
    steps_of,
)
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import Run, RunStatus, RunStep

SETUP = ("Clone git repository", "Create profile from connection X", "Invoke dbt with `dbt deps`")
SUCCESS, ERROR, CANCELLED = RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.CANCELLED


def run(*commands: str, status: RunStatus = ERROR, **fields: Any) -> Run:
    """Return a run whose last step ended it."""
    names = [*SETUP, *(f"Invoke dbt with `{command}`" for command in commands)]
    steps = [RunStep(index=i, name=name, status=SUCCESS) for i, name in enumerate(names, start=1)]
    steps[-1]["status"] = status
    return cast(Run, {"run_steps": steps, **fields})


def test_the_end_of_a_log_is_short_and_has_no_secrets() -> None:
    lines = [f"\x1b[31mline {i}\x1b[0m" for i in range(200)]
    log = "\n".join([*lines[:199], "password=hunter2 token t0ken", lines[199]])
    shown = log_tail(RunStep(logs=log), lambda text: redact(text, "t0ken"))
    assert shown.splitlines()[0] == "..."
    assert len(shown.splitlines()) == 51
    assert shown.splitlines()[-2:] == ["password=*** token ***", "line 199"]


def test_the_end_of_a_log_has_no_backtraces() -> None:
    frames = "".join(f"  {i:2}: <unknown>\n" for i in range(60))
    log = f"[error] [DependencyNotFound (dbt1048)]: x\n{frames}\nFinished 'build' with 1 error"
    assert log_tail(RunStep(logs=log)).splitlines() == [
        "[error] [DependencyNotFound (dbt1048)]: x",
        "",
        "Finished 'build' with 1 error",
    ]


def test_a_secret_that_begins_before_the_end_of_a_log_is_removed() -> None:
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *("c2VjcmV0" for _ in range(60)), "failed"])
    assert "c2VjcmV0" not in log_tail(RunStep(logs=key))


@pytest.mark.parametrize("step", [{}, {"logs": None}, {"logs": "", "debug_logs": None}])
def test_the_end_of_a_missing_log_is_empty(step: Any) -> None:
    assert log_tail(step) == ""
    step = {**step, "debug_logs": "in detail"}
    assert log_tail(step) == "in detail"


def test_steps_are_sorted_by_index() -> None:
    steps = [RunStep(index=2), RunStep(index=1), RunStep(name="x")]
    assert steps_of(Run(run_steps=steps)) == [steps[2], steps[1], steps[0]]
    assert steps_of(cast(Run, {"run_steps": None})) == []


@pytest.mark.parametrize(
    ("step", "command"),
    [
        ({"name": "Invoke dbt with `dbt build`"}, "dbt build"),
        ({"name": "Invoke dbt with `dbt build --select a` "}, "dbt build --select a"),
        ({"name": "Invoke Dbt With `Dbt Build`"}, "dbt Build"),
        ({"name": "Invoke dbt with `dbt run --vars '{a: `b`}'`"}, "dbt run --vars '{a: `b`}'"),
        ({"name": "Invoke dbt with `dbt build\n  --full-refresh`"}, "dbt build\n  --full-refresh"),
        ({"name": "x", "run_step_command": {"dbt_command": "dbt seed "}}, "dbt seed"),
        ({"name": "Invoke dbt with `dbt test`", "run_step_command": None}, "dbt test"),
        ({"name": "Clone git repository"}, None),
        ({"name": "Create profile from connection `dbtstuff`"}, None),
        ({"name": None}, None),
        ({}, None),
    ],
)
def test_a_command_is_read_from_a_step_or_its_name(step: Any, command: str | None) -> None:
    assert command_of(step) == command


def test_the_last_failed_step_ended_the_run() -> None:
    with_freshness = run("dbt source freshness", "dbt build")
    with_freshness["run_steps"][3]["status"] = ERROR
    assert (failed_step(with_freshness) or {})["index"] == 5
    assert (failed_step(run("dbt build", status=CANCELLED)) or {})["index"] == 4
    assert failed_step(Run(run_steps=[])) is None
    assert failed_step(Run()) is None


@pytest.mark.parametrize(
    ("started", "planned", "expected"),
    [
        (["dbt build"], ["dbt build"], [4]),
        (["dbt seed", "dbt run"], ["dbt seed", "dbt run", "dbt test"], [4, 5]),
        (["dbt  seed"], ["dbt seed", "dbt run"], [4]),
        # the service's own `dbt deps` is not the job's
        (["dbt deps"], ["dbt deps", "dbt build"], [4]),
        (["dbt deps", "dbt build"], ["dbt deps", "dbt build", "dbt test"], [4, 5]),
        (["dbt source freshness", "dbt run"], ["dbt run", "dbt test"], [5]),
        # the same command twice
        (["dbt run", "dbt run"], ["dbt run", "dbt run", "dbt test"], [4, 5]),
        (["dbt run"], ["dbt run", "dbt run"], [4]),
        # none of them started, or the job has changed since
        ([], ["dbt run", "dbt test"], []),
        (["dbt build"], ["dbt run", "dbt test"], []),
    ],
)
def test_the_steps_of_planned_commands(
    started: list[str], planned: list[str], expected: list[int]
) -> None:
    assert [step["index"] for step in started_steps(run(*started), planned)] == expected


def test_the_steps_of_commands_precede_the_services_own() -> None:
    succeeded = run("dbt seed", "dbt run", "dbt docs generate", status=SUCCESS)
    assert [s["index"] for s in started_steps(succeeded, ["dbt seed", "dbt run"])] == [4, 5]


def test_the_apis_retry_resumes_with_the_command_that_failed() -> None:
    planned = ("dbt run", "dbt test", "dbt snapshot")
    first = run("dbt retry", retrying_run_id=1)
    assert [step["index"] for step in started_steps(first, planned)] == [4]
    later = run("dbt retry", "dbt test", retrying_run_id=1)
    assert [step["index"] for step in started_steps(later, planned)] == [4, 5]


def test_the_commands_of_a_trigger_replace_the_jobs() -> None:
    job: Any = {"execute_steps": ["dbt build "]}
    assert planned_commands(Run(job=job, trigger=None)) == ("dbt build",)
    assert planned_commands(Run(job=job, trigger={"steps_override": ["dbt run"]})) == ("dbt run",)
    assert planned_commands(Run()) == ()


@pytest.mark.parametrize(
    ("status", "logs", "expected"),
    [
        (ERROR, "Encountered an error:\nCompilation Error", True),
        (ERROR, "Encountered an error while running a hook\nDone. PASS=1 WARN=0", False),
        (ERROR, "Done. PASS=1 WARN=0 ERROR=1", False),
        (ERROR, "", False),
        (ERROR, None, False),
        (CANCELLED, "", True),
        (SUCCESS, "Encountered an error", False),
        # dbt Fusion
        (ERROR, "dbt-fusion 2.0.0\nFinished 'retry' with 1 error", True),
        (ERROR, "= Execution Summary =\nFinished 'build' with 1 error", True),
        (ERROR, "dbt-fusion 2.0.0\nFinished 'build' with 1 error\nProcessed: 1 seed", False),
        (ERROR, "dbt-fusion 2.0.0\nSuccessfully wrote sources.json\nFinished 'freshness'", False),
        (SUCCESS, "dbt-fusion 2.0.0\nFinished 'docs' with 1 warning", False),
    ],
)
def test_a_log_shows_whether_dbt_wrote_its_results(
    status: RunStatus, logs: str | None, expected: bool
) -> None:
    assert ended_early(RunStep(status=status, logs=logs)) is expected


URL = "https://cloud.getdbt.com/deploy/1/projects/3/runs/7/"


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ({"id": 7, "job_definition_id": 5, "job": {"name": "Nightly"}}, 'Run 7 of job "Nightly"'),
        ({"id": 7, "job_definition_id": 5, "job": {"name": None}}, "Run 7 of job 5"),
        ({"id": 7, "job_definition_id": 5, "job": None}, "Run 7 of job 5"),
        ({"id": 7, "job_definition_id": None}, "Run 7"),
    ],
)
def test_a_run_is_named_with_its_job(run: Any, name: str) -> None:
    assert run_name(run) == name
    assert run_name(run, "run") == name.replace("Run", "run")


@pytest.mark.parametrize(
    ("run", "link"), [({"href": URL}, f" ({URL})"), ({"href": None}, ""), ({}, "")]
)
def test_a_run_has_a_link_if_the_api_returns_one(run: Any, link: str) -> None:
    assert run_link(run) == link
