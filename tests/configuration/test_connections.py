"""Named connections win over `[dbt_cloud]`, and the caller wins over them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigValueCannotBeCoercedException,
    ValueNotSecretException,
)
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from dlt_dbtcloud import (
    DBTCloudConfiguration,
    DBTCloudRunTimeout,
    InvalidCredentialsException,
    run_dbt_cloud_job,
)
from dlt_dbtcloud.configuration import line_that_sets, resolved_config, with_dbt_cloud_config
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.fixtures import WriteConfig

TOKEN = "dbtc_s3cr3t"
PROD = """
[dbt_cloud]
api_token = "dbtc_dev"
account_id = 1
cause = "dev"
retries = 1

[dbt_cloud.prod]
api_token = "dbtc_s3cr3t"
account_id = 2
retries = 2
"""


@with_dbt_cloud_config
def configured(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    retries: int = 0,
    *,
    connection: str | None = None,
) -> DBTCloudConfiguration:
    """Return the config that a helper would receive."""
    config = resolved_config(credentials)
    assert (connection, retries) == (config.connection, config.retries)
    return config


def test_a_connection_wins_over_the_section_and_the_environment(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("secrets.toml", PROD)
    monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "3")
    monkeypatch.setenv("DBT_CLOUD__RUN_ID", "4")
    dev, prod = configured(), configured(connection="prod")
    assert (dev.api_token, dev.account_id, dev.retries) == ("dbtc_dev", "3", 1)
    assert (prod.api_token, prod.account_id, prod.retries) == (TOKEN, "2", 2)
    assert (prod.cause, prod.run_id) == ("dev", "4")


def test_within_a_connection_the_environment_wins_over_files(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("secrets.toml", PROD)
    write_config("config.toml", "[dbt_cloud.prod]\nretries = 5\ntimeout = 6")
    monkeypatch.setenv("DBT_CLOUD__PROD__ACCOUNT_ID", "9")
    monkeypatch.setenv("DBT_CLOUD__PROD__STEPS_OVERRIDE", '["dbt run"]')
    prod = configured(connection="prod")
    assert (prod.account_id, prod.retries, prod.timeout) == ("9", 2, 6.0)
    assert prod.steps_override == ["dbt run"]


def test_variables_of_a_connection_are_a_section_of_their_own(write_config: WriteConfig) -> None:
    write_config("secrets.toml", f'{PROD}\n[dbt_cloud.prod.additional_vars]\nload_id = "x"')
    assert configured(connection="prod").additional_vars == {"load_id": "x"}
    with pytest.raises(InvalidCredentialsException, match="is a key of"):
        configured(connection="additional_vars")


def test_the_caller_wins_over_a_connection(write_config: WriteConfig) -> None:
    write_config("secrets.toml", PROD)
    assert configured({"account_id": 7}, connection="prod").account_id == "7"
    assert configured({"retries": 7}, 8, connection="prod").retries == 8
    credentials = DBTCloudConfiguration(retries=0)
    assert configured(credentials, connection="prod").retries == 0
    assert configured(credentials, connection="prod").account_id == "2"
    assert credentials.account_id is None


def test_the_config_and_credentials_can_name_the_connection(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("secrets.toml", f"{PROD}\n[dbt_cloud.eu]\naccount_id = 5")
    assert configured({"connection": "prod"}).account_id == "2"
    assert configured(DBTCloudConfiguration(connection="prod")).account_id == "2"
    monkeypatch.setenv("DBT_CLOUD__CONNECTION", " prod ")
    assert configured().account_id == "2"
    assert configured(connection="eu").account_id == "5"
    assert configured({"connection": "eu"}).api_token == "dbtc_dev"
    assert configured({"connection": "eu"}, connection="prod").account_id == "2"


def test_dlt_resolves_a_connection_as_well(write_config: WriteConfig) -> None:
    write_config("secrets.toml", PROD.replace('api_token = "dbtc_dev"', ""))
    config = resolve_configuration(DBTCloudConfiguration(connection="prod"))
    assert (config.api_token, config.account_id, config.cause) == (TOKEN, "2", "dev")


def test_a_connection_may_exist_in_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROD_EU__API_TOKEN", TOKEN)
    assert configured(connection="prod_eu").api_token == TOKEN
    # as dlt's names of variables are in upper case
    assert configured(connection="Prod_EU").api_token == TOKEN


def test_variables_without_the_prefix_are_ignored(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("secrets.toml", f"{PROD}\n[prod]\njob_id = 3")
    monkeypatch.setenv("PROD__JOB_ID", "4")
    monkeypatch.setenv("JOB_ID", "5")
    assert configured(connection="prod").job_id is None


@pytest.mark.parametrize("name", ["prot", "stage", "PROD"])
def test_an_unknown_connection_lists_the_known_ones(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DBT_CLOUD__EU__ACCOUNT_ID", "1")
    monkeypatch.setenv("DBT_CLOUD__NOT_ONE__OTHER", "1")
    write_config("config.toml", "[dbt_cloud]\nadditional.x = 1\n[dbt_cloud.prod]\nretries = 1")
    with pytest.raises(InvalidCredentialsException) as caught:
        configured({"api_token": TOKEN}, connection=name)
    assert f"There is no `connection='{name}'`." in str(caught.value)
    assert "Known connections: `additional`, `eu`, `prod`." in str(caught.value)
    assert ("Did you mean `prod`?" in str(caught.value)) == (name != "stage")


def test_an_unknown_connection_is_an_error_if_none_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidCredentialsException, match="Known connections: none"):
        configured(connection="prod")
    monkeypatch.setenv("DBT_CLOUD__CONNECTION", "prod")
    with pytest.raises(InvalidCredentialsException, match="There is no `connection='prod'`"):
        configured()


def test_a_field_is_not_a_connection(write_config: WriteConfig) -> None:
    write_config("secrets.toml", f"{PROD}\n[dbt_cloud.steps_override]\naccount_id = 1")
    for name in ("job_id", "steps_override"):
        with pytest.raises(InvalidCredentialsException, match=f"`connection='{name}'` is a key"):
            configured(connection=name)


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_in_the_config_counts_as_not_set(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_config("secrets.toml", PROD)
    monkeypatch.setenv("DBT_CLOUD__CONNECTION", name)
    assert configured().account_id == "1"


def test_a_name_that_no_section_can_have_is_refused() -> None:
    cases = ["", " ", "a.b", "a__b", "_a", "a b", "ä", "../x", "<name>", "set me up!"]
    for name in cases:
        with pytest.raises(InvalidCredentialsException, match="is not the name of a section"):
            configured({"api_token": TOKEN}, connection=name)


def test_an_argument_in_the_place_of_a_connection_is_not_quoted() -> None:
    cases: list[tuple[Any, str]] = [
        ({"api_token": TOKEN}, r"`connection` is a `dict`\. Did you mean `credentials=…`"),
        (5, "`connection` is a `int`"),
        ([TOKEN], "`connection` is a `list`"),
        ("s3cr3t_t0ken_of_a_user", r"`connection='s3cr\.\.\.'`"),
    ]
    for connection, problem in cases:
        with pytest.raises(InvalidCredentialsException, match=problem) as caught:
            configured(connection=connection)
        assert "s3cr3t" not in str(caught.value)


def test_a_missing_token_lists_the_places_of_the_connection(write_config: WriteConfig) -> None:
    write_config("config.toml", "[dbt_cloud.prod]\naccount_id = 1")
    with pytest.raises(ConfigFieldMissingException) as caught:
        configured(connection="prod")
    text = str(caught.value)
    assert text.index("DBT_CLOUD__PROD__API_TOKEN") < text.index("DBT_CLOUD__API_TOKEN")


def test_a_token_outside_of_secrets_is_refused(write_config: WriteConfig) -> None:
    write_config("config.toml", f'[dbt_cloud.prod]\napi_token = "{TOKEN}"')
    with pytest.raises(ValueNotSecretException, match=r"dbt_cloud\.prod\.api_token") as caught:
        configured({"api_token": "dbtc_dev"}, connection="prod")
    assert TOKEN not in str(caught.value)


def test_a_value_of_a_wrong_type_is_refused(write_config: WriteConfig) -> None:
    write_config("secrets.toml", PROD.replace("retries = 2", 'retries = "two"'))
    with pytest.raises(ConfigValueCannotBeCoercedException, match="retries"):
        configured(connection="prod")


def test_advice_names_the_section_of_the_connection(write_config: WriteConfig) -> None:
    write_config("secrets.toml", PROD.replace("account_id = 2", 'account_id = "set me up!"'))
    with pytest.raises(InvalidCredentialsException) as caught:
        configured(connection="prod")
    assert "`[dbt_cloud.prod]`" in str(caught.value)
    assert "`DBT_CLOUD__PROD__*`" in str(caught.value)
    with pytest.raises(InvalidCredentialsException) as caught:
        resolved_config(configured({"account_id": 1}, connection="prod"), "job_id")
    assert "set `job_id` under `[dbt_cloud.prod]`" in str(caught.value)
    assert "`DBT_CLOUD__PROD__JOB_ID`" in str(caught.value)


def test_misspelt_keys_of_the_connection_are_named(
    write_config: WriteConfig, caplog: pytest.LogCaptureFixture
) -> None:
    write_config("config.toml", "[dbt_cloud.mis]\nacount_id = 1\n[dbt_cloud.other]\nacount_idd = 1")
    with pytest.raises(ConfigFieldMissingException):
        configured(connection="mis")
    assert [record.getMessage() for record in caplog.records] == [
        "`acount_id` under `[dbt_cloud.mis]` in `config.toml` is not a known key. "
        "Did you mean `account_id`?"
    ]


JOBS: dict[str, tuple[dict[str, Any], str, dict[str, str], tuple[str | None, str | None]]] = {
    "id beside a name": ({}, "job_id = 1\njob_name = 'a'", {}, ("1", "a")),
    "name of the caller": ({"job_name": "a"}, "job_id = 1", {}, (None, "a")),
    "id of the caller": ({"job_id": 2}, "job_name = 'a'", {}, ("2", "a")),
    "name of the environment": ({}, "job_id = 1", {"JOB_NAME": "a"}, (None, "a")),
    "id of the environment": ({}, "job_name = 'a'", {"JOB_ID": "1"}, ("1", "a")),
    "name of a connection": (
        {"connection": "prod"},
        "job_id = 1\n[dbt_cloud.prod]\njob_name = 'a'",
        {"JOB_ID": "2"},
        (None, "a"),
    ),
    "placeholder as a name": ({"job_name": "set me up!"}, "job_id = 1", {}, ("1", None)),
}


@pytest.mark.parametrize("name", JOBS)
def test_the_first_place_that_names_the_job_decides(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    credentials, section, variables, job = JOBS[name]
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", TOKEN)
    write_config("config.toml", f"[dbt_cloud]\n{section}")
    for variable, value in variables.items():
        monkeypatch.setenv(f"DBT_CLOUD__{variable}", value)
    config = configured(credentials)
    assert (config.job_id, config.job_name) == job


@pytest.fixture
def workspace(isolated: Path) -> Callable[[str], None]:
    """Return a function that opens a workspace of dlt with a profile."""
    settings = isolated / ".dlt"
    settings.mkdir()
    (settings / ".workspace").touch()
    (settings / "secrets.toml").write_text(PROD)
    (settings / "tests.secrets.toml").write_text(
        '[dbt_cloud]\naccount_id = 11\n[dbt_cloud.prod]\napi_token = "dbtc_of_tests"'
    )

    def use(profile: str) -> None:
        # as `dlt profile NAME pin` does
        (settings / "profile-name").write_text(profile)
        Container()[PluggableRunContext].reload(str(isolated))

    return use


def test_profiles_of_a_workspace_work_with_connections(
    workspace: Callable[[str], None],
) -> None:
    workspace("dev")
    assert (configured().account_id, configured(connection="prod").api_token) == ("1", TOKEN)
    workspace("tests")
    assert configured().account_id == "11"
    prod = configured(connection="prod")
    assert (prod.account_id, prod.api_token) == ("2", "dbtc_of_tests")
    line = line_that_sets("account_id", "5")
    assert re.fullmatch(
        r"`account_id = 5` under `\[dbt_cloud\]` in `.dlt/(tests.)?secrets.toml`", line
    )


def test_messages_call_helpers_with_the_connection(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROD__ACCOUNT_ID", str(cloud.account_id))
    slow = cloud.create_job("Slow", duration=None)
    with pytest.raises(DBTCloudRunTimeout) as caught:
        run_dbt_cloud_job(job_id=slow, timeout=0.05, connection="prod")
    run_id = cloud.runs[0]["id"]
    call = f"`get_dbt_cloud_run_status(run_id={run_id}, connection='prod')`"
    assert call in str(caught.value)
    failing = cloud.create_job("Failing", outcome="error")
    run = run_dbt_cloud_job(job_id=failing, connection="prod")
    assert f"`retry_dbt_cloud_run(run_id={run['id']}, connection='prod')`" in caplog.text
