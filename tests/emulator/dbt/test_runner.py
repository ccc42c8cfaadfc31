"""dbt runs with a stand-in for the dbt program: environment, isolation and cancellation."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import FakeClock, FakeTimer, until
from tests.support.dbt.fake_dbt import FAILING, RECORDING, STUBBORN, write_fake
from tests.support.servers.emulator_api import Api

MANY = 1_000_000


def _seen(api: Api, run: Any) -> Any:
    return api.get(f"/runs/{run['id']}/artifacts/seen.json").json()


def logs_of(api: Api, run_id: int) -> str:
    """Return the logs of the steps that have started."""
    return "".join(step["logs"] for step in api.run(run_id, "run_steps")["run_steps"])


def test_the_version_of_another_dbt_program_is_that_in_its_log(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = "print('dbt-fusion 2.0.0-preview.196')"
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=write_fake(tmp_path, body))
    queued = api.trigger(job)
    assert queued["dbt_version"] == "latest"
    assert api.ended(queued["id"])["dbt_version"] == "2.0.0-preview.196"


def test_dbt_runs_in_the_project_and_writes_to_the_run(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", cloud.api_token)
    monkeypatch.setenv("DBT_ENGINE_TARGET_PATH", "elsewhere")
    monkeypatch.setenv("ALSO", f"Token {cloud.api_token}")
    monkeypatch.setenv("KEPT", "yes")
    job = cloud.create_job(
        "Isolated",
        project_dir=tiny,
        dbt_executable=write_fake(tmp_path, RECORDING),
        execute_steps=["dbt run --select 'a b' ; touch x"],
        environ={"MINE": "1"},
    )
    run = api.ended(api.trigger(job)["id"])
    assert (run["status"], run["dbt_version"]) == (10, "1.11.7")
    seen = _seen(api, run)
    environ = seen["environ"]
    assert seen["arguments"] == ["run", "--select", "a b", ";", "touch", "x"]
    assert Path(seen["folder"]) == tiny
    assert (environ["KEPT"], environ["MINE"], environ["PATH"]) == ("yes", "1", os.environ["PATH"])
    assert environ["DBT_PROFILES_DIR"] == str(tiny)
    assert environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert not {"DBT_CLOUD__API_TOKEN", "DBT_ENGINE_TARGET_PATH", "ALSO"} & environ.keys()
    assert cloud.api_token not in json.dumps([seen, run])
    for name in ("DBT_TARGET_PATH", "DBT_LOG_PATH"):
        assert not Path(environ[name]).is_relative_to(tiny)


def test_a_big_file_is_streamed(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = f"""
with open(os.environ["DBT_TARGET_PATH"] + "/big.json", "w") as file:
    file.write('x' * {MANY})
