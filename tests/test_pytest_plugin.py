"""The fixture `dbt_cloud`, used by tests of others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from textwrap import indent

import pytest

from tests.fixtures import WriteConfig
from tests.support.clock import PATIENCE
from tests.support.docs.pages import blocks
from tests.support.processes.children import run_python

IMPORTS = """
    import os

    import pytest
    import requests

    from dlt_dbtcloud import DBTCloudAuthError, DBTCloudNotFoundError, DBTCloudServerError
    from dlt_dbtcloud import DBTCloudClientV2, get_dbt_cloud_run_status, run_dbt_cloud_job


    def get(cloud, path):
        headers = {"Authorization": f"Token {cloud.api_token}"}
        return requests.get(f"{cloud.url}/api/v2/{path}/", headers=headers, timeout=60)

"""


@pytest.fixture
def others(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a folder of tests on the machine of a developer with an account."""
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", "991")
    monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "992")
    monkeypatch.setenv("SHOP__DBT_CLOUD__API_TOKEN", "a-real-token")
    return pytester


def outcomes(others: pytest.Pytester, code: str, **expected: int) -> str:
    """Run tests, check how many of them passed, failed and so on, and return the output."""
    others.makepyfile(IMPORTS + code)
    result = others.runpytest_inprocess("-W", "error", "-p", "no:cacheprovider", "-p", "no:anyio")
    result.assert_outcomes(**expected)
    return result.stdout.str()


def test_code_runs_unchanged_against_the_fixture(others: pytest.Pytester) -> None:
    code = """
    def test_failure(dbt_cloud, monkeypatch):
        assert not {name for name in os.environ if "JOB_ID" in name or "SHOP" in name}
        job = dbt_cloud.create_job(outcome="error")
        monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job))
        run = run_dbt_cloud_job()
        assert run["is_error"]
        assert [each["id"] for each in dbt_cloud.runs] == [run["id"]]

    def test_afterwards():
        assert os.environ["DBT_CLOUD__JOB_ID"] == "991"
        assert os.environ["SHOP__DBT_CLOUD__API_TOKEN"] == "a-real-token"
        assert "DBT_CLOUD__BASE_API_URL" not in os.environ
    """
    outcomes(others, code, passed=2)


def test_the_example_of_the_documentation_passes(others: pytest.Pytester) -> None:
    (example,) = [block.code for block in blocks("python") if "(dbt_cloud:" in block.code]
    outcomes(others, indent(example, "    "), passed=2)


def test_each_test_starts_clean_on_one_server(others: pytest.Pytester) -> None:
    code = """
    seen = []

    @pytest.mark.parametrize("number", [1, 2])
    def test_state(dbt_cloud, number):
        seen.append((dbt_cloud.url, dbt_cloud.api_token))
        assert (dbt_cloud.runs, dbt_cloud.requests, dbt_cloud.struck) == ([], [], [])
        assert get(dbt_cloud, f"accounts/{dbt_cloud.account_id}/jobs").json()["data"] == []
        job = dbt_cloud.create_job()
        dbt_cloud.limit_requests(3, cool_down=3600)
        run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
        dbt_cloud.fail("list_jobs", "status", calls=None)
        dbt_cloud.stop()

    def test_server():
        assert len(set(seen)) == 1
    """
    outcomes(others, code, passed=3)


def test_an_unhandled_request_fails_its_test(others: pytest.Pytester) -> None:
    code = """
    def test_before(dbt_cloud):
        pass

    def test_unknown(dbt_cloud):
        get(dbt_cloud, "no/such/route")

    def test_own_failure(dbt_cloud):
        get(dbt_cloud, "another/route").raise_for_status()

    # a bug of the emulator
    def test_handler(dbt_cloud, monkeypatch):
        monkeypatch.delattr("dlt_dbtcloud.emulator.api.queries.JOBS")
        dbt_cloud.fail("list_jobs", "cut")
        with pytest.raises(requests.ConnectionError):
            get(dbt_cloud, f"accounts/{dbt_cloud.account_id}/jobs")

    def test_after(dbt_cloud):
        assert dbt_cloud.unhandled == []

    def test_expected(dbt_cloud):
        assert get(dbt_cloud, "no/such/route").status_code == 404
        dbt_cloud.reset()
    """
    output = outcomes(others, code, passed=3, failed=3)
    assert "GET /api/v2/no/such/route/: unknown route" in output
    assert "GET /api/v2/another/route/: unknown route" in output
    assert "HTTPError: 404" in output
    assert "/jobs/: its handler raised AttributeError" in output


