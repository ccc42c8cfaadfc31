"""Scripted runs, queues and cancellation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Plan
from tests.support.clock import FakeClock, FakeTimer
from tests.support.servers.emulator_api import Api


@pytest.mark.parametrize(
    ("outcome", "status", "humanized"),
    [("success", 10, "Success"), ("error", 20, "Error"), ("cancelled", 30, "Cancelled")],
)
def test_a_scripted_run_ends_with_its_outcome(
    cloud: DBTCloudEmulator, api: Api, outcome: str, status: int, humanized: str
) -> None:
    job = cloud.create_job("Any", outcome=outcome)  # type: ignore[arg-type]  # one of the outcomes
    queued = api.trigger(job)
    assert (queued["status"], queued["status_humanized"]) == (1, "Queued")
    run = api.run(queued["id"], "run_steps")
    assert (run["status"], run["status_humanized"]) == (status, humanized)
    assert (run["is_complete"], run["in_progress"]) == (True, False)
    assert run["is_success"] is (status == 10)
    assert run["is_error"] is (status == 20)
    assert run["is_cancelled"] is (status == 30)
    assert run["run_steps"][-1]["status"] == status


def test_the_artifacts_of_a_scripted_run_name_it(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"), cause=f"A test with {cloud.api_token}")
    for name in ("manifest.json", "run_results.json"):
        metadata = api.get(f"/runs/{run['id']}/artifacts/{name}").json()["metadata"]
        assert metadata["env"]["DBT_CLOUD_RUN_ID"] == str(run["id"])
        assert metadata["env"]["DBT_CLOUD_RUN_REASON"] == "A test with ***"


def test_outcomes_are_used_one_per_run_and_the_last_repeats(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job = cloud.create_job("Flaky", outcome=["error", "cancelled", "success"])
    for _ in range(4):
        api.trigger(job)
    assert [run["status"] for run in cloud.runs] == [20, 30, 10, 10]


def test_a_scripted_run_takes_its_duration(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Slow", outcome="error", duration=0.05))
    ended = api.ended(run["id"])
    assert ended["status"] == 20
    started, finished = (
        datetime.fromisoformat(ended[f"{end}_at"]) for end in ("started", "finished")
    )
    assert finished - started >= timedelta(seconds=0.05)


def test_finish_run_ends_only_running_scripted_runs(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Manual", duration=None, outcome="error")
    first, second = api.trigger(job)["id"], api.trigger(job)["id"]
    with pytest.raises(ValueError, match="is queued behind an earlier run"):
        cloud.finish_run(second)
    running = api.run(first, "run_steps")
    assert (running["status"], running["is_running"], running["in_progress"]) == (3, True, True)
    assert [step["status"] for step in running["run_steps"]] == [10, 10, 10, 3]
    cloud.finish_run(first)
    assert api.run(first)["status"] == 20
    cloud.finish_run(second, "success")
    assert api.run(second)["status"] == 10
    with pytest.raises(ValueError, match="is already finished"):
        cloud.finish_run(second)
    with pytest.raises(ValueError, match="Run 1 does not exist or is not scripted"):
        cloud.finish_run(1)


def test_runs_of_a_job_are_serial_and_name_the_run_that_blocks_them(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job, other = (cloud.create_job(name, duration=None) for name in ("One", "Other"))
    first, second, third = (api.trigger(job) for _ in range(3))
    beside = api.trigger(other)
    assert [first["blocked_by"], second["blocked_by"]] == [[], [first["id"]]]
    assert [run["status"] for run in cloud.runs] == [3, 1, 1, 3]
    assert api.run(third["id"])["blocked_by"] == [first["id"]]
    cloud.finish_run(first["id"])
    assert [run["status"] for run in cloud.runs] == [10, 3, 1, 3]
    assert api.run(second["id"])["blocked_by"] == []
    assert api.run(third["id"])["blocked_by"] == [second["id"]]
    assert api.run(beside["id"])["blocked_by"] == []


def test_a_queued_run_is_cancelled_at_once(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any", duration=None)
    first, second, third = (api.trigger(job)["id"] for _ in range(3))
    response = api.post(f"/runs/{second}/cancel/").json()["data"]
    assert (response["id"], response["status"]) == (second, 30)
    assert response["status_message"] == "Cancelled by user."
    assert (response["trigger"], response["job"]) == (None, None)
    cancelled = api.run(second, "run_steps", "audit")
    assert (cancelled["status"], cancelled["started_at"], cancelled["run_steps"]) == (30, None, [])
    assert cancelled["audit"]["cancellation"] is not None
    cloud.finish_run(first)
    assert api.run(third)["status"] == 3


def test_cancelling_a_running_run_starts_the_next_one(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any", duration=None)
    first, second = (api.trigger(job)["id"] for _ in range(2))
    answer = api.post(f"/runs/{first}/cancel").json()["data"]
    assert (answer["status"], answer["trigger"], answer["job"]) == (3, None, None)
    cancelled = api.run(first, "run_steps")
    assert cancelled["status_message"] == "Cancelled by user."
    assert (cancelled["status"], cancelled["is_cancelled"]) == (30, True)
    assert cancelled["run_steps"][-1]["status"] == 30
    assert cancelled["retry_not_supported_reason"] == "RETRY_NOT_FAILED_RUN"
    assert api.run(second)["status"] == 3


def test_cancelling_a_finished_run_changes_nothing(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Any"))["id"]
    before = api.run(run)
    response = api.post(f"/runs/{run}/cancel/")
    assert (response.status_code, response.json()["data"]["status"]) == (200, 10)
    assert api.run(run)["finished_at"] == before["finished_at"]


def test_a_run_that_exceeds_its_timeout_is_cancelled_with_a_message() -> None:
    clock = FakeClock()
    with DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud:
        api = Api(cloud)
        with api.session:
            job = cloud.create_job("Slow", duration=60, timeout_seconds=3600, artifacts={})
            run_id = api.trigger(job, timeout_seconds_override=1)["id"]
            clock.sleep(0.9)
            assert api.run(run_id)["status"] == 3
            clock.sleep(0.1)
            run = api.run(run_id)
    assert run["status"] == 30
    assert run["status_message"] == (
        "This run timed out after running for 1 second, which exceeded the configured timeout of "
        "1 seconds."
    )
    assert (run["can_retry"], run["artifacts_saved"]) == (False, True)
    assert run["retry_not_supported_reason"] == "RETRY_NOT_FAILED_RUN"


def test_the_message_of_a_timeout_is_that_of_the_service() -> None:
    assert Plan(steps=(), timeout_seconds=86400).timeout_message == (
        "This run timed out after running for 1 day, which exceeded the configured timeout of "
        "86400 seconds."
    )


def test_the_branch_of_the_environment_is_filled_into_the_trigger(
    cloud: DBTCloudEmulator, api: Api
) -> None:
    job = cloud.create_job("Any", duration=None)
    environment = api.data("/environments/")[0]["id"]
    api.post(f"/environments/{environment}/", {"custom_branch": "nightly"})
    assert api.trigger(job)["trigger"]["git_branch"] is None
    api.post(f"/environments/{environment}/", {"use_custom_branch": True})
    queued = api.trigger(job)
    assert (queued["trigger"]["git_branch"], queued["git_branch"]) == ("nightly", None)
    assert api.trigger(job, git_branch="mine")["trigger"]["git_branch"] == "mine"
    for run in cloud.runs[:2]:
        cloud.finish_run(run["id"])
    assert api.run(queued["id"])["git_branch"] == "nightly"


def test_concurrent_triggers_start_one_run_each(cloud: DBTCloudEmulator) -> None:
    jobs = [cloud.create_job(f"Job {number}", duration=0.001) for number in range(4)]

    def trigger(number: int) -> int:
        api = Api(cloud)
        with api.session:
            return int(api.trigger(jobs[number % 4], cause=f"Thread {number}")["id"])

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(trigger, range(24)))
    for run_id in ids:
        assert cloud.wait_for_run(run_id)["status"] == 10
    assert sorted(ids) == [run["id"] for run in cloud.runs]
    assert len({*ids}) == 24
    for job in jobs:
        mine = [run for run in cloud.runs if run["job_id"] == job]
        assert len(mine) == 6
        for earlier, later in pairwise(mine):
            assert str(earlier["finished_at"]) <= str(later["started_at"])


def test_timers_can_be_injected() -> None:
    clock = FakeClock()
    with DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud:
        api = Api(cloud)
        job = cloud.create_job("Timed", duration=60.0)
        with api.session:
            api.trigger(job)
            cloud.fail("trigger_job", "late", seconds=24.0)
            assert api.post(f"/jobs/{job}/run/", {"cause": "a test"}).status_code == 504
        assert [run["is_running"] for run in cloud.runs] == [True]
        clock.sleep(24.0)
        assert [run["is_running"] for run in cloud.runs] == [True, False]
        clock.sleep(36.0)
        assert [run["is_success"] for run in cloud.runs] == [True, False]
        clock.sleep(60.0)
        assert [run["is_success"] for run in cloud.runs] == [True, True]