"""
    dbt = write_fake(tmp_path, body)
    job = cloud.create_job("Big", project_dir=tiny, dbt_executable=dbt)
    run = api.ended(api.trigger(job)["id"])
    response = api.get(f"/runs/{run['id']}/artifacts/big.json")
    assert response.headers["Content-Length"] == str(MANY)
    assert len(response.content) == MANY
    assert api.get(f"/jobs/{job}/artifacts/big.json").content == response.content
    long = ("x" * 5000, "x/" * 5000 + "x")
    odd = ("%00", "a%0Ab", "%FF", "%ED%A0%80", "[x]%7C^", "..\\x")
    for path in ("..%2F..%2Fprofiles.yml", "%2Fetc%2Fpasswd", "big.json/", *long, *odd):
        url = f"{api.account}/runs/{run['id']}/artifacts/{path}"
        assert api.session.get(url, timeout=60).status_code == 404, path
        url = f"{api.account}/jobs/{job}/artifacts/{path}"
        assert api.session.get(url, timeout=60).status_code == 404, path


def test_cancel_ends_dbt_and_its_children(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.process.GRACE", 0.2)
    dbt = write_fake(tmp_path, STUBBORN)
    job = cloud.create_job("Stubborn", project_dir=tiny, dbt_executable=dbt)
    first, second = api.trigger(job)["id"], api.trigger(job)["id"]
    until(lambda: "started" in logs_of(api, first))
    api.post(f"/runs/{second}/cancel/")
    assert api.post(f"/runs/{first}/cancel/").json()["data"]["status"] == 3
    run = api.ended(first)
    assert (run["status"], run["status_message"]) == (30, "Cancelled by user.")
    assert [step["status"] for step in run["run_steps"]] == [10, 10, 10, 30]
    assert "started" in run["run_steps"][-1]["logs"]


def test_a_timeout_ends_dbt_with_a_message(tiny: Path, tmp_path: Path, clock: FakeClock) -> None:
    dbt = write_fake(tmp_path, "print('working', flush=True); time.sleep(3600)")
    with DBTCloudEmulator(new_timer=partial(FakeTimer, clock)) as cloud:
        api = Api(cloud)
        job = cloud.create_job("Slow", project_dir=tiny, dbt_executable=dbt, timeout_seconds=1)
        started = api.trigger(job)["id"]
        until(lambda: "working" in logs_of(api, started))
        clock.sleep(0.9)
        assert api.run(started)["status"] == 3
        clock.sleep(0.1)
        run = api.ended(started)
    assert run["status"] == 30
    assert run["status_message"] == (
        "This run timed out after running for 1 second, which exceeded the configured timeout of "
        "1 seconds."
    )
    assert run["artifacts_saved"] is True


def test_jobs_of_one_project_do_not_run_dbt_at_the_same_time(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "inside"
    body = f"""