def test_an_unknown_route_in_a_teardown_is_an_error_of_its_test(others: pytest.Pytester) -> None:
    code = """
    @pytest.fixture
    def cleaning(dbt_cloud):
        yield
        get(dbt_cloud, "no/such/route")

    def test_cleaning(cleaning):
        pass

    def test_after(dbt_cloud):
        pass
    """
    output = outcomes(others, code, passed=2, errors=1)
    assert "ERROR at teardown of test_cleaning" in output
    assert "GET /api/v2/no/such/route/: unknown route" in output


def test_faults_and_missing_objects_fail_no_test(others: pytest.Pytester) -> None:
    code = """
    def test_faults(dbt_cloud):
        dbt_cloud.fail("get_run", "status", calls=None, status=500)
        run = run_dbt_cloud_job(job_id=dbt_cloud.create_job(), wait_for_outcome=False)
        with pytest.raises(DBTCloudServerError):
            get_dbt_cloud_run_status(run_id=run["id"], timeout=0.05)

    def test_missing(dbt_cloud):
        with pytest.raises(DBTCloudNotFoundError):
            run_dbt_cloud_job(job_id=1)
    """
    outcomes(others, code, passed=2)


def test_runs_in_progress_end_with_their_test(others: pytest.Pytester) -> None:
    code = """
    def test_run(dbt_cloud):
        job = dbt_cloud.create_job(duration=3600)
        run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    """
    before = [*_timers()]
    outcomes(others, code, passed=1)
    for timer in {*_timers()}.difference(before):
        timer.join(PATIENCE)
        assert not timer.is_alive()


def _timers() -> Iterator[threading.Timer]:
    return (each for each in threading.enumerate() if isinstance(each, threading.Timer))


def test_a_developers_secrets_reach_no_service(
    others: pytest.Pytester, write_config: WriteConfig
) -> None:
    account = '{api_token = "a-real-token", account_id = 992, base_api_url = "https://dbt.invalid"}'
    write_config("secrets.toml", f"dbt_cloud = {account}".replace("}", f", prod = {account}}}"))
    code = """
    @pytest.mark.parametrize("connection", [None, "prod"])
    def test_connection(dbt_cloud, connection):
        job = dbt_cloud.create_job()
        assert run_dbt_cloud_job(job_id=job, connection=connection)["is_success"]
        assert len(dbt_cloud.runs) == 1

    def test_emulator(dbt_cloud, monkeypatch):
        from dlt_dbtcloud.emulator import DBTCloudEmulator

        with DBTCloudEmulator(account_id=7) as another:
            for name, value in another.environment().items():
                name = name.replace("DBT_CLOUD__", "DBT_CLOUD__PROD__")
                monkeypatch.setenv(name, value)
            assert run_dbt_cloud_job(job_id=another.create_job(), connection="prod")
            assert (len(another.runs), dbt_cloud.runs) == (1, [])

    def test_own_variable(dbt_cloud, monkeypatch):
        monkeypatch.setenv("DBT_CLOUD__PROD__API_TOKEN", "wrong")
        with pytest.raises(DBTCloudAuthError):
            run_dbt_cloud_job(job_id=dbt_cloud.create_job(), connection="prod")
    """
    outcomes(others, code, passed=4)


def test_the_start_of_pytest_imports_nothing_for_the_fixture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (entry,) = entry_points(group="pytest11", name="dlt-dbtcloud")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    code = (
        f"import pytest, sys; pytest.main(['--fixtures', '-p', {entry.value!r}])\n"
        "print('modules:', *sys.modules)"
    )
    output = run_python(code)
    assert "\ndbt_cloud -- " in output
    modules = output.rpartition("modules:")[2].split()
    assert "dlt_dbtcloud.pytest_plugin" in modules
    assert not {"dlt", "requests", "werkzeug", "dlt_dbtcloud.emulator"} & {*modules}
