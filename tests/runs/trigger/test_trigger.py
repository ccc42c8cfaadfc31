"""A trigger recognizes its own runs and the queued runs that it may use."""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run, TriggerData

LOAD = LastLoad("flights", "1732150000.123")
BODY: TriggerData = {"cause": "By dlt", "threads_override": 4}


def run(cause: str, status: int = 1, **overrides: Any) -> Run:
    trigger: Any = {"cause": cause, **overrides}
    return Run(id=7, status=status, trigger=trigger)


def test_calls_have_keys_of_their_own_and_loads_share_theirs() -> None:
    assert Trigger("1", BODY).keys != Trigger("1", BODY).keys
    assert Trigger("1", BODY, LOAD).keys == Trigger("1", BODY, LOAD).keys
    assert Trigger("1", BODY, LOAD).keys != Trigger("2", BODY, LOAD).keys


def test_a_trigger_recognizes_the_runs_that_it_created() -> None:
    trigger = Trigger("1", BODY, LOAD)
    assert trigger.created(run(trigger.cause))
    assert not trigger.created(run("By dlt"))
    assert not trigger.created(run(Trigger("1", BODY).cause))


def test_a_run_of_the_whole_job_satisfies_a_narrowed_trigger_and_not_vice_versa() -> None:
    whole, narrowed = Trigger("1", BODY, LOAD), Trigger("1", BODY, LOAD, only_loaded=True)
    assert narrowed.is_satisfied_by(run(whole.cause))
    assert not narrowed.created(run(whole.cause))
    assert not whole.is_satisfied_by(run(narrowed.cause))


def test_a_retry_recognizes_the_retry_of_the_same_run_only() -> None:
    failed = Run(id=5, trigger={"cause": "By dlt [dlt:3f9c2ab41d07]"})
    retry = Trigger("1", BODY, retried=failed)
    assert retry.cause == "By dlt: retry of run 5 [dlt:3f9c2ab41d07]"
    assert retry.created(run(retry.cause))
    assert not retry.created(run("By dlt: retry of run 4 [dlt:3f9c2ab41d07]"))


def test_a_queued_run_is_used_if_it_has_the_same_overrides() -> None:
    cases: list[tuple[Run, bool]] = [
        (run("x", threads_override=4), True),
        (run("x", threads_override=4, steps_override=["dbt build"]), False),
        (run("x", threads_override=8), False),
        (run("x"), False),
        (run("x", status=3, threads_override=4), False),
        (run("x: retry of run 5 [dlt:3f9c2ab41d07]", threads_override=4), False),
        (Run(id=7, status=1, trigger=None), False),
    ]
    for queued, expected in cases:
        assert Trigger("1", BODY, reuse_queued_run=True).can_reuse(queued, BODY) is expected
        assert not Trigger("1", BODY).can_reuse(queued, BODY)


def test_a_queued_run_on_the_default_branch_is_used() -> None:
    cases: list[tuple[Any, Run | None, bool]] = [
        ({"use_custom_branch": True, "custom_branch": "prod"}, None, True),
        ({"use_custom_branch": True, "custom_branch": "fix"}, None, False),
        ({"use_custom_branch": False, "custom_branch": "prod"}, None, False),
        (None, None, False),
        (None, run("y", git_branch="prod"), True),
        (None, run("y", git_branch="fix"), False),
        (None, run("y"), False),
    ]
    for environment, own, expected in cases:
        queued = Run(
            **{**run("x", threads_override=4, git_branch="prod"), "environment": environment}
        )
        assert Trigger("1", BODY, reuse_queued_run=True).can_reuse(queued, BODY, own) is expected
        body: TriggerData = {**BODY, "git_branch": "main"}
        assert not Trigger("1", body, reuse_queued_run=True).can_reuse(queued, body, own)
