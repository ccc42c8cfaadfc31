"""Start and stop, contents and records of the emulator."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import until
from tests.support.dbt.fake_dbt import STUBBORN, write_fake
from tests.support.processes.children import is_alive
from tests.support.servers.emulator_api import Api


def test_url_and_environment_point_at_the_emulator() -> None:
    with DBTCloudEmulator(api_token="a-token", account_id=7) as cloud:
        assert cloud.url.startswith("http://127.0.0.1:")
        assert cloud.environment() == {
            "DBT_CLOUD__API_TOKEN": "a-token",
            "DBT_CLOUD__ACCOUNT_ID": "7",
            "DBT_CLOUD__BASE_API_URL": f"{cloud.url}/api",
        }
        assert Api(cloud).data("/")["id"] == 7


def test_emulators_have_their_own_tokens_and_valid_ports_and_accounts() -> None:
    one, other = DBTCloudEmulator(), DBTCloudEmulator()
    assert one.api_token != other.api_token
    assert one.account_id > 0
    with pytest.raises(ValueError, match="`port` must be a number from 0 to 65535, not 70000"):
        DBTCloudEmulator(70000)
    with pytest.raises(ValueError, match="`account_id` must be a number from 1"):
        DBTCloudEmulator(account_id=0)


def free_port() -> int:
    """Return a free port below those that the system assigns, different in each process."""
    for port in range(20_000 + os.getpid() % 10_000, 30_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("There is no free port.")


def test_a_chosen_port_can_be_reused() -> None:
    port = free_port()
    for _ in range(2):
        with DBTCloudEmulator(port) as cloud:
            assert cloud.url.endswith(f":{port}")


def test_a_port_in_use_is_an_error_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"127\.0\.0\.1:{port}: the port is in use\. Stop the program"
        ):
            DBTCloudEmulator(port).start()


def test_start_twice_is_an_error_but_stop_twice_is_not(fresh: DBTCloudEmulator) -> None:
    with pytest.raises(RuntimeError, match="is already listening"):
        fresh.start()
    fresh.stop()
    fresh.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(fresh.url, timeout=60)


def _starts(cloud: DBTCloudEmulator) -> bool:
    try:
        cloud.start()
    except OSError:
        return False
    return True


def test_it_restarts_on_the_same_port_with_its_jobs(fresh: DBTCloudEmulator) -> None:
    url, job = fresh.url, fresh.create_job("Kept")
    fresh.stop()
    # another program may take the port for a moment
    until(lambda: _starts(fresh))
    assert fresh.url == url
    assert Api(fresh).data(f"/jobs/{job}/")["name"] == "Kept"


@pytest.mark.parametrize("end", [DBTCloudEmulator.stop, DBTCloudEmulator.reset])
def test_stop_and_reset_close_connections_that_clients_keep_alive(
    fresh: DBTCloudEmulator, end: Callable[[DBTCloudEmulator], None]
) -> None:
    port = int(fresh.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /api/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"401" in connection.recv(65536)
        end(fresh)
        assert connection.recv(65536) == b""


def test_many_requests_share_a_connection(cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Any")
    port = int(cloud.url.rpartition(":")[2])
    token = cloud.api_token.encode()
    head = b"Host: x\r\nAuthorization: Token " + token + b"\r\nContent-Length: "
    path = f"/api/v2/accounts/{cloud.account_id}/jobs/{job}/run/".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        reader = connection.makefile("rb")
        for cause in (b'{"cause": "one"}', b'{"cause": 2}', b'{"cause": "three"}'):
            length = str(len(cause)).encode()
            connection.sendall(
                b"POST " + path + b" HTTP/1.1\r\n" + head + length + b"\r\n\r\n" + cause
            )
            headers = dict(
                iter(lambda: reader.readline().rstrip().partition(b": ")[::2], (b"", b""))
            )
            body = json.loads(reader.read(int(headers[b"Content-Length"])))
            assert b"Connection" not in headers
            assert body["status"]["is_success"] is (b"2" not in cause)
        reader.close()
    assert [request.status for request in cloud.requests] == [200, 400, 200]


def test_disconnected_clients_are_ignored(
    cloud: DBTCloudEmulator, api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    big = {"big.bin": b"x" * 20_000_000}
    run = api.trigger(cloud.create_job("Big", artifacts=big))["id"]
    url = f"{api.account}/runs/{run}/artifacts/big.bin"
    for _ in range(3):
        with api.session.get(url, stream=True, timeout=60) as response:
            assert next(response.iter_content(100)) == b"x" * 100
        api.session.close()
    assert api.run(run)["status"] == 10
    cloud.reset()
    assert capfd.readouterr() == ("", "")


def test_requests_are_recorded(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any")
    api.trigger(job, steps_override=None)
    api.get("/runs/", limit=5, include_related=["trigger", "job"])
    trigger, listing = cloud.requests
    assert (trigger.method, trigger.status) == ("POST", 200)
    assert trigger.path.endswith(f"/jobs/{job}/run/")
    assert trigger.json == {"cause": "A test", "steps_override": None}
    assert listing.query == {"limit": ["5"], "include_related": ["trigger", "job"]}
    assert listing.json is None


def test_runs_contain_their_trigger_and_steps(cloud: DBTCloudEmulator, api: Api) -> None:
    job = cloud.create_job("Any")
    ids = [api.trigger(job)["id"] for _ in range(3)]
    assert [run["id"] for run in cloud.runs] == ids
    assert cloud.runs[0]["trigger"] is not None
    assert cloud.runs[0]["trigger"]["cause"] == "A test"
    assert len(cloud.runs[0]["run_steps"]) == 4


def test_reset_keeps_only_the_account(cloud: DBTCloudEmulator, api: Api) -> None:
    project = cloud.create_project("Another")
    job = cloud.create_job("Any", duration=None, project_id=project)
    run = api.trigger(job)
    cloud.create_account(visible=True)
    cloud.reset()
    assert (cloud.runs, cloud.requests) == ([], [])
    assert api.get(f"/jobs/{job}/").status_code == 404
    assert api.get(f"/runs/{run['id']}/").status_code == 404
    assert len(api.session.get(f"{cloud.url}/api/v2/accounts/", timeout=60).json()["data"]) == 1
    assert len(api.data("/projects/")) == len(api.data("/environments/")) == 1
    assert cloud.create_job("Next") > run["id"]


def test_unhandled_requests_are_listed_until_a_reset(cloud: DBTCloudEmulator, api: Api) -> None:
    api.session.put(f"{api.account}/runs/", timeout=60)
    api.get(f"/{cloud.api_token}/")
    runs, nothing = cloud.unhandled
    assert (runs.method, runs.reason) == ("PUT", "its route has no such method")
    assert (nothing.path[-5:], nothing.reason) == ("/***/", "unknown route")
    # what is missing, malformed, refused or faulty is handled
    cloud.reset()
    cloud.fail("list_jobs", "status")
    for path in ("/jobs/1/", "/runs/?limit=x", "/jobs/"):
        assert api.get(path).status_code >= 400
    assert cloud.unhandled == []


def test_invalid_job_options_are_refused(
    cloud: DBTCloudEmulator, tmp_path: Path, tiny: Path
) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"nowhere` is not a folder\. Pass the folder of a dbt"
    ):
        cloud.create_job("Job", project_dir=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"does not contain dbt_project\.yml"):
        cloud.create_project("Project", project_dir=tmp_path)
    with pytest.raises(RuntimeError, match=r"`no-dbt`: .*Install the `local` extra"):
        cloud.create_job("Job", project_dir=tiny, dbt_executable="no-dbt")
    with pytest.raises(ValueError, match=r"runs dbt .* or is scripted"):
        cloud.create_job("Job", project_dir=tiny, outcome="error")
    with pytest.raises(
        ValueError, match="`outcome` must be one of success, error, cancelled, not 'bad'"
    ):
        cloud.create_job("Job", outcome="bad")  # type: ignore[arg-type]  # the tested mistake
    with pytest.raises(ValueError, match="`duration` must be at least 0 seconds, not -1"):
        cloud.create_job("Job", duration=-1)
    with pytest.raises(ValueError, match="Job `Job`: execute_steps: `ls` is not a dbt command"):
        cloud.create_job("Job", execute_steps=["ls"])
    with pytest.raises(ValueError, match="Job `Job`: The requested resource was not found"):
        cloud.create_job("Job", project_id=1)
    assert cloud.runs == []


def test_waiting_for_a_run_is_bounded(cloud: DBTCloudEmulator, api: Api) -> None:
    run = api.trigger(cloud.create_job("Slow", duration=None))
    with pytest.raises(TimeoutError, match=r"is not finished after 0\.01 seconds"):
        cloud.wait_for_run(run["id"], 0.01)
    with pytest.raises(ValueError, match="Run 5 does not exist"):
        cloud.wait_for_run(5)


def test_a_token_that_json_escapes_is_not_recorded() -> None:
    with DBTCloudEmulator(api_token='a"b') as cloud:
        api = Api(cloud)
        with api.session:
            api.trigger(cloud.create_job("Any"), cause='by a"b')
            api.get("/runs/", token='a"b')
        assert cloud.requests[0].json == {"cause": "by ***"}
        assert cloud.requests[1].query == {"token": ["***"]}


def test_the_token_is_neither_recorded_nor_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with DBTCloudEmulator() as cloud:
        api = Api(cloud)
        api.trigger(cloud.create_job("Any"), cause=f"My token is {cloud.api_token}")
        api.get(f"/runs/?token={cloud.api_token}")
        api.get("/nothing/")
        seen = repr(cloud.requests) + repr(cloud)
    assert "***" in seen
    assert cloud.api_token not in seen
    ours = [record.getMessage() for record in caplog.records if "dbtcloud" in record.name]
    assert ours == []
    assert capfd.readouterr() == ("", "")


def test_reset_and_stop_end_dbt_and_delete_its_files(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.process.GRACE", 0.2)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    dbt = write_fake(tmp_path, STUBBORN)
    with DBTCloudEmulator() as cloud:
        # a reset keeps the folder that the guard has locked, but nothing of the runs
        for end, left in ((cloud.reset, ["owner"]), (cloud.stop, [])):
            job = cloud.create_job("Stubborn", project_dir=tiny, dbt_executable=dbt)
            Api(cloud).trigger(job)
            until(lambda: "started" in _log(cloud))
            pids = [int(pid) for pid in _log(cloud).split()[-2:]]
            assert [file.name for file in temporary.glob("*/*")] != ["owner"]
            end()
            assert [file.name for file in temporary.glob("*/*")] == left
            assert bool([*temporary.iterdir()]) is bool(left)
            until(partial(_have_ended, pids))


def _have_ended(pids: list[int]) -> bool:
    return not any(map(is_alive, pids))


def _log(cloud: DBTCloudEmulator) -> str:
    return "\n".join(str(step["logs"]) for step in cloud.runs[0]["run_steps"])