os.close(os.open({str(mark)!r}, os.O_CREAT | os.O_EXCL))
time.sleep(0.05)
os.unlink({str(mark)!r})
"""
    dbt = write_fake(tmp_path, body)
    jobs = [cloud.create_job(name, project_dir=tiny, dbt_executable=dbt) for name in "abc"]
    runs = [api.trigger(job)["id"] for job in jobs]
    assert [api.ended(run)["status"] for run in runs] == [10] * 3


def test_a_run_that_waits_for_the_dbt_of_another_job_can_be_cancelled(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    body = "print('working', flush=True); time.sleep(3600)"
    dbt = write_fake(tmp_path, body)
    one, other = (cloud.create_job(name, project_dir=tiny, dbt_executable=dbt) for name in "ab")
    first = api.trigger(one)["id"]
    until(lambda: "working" in logs_of(api, first))
    second = api.trigger(other)["id"]
    until(lambda: len(api.run(second, "run_steps")["run_steps"]) == 4)
    api.post(f"/runs/{second}/cancel/")
    assert api.ended(second)["status"] == 30
    assert api.run(first)["status"] == 3


def test_a_failing_step_stops_the_run_unless_it_may_fail(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    job = cloud.create_job(
        "Fails",
        project_dir=tiny,
        dbt_executable=write_fake(tmp_path, FAILING),
        execute_steps=["dbt run", "dbt test"],
        run_generate_sources=True,
        generate_docs=True,
    )
    run = api.ended(api.trigger(job)["id"])
    assert (run["status"], run["can_retry"]) == (20, True)
    assert [step["status"] for step in run["run_steps"]] == [10, 10, 10, 20, 20]
    details = api.data(f"/runs/{run['id']}/retry/")
    assert details == {"failed_step": "dbt run", "skipped_steps": ["dbt test", "dbt docs generate"]}
    retry = api.ended(api.post(f"/runs/{run['id']}/retry/").json()["data"]["id"])
    sent = api.get(f"/runs/{retry['id']}/artifacts/run_results.json", step=4).json()["arguments"]
    assert sent[:2] == ["retry", "--state"]
    assert sent[2].endswith(f"/{run['id']}/5/target")


def test_a_missing_project_is_an_error_in_the_log(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Missing", project_dir=tiny, dbt_executable=dbt)
    (tiny / "dbt_project.yml").unlink()
    run = api.ended(api.trigger(job)["id"])
    assert (run["status"], run["retry_not_supported_reason"]) == (20, "RETRY_UNSUPPORTED_CMD")
    assert run["run_steps"][-1]["logs"].startswith("The dbt project is missing:")
    assert str(tiny) in run["run_steps"][-1]["logs"]


def test_a_missing_dbt_is_an_error_in_the_log(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
    Path(dbt).unlink()
    run = api.ended(api.trigger(job)["id"])
    assert run["status"] == 20
    assert "Install the `local` extra" in run["run_steps"][-1]["logs"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_named_in_the_message_of_the_run(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, "with open('/dev/full', 'w') as file: file.write('x')")
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
    run = api.ended(api.trigger(job)["id"])
    assert run["status"] == 20
    assert run["status_message"] == "dbt failed because a disk is full: No space left on device."


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b"])
def test_characters_that_a_process_cannot_get_end_no_server(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, odd: str
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
    run = api.ended(api.trigger(job, cause=odd)["id"])
    assert _seen(api, run)["environ"]["DBT_CLOUD_RUN_REASON"] in ("a\ufffdb", "a?b")
    failed = api.ended(api.trigger(job, steps_override=[f"dbt run --select {odd}"])["id"])
    assert failed["status"] == 20
    assert failed["status_message"]


def test_overrides_of_an_unreadable_profile_are_an_error_in_the_log(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
    (tiny / "profiles.yml").write_text("[closed")
    run = api.ended(api.trigger(job, schema_override="pr_1")["id"])
    assert [step["status"] for step in run["run_steps"]] == [10, 20]
    assert "cannot be read" in run["run_steps"][-1]["logs"]


def test_a_job_created_through_the_api_runs_the_dbt_of_its_project(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    project = cloud.create_project("Real", project_dir=tiny, dbt_executable=dbt)
    (environment,) = api.data("/environments/", project_id=project)
    body = {
        "name": "Theirs",
        "project_id": project,
        "environment_id": environment["id"],
        "execute_steps": ["dbt seed"],
    }
    job = api.post("/jobs/", body).json()["data"]["id"]
    assert _seen(api, api.ended(api.trigger(job)["id"]))["arguments"] == ["seed"]


def test_logs_are_visible_while_dbt_is_running(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    resume = tmp_path / "resume"
    body = f"""
print("half way", flush=True)
while not os.path.exists({str(resume)!r}):
    time.sleep(0.01)
"""
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=write_fake(tmp_path, body))
    run = api.trigger(job)
    until(lambda: _half(api, run))
    assert api.run(run["id"])["status"] == 3
    resume.touch()
    assert api.ended(run["id"])["status"] == 10


def _half(api: Api, run: Any) -> bool:
    steps = api.run(run["id"], "run_steps")["run_steps"]
    return bool(steps) and "half way" in steps[-1]["logs"]


def test_packages_are_installed_if_there_are_any(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path
) -> None:
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt)
    run = api.ended(api.trigger(job)["id"])
    assert (
        run["run_steps"][2]["logs"] == "The project has no packages: there is nothing to install."
    )
    (tiny / "packages.yml").write_text("packages: []")
    run = api.ended(api.trigger(job)["id"])
    seen = api.get(f"/runs/{run['id']}/artifacts/seen.json", step=3).json()
    assert seen["arguments"] == ["deps"]


def test_overrides_take_precedence_over_the_inherited_environment(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_TARGET", "dev")
    dbt = write_fake(tmp_path, RECORDING)
    job = cloud.create_job("Any", project_dir=tiny, dbt_executable=dbt, target_name="prod")
    environ = _seen(api, api.ended(api.trigger(job)["id"]))["environ"]
    assert environ["DBT_TARGET"] == "prod"
    assert environ["DBT_PROFILES_DIR"] != str(tiny)
