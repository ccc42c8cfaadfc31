"""A run's state is described in a few words, from any payload of the API."""

from __future__ import annotations

from typing import Any, cast

from dlt_dbtcloud.dbt.progress import NodeProgress
from dlt_dbtcloud.runs.progress.state import RunState, describe, in_words, state_of
from dlt_dbtcloud.typing import Run
from tests.support.dbt.recordings import CORE, load

SETUP = [
    {"index": 1, "name": "Clone git repository", "status": 10, "logs": "Cloning"},
    {"index": 2, "name": "Create profile from connection DuckDB", "status": 10, "logs": ""},
    {"index": 3, "name": "Invoke dbt with `dbt deps`", "status": 10, "logs": "Installing"},
]


def run_in(steps: list[dict[str, Any]], **fields: Any) -> Run:
    job = {"name": "Nightly", "execute_steps": ["dbt seed", "dbt build"]}
    payload = {"id": 7, "status": 3, "status_humanized": "Running", "job": job}
    return cast(Run, {**payload, "run_steps": steps, **fields})


def step(index: int, command: str, log: str | None = "", **fields: Any) -> dict[str, Any]:
    return {"index": index, "name": f"Invoke dbt with `{command}`", "logs": log, **fields}


def log_until(text: str, name: str = "failed_test") -> str:
    lines: list[str] = load(name, CORE)[0]["log"]
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if text in line) + 1])


def words(state: RunState, left: float | None = None, usual: float | None = None) -> str:
    return ", ".join(describe(state, 125, left, usual))


def test_a_queued_run_names_the_run_before_it() -> None:
    queued = Run(id=7, status=1, status_humanized="Queued", blocked_by=[6])
    assert words(state_of(queued), usual=60) == "queued behind run 6 2m 05s"
    assert words(state_of(Run(id=7, status=1, status_humanized="Queued"))) == "queued 2m 05s"


def test_setup_steps_have_no_number() -> None:
    state = state_of(run_in(SETUP[:1]))
    assert (state.step, state.steps_done, state.steps_total) == ("step: Clone git repository", 0, 2)
    assert state_of(run_in(SETUP)).step == "step: dbt deps"


def test_a_command_is_counted_among_those_of_the_job() -> None:
    seed, build = step(4, "dbt seed", status=10), step(5, "dbt build", status=3)
    state = state_of(run_in([*SETUP, seed, build]))
    assert (state.step, state.steps_done) == ("step 2/2: dbt build", 1)
    docs = step(6, "dbt docs generate", status=3)
    state = state_of(run_in([*SETUP, {**seed}, {**build, "status": 10}, docs]))
    assert (state.step, state.steps_done) == ("step: dbt docs generate", 2)


def test_the_commands_of_the_trigger_replace_those_of_the_job() -> None:
    trigger = {"steps_override": ["dbt build --select a+"]}
    state = state_of(run_in([*SETUP, step(4, "dbt build --select a+")], trigger=trigger))
    assert state.step == "step 1/1: dbt build --select a+"


def test_nodes_are_read_from_any_log_of_the_step() -> None:
    for name in ["logs", "debug_logs", "truncated_debug_logs"]:
        log = {"logs": None, name: log_until("42 of 82 START")}
        state = state_of(run_in([*SETUP, step(4, "dbt build", **log)]))
        assert state.nodes == NodeProgress(41, 82, ("FAIL 1 assert_delay_agrees_with_the_clock",))
        described = words(state, left=100)
        assert described == "running 2m 05s, ~1m 40s left, 41/82 nodes, 1 failed, step: dbt build"


def test_a_finished_run_has_all_its_nodes() -> None:
    steps = [step(4, "dbt seed", log_until("2 of 82 OK")), step(5, "dbt build", log_until("Done."))]
    done = run_in([*SETUP, *steps], status=20, status_humanized="Error", is_complete=True)
    assert words(state_of(done)) == "error after 2m 05s, 84 nodes, 1 failed"


def test_a_payload_without_steps_keeps_what_is_known() -> None:
    known = state_of(run_in([*SETUP, step(4, "dbt seed", log_until("3 of 82 OK"))]))
    plain = run_in([], job=None)
    assert state_of(plain, known) == known


def test_the_time_left_is_rounded_and_never_negative() -> None:
    running = state_of(run_in([]))
    assert words(running, 3, 60) == "running 2m 05s, ~5s left"
    assert words(running, 194, 60) == "running 2m 05s, ~3m 10s left"
    assert words(running, 3700, 3800) == "running 2m 05s, ~1h 02m left"
    assert words(running, -3, 118) == "running 2m 05s, usually 2m 00s"


def test_texts_of_the_service_are_shown_without_secrets_and_control_characters() -> None:
    command = 'dbt build --vars \'{"password": "hunter2"}\'\x1b[31m\nred'
    state = state_of(run_in([step(1, command)], job={"name": "a\x07\nb"}))
    assert state.job == "a b"
    assert state.step
    assert "hunter2" not in state.step
    assert state.step.isprintable()


def test_an_odd_payload_is_described() -> None:
    cases: list[Run] = [
        Run(id=7),
        cast(Run, {"id": 7, "run_steps": [{}], "job": {}, "blocked_by": None, "trigger": None}),
        cast(Run, {"id": 7, "blocked_by": 5, "href": None}),
        cast(Run, {"id": 7, "blocked_by": [{"id": 5}]}),
        cast(Run, {"id": 7, "run_steps": [{"index": None, "name": None, "logs": None}]}),
    ]
    for run in cases:
        assert words(state_of(run)).startswith("in progress 2m 05s")


def test_durations_in_words() -> None:
    cases: list[tuple[float, str]] = [
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3725, "1h 02m"),
    ]
    for seconds, expected in cases:
        assert in_words(seconds) == expected


def test_a_long_command_ends_with_an_ellipsis() -> None:
    command = f"dbt build --select {'source:raw.flights+ ' * 9}"
    shown = words(state_of(run_in([step(4, command)])))
    assert shown.endswith("...")
    assert command[:80] in shown


def test_a_single_node_is_not_a_plural() -> None:
    log = "1 of 1 OK created sql table model main.a ... [OK in 0.01s]"
    finished = run_in([step(4, "dbt build", log)], status=10, status_humanized="Success")
    assert words(state_of(finished)).endswith(", 1 node")
